"""How far files were sent, as earlier runs have noted it, and what this one adds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stream_persona.errors import InputError
from stream_persona.files.identity import find_last
from stream_persona.store.ingested_files import Ingested, load_ingested, note_ingested
from stream_persona.store.replayed_files import load_files

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from stream_persona.files.identity import Content
    from stream_persona.settings import Settings
    from stream_persona.store.redis import RedisTables

_NOTHING: Final = Ingested(last=0, events=0, unreadable=0, nobody=0, at=0)


class Notes:
    """The notes on files of one kind; without ``tables`` there are none, and none are written."""

    def __init__(self, tables: RedisTables | None, settings: Settings, kind: str) -> None:
        self._tables = tables
        self._settings = settings
        self._kind = kind
        self._ingested: dict[str, Ingested] = {}
        self._replayed: Collection[str] = ()

    async def load(self) -> None:
        """Read what was ingested and replayed.

        Raises:
            UnavailableError: Redis stayed away.
        """
        if self._tables is not None:
            found = await load_ingested(self._tables, self._settings)
            self._ingested = {
                key: each for (kind, key), each in found.items() if kind == self._kind
            }
            self._replayed = await load_files(self._tables, self._settings)

    @property
    def known(self) -> set[str]:
        """The contents that are noted."""
        return {*self._ingested, *self._replayed}

    def refuse_replayed(self, path: Path, content: Content) -> None:
        """Refuse a file that was replayed: what comes by a topic is not known by its file's rows.

        Raises:
            InputError: it, or its beginning, was replayed.
        """
        for key in reversed(content.beginnings):
            if key in self._replayed:
                raise InputError(
                    f"{path}: was replayed up to row {find_last(key):,}, and ingested its events "
                    "would count twice: replay it again, which takes what is new"
                )

    def find(self, content: Content) -> Ingested:
        """Return how far a file with this content was sent."""
        keys = {*content.beginnings, content.key} & self._ingested.keys()
        return max((self._ingested[key] for key in keys), key=_get_last_row, default=_NOTHING)

    async def add(self, content: Content, how_far: Ingested) -> None:
        """Note how far a file was sent; also by all its rows but the last, which may be unfinished.

        Raises:
            UnavailableError: Redis stayed away.
        """
        keys = [content.key]
        if content.rows > 1 and how_far.last >= find_last(content.key):
            keys.append(content.begun)
        for key in keys:
            own = min(how_far.last, find_last(key))
            self._ingested[key] = Ingested(
                own, how_far.events, how_far.unreadable, how_far.nobody, how_far.at
            )
            if self._tables is not None:
                entry = self._ingested[key]
                await note_ingested(self._tables, self._settings, self._kind, key, entry)


def _get_last_row(ingested: Ingested) -> int:
    return ingested.last
