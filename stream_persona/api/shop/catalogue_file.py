"""The catalogue of an API process, read anew when its file changes: no restart is needed."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from starlette.exceptions import HTTPException

from stream_persona.api.shop.builder import CatalogueBuilder
from stream_persona.errors import ConfigError, InputError, SettingsError
from stream_persona.files.formats import EventFile, Format, recognize
from stream_persona.files.rows import read_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from stream_persona.api.shop.catalogue import Catalogue, Facts

logger = logging.getLogger(__name__)

#: Seconds between two looks at the file.
INTERVAL: Final = 1.0
#: Rows that are read before other threads get their turn.
_TURN: Final = 32
_SETTING: Final = "STREAM_PERSONA_CATALOGUE"
_MISSING: Final = f"no catalogue is set: name its file in {_SETTING}"


class _Signature(NamedTuple):
    """What changes when a file does."""

    modified: int
    size: int
    inode: int


class CatalogueFile:
    """The catalogue that its file holds just now; None where no file is set.

    Where the file can't be used the catalogue of before stays in use meanwhile.
    """

    def __init__(
        self, file: Path | None, separator: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Read the file; ``clock`` gives seconds that never go back.

        Raises:
            SettingsError: it can't be read, or has no product.
        """
        self._file = file
        self._separator = separator
        self._clock = clock
        self._trouble: str | None = None
        #: How the file was when it was last looked at, was read, and was read without mistakes.
        self._seen: _Signature | None = None
        self._read: _Signature | None = None
        self._used: _Signature | None = None
        self.current: Catalogue | None = None
        if file is not None:
            self._seen = self._read = self._used = _read_signature(file)
            self.current = read_catalogue(file, separator, clock)

    @property
    def troubles(self) -> list[str]:
        """What is wrong with the file, in a sentence without a full stop."""
        return [] if self._trouble is None else [self._trouble]

    @property
    def facts(self) -> Facts | None:
        """What was read of the catalogue in use."""
        return None if self.current is None else self.current.facts

    def get(self) -> Catalogue:
        """Return the catalogue.

        Raises:
            HTTPException: 404, none is set.
        """
        if self.current is None:
            raise HTTPException(404, _MISSING)
        return self.current

    async def refresh(self) -> None:
        """Look at the file; read it where it has changed, and stays as it is for an interval."""
        if self._file is None:
            return
        try:
            signature = await asyncio.to_thread(_read_signature, self._file)
            is_settled, self._seen = signature == self._seen, signature
            if signature == self._used:
                self._trouble = None
            elif is_settled and signature != self._read:  # it is not being written just now
                await self._replace(self._file, signature)
        except SettingsError as error:
            self._report(error)

    async def _replace(self, file: Path, signature: _Signature) -> None:
        """Read the file, unless it changes meanwhile.

        Raises:
            SettingsError: it can't be used.
        """
        found = error = None
        try:
            found = await asyncio.to_thread(read_catalogue, file, self._separator, self._clock)
        except SettingsError as caught:
            error = caught
        if await asyncio.to_thread(_read_signature, file) != signature:
            return
        self._read = signature
        if error is not None:
            raise error
        self.current, self._used, self._trouble = found, signature, None

    def _report(self, error: SettingsError) -> None:
        """Report it once, and show it for as long as it lasts."""
        sentence = f"The catalogue's file can't be used, that of before stays in use: {error}"
        if sentence != self._trouble:
            logger.error("the catalogue of before stays in use: %s", error)
        self._trouble = sentence


def read_catalogue(
    file: Path, separator: str, clock: Callable[[], float] = time.monotonic
) -> Catalogue:
    """Read a catalogue's file.

    Raises:
        SettingsError: it can't be read, or has no product.
    """
    began, builder = clock(), CatalogueBuilder(separator)
    try:
        for number, (_, row) in enumerate(read_rows(_recognize(file))):
            builder.add(row)
            if not number % _TURN:
                time.sleep(0)
    except (InputError, ConfigError) as error:
        raise SettingsError(f"{_SETTING}: {error}") from None
    catalogue = builder.build()
    if not len(catalogue):
        left_out = _count_reasons(builder.skipped) or "it has no rows"
        raise SettingsError(f"{_SETTING}: {file} has no product in it ({left_out})")
    _log(file, catalogue.facts, clock() - began)
    return catalogue


def _recognize(file: Path) -> EventFile:
    """Return what a file is.

    Raises:
        InputError: nothing that catalogues are read from.
    """
    found = recognize(file)
    if found.format is Format.CSV:
        raise InputError(f"{file}: is CSV, or no table at all: write it as Parquet or JSON Lines")
    return found


def _log(file: Path, facts: Facts, seconds: float) -> None:
    logger.info("the catalogue has %d products, read in %.1f s: %s", facts.products, seconds, file)
    if facts.skipped:
        logger.warning("rows of the catalogue are left out: %s", _count_reasons(facts.skipped))
    if facts.without_popularity:
        logger.warning(
            "%d products of the catalogue have no popularity, and come last",
            facts.without_popularity,
        )
    if facts.unknown_partners:
        logger.warning(
            "%d ids in bought_with are of no product of the catalogue", facts.unknown_partners
        )


def _count_reasons(skipped: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in skipped.items())


def _read_signature(file: Path) -> _Signature:
    """Look at a file.

    Raises:
        SettingsError: it can't be.
    """
    try:
        found = file.stat()
    except OSError as error:
        message = f"{_SETTING}: {file} can't be read ({error.strerror})"
        raise SettingsError(f"{message}; name a file that the process may read") from None
    return _Signature(found.st_mtime_ns, found.st_size, found.st_ino)
