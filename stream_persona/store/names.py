"""The names of tokens in the tables: each partition's own, and the listing of what may be shown.

A partition's names change in the writes of its owner, with everything else that a batch does. The
owner of the first partition adds those of all up to the listing, and writes it; nothing else reads
carriers.
"""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING, Final

import msgspec

from stream_persona.domain.carried_names import (
    CarriedNames,
    compute_room,
    merge,
    read_deletions_version,
)
from stream_persona.domain.token_names import Listing
from stream_persona.store.duty_cycle import DutyCycle

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from stream_persona.store.tables import Tables

logger = logging.getLogger(__name__)

#: Adding names up takes at most this share of the time, and where customers were deleted this one.
_DUTY_CYCLE: Final = 1 / 50
_URGENT_DUTY_CYCLE: Final = 1 / 5

#: Bytes of the stamp that a listing begins with.
STAMP_BYTES: Final = 8

_decoder = msgspec.msgpack.Decoder(Listing)


async def load_carried(
    tables: Tables, partition: int, partitions: int, claim: int = 0
) -> CarriedNames:
    """Load the names of one of so many partitions."""
    stored = await tables.load_names(partition)
    return CarriedNames.load(stored, compute_room(partitions), claim)


def encode_listing(listing: Listing) -> bytes:
    """Encode a listing behind its stamp, which differs from all others."""
    content = msgspec.msgpack.encode(listing)
    return _stamp(content) + content


def decode_listing(blob: bytes) -> Listing | None:
    """Decode a listing; None where it is damaged."""
    stamp, content = blob[:STAMP_BYTES], blob[STAMP_BYTES:]
    if stamp != _stamp(content):
        return None
    try:
        return _decoder.decode(content)
    except msgspec.DecodeError:
        return None


def _stamp(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=STAMP_BYTES).digest()


class ListingReader:
    """Reads the listing whenever another one was written."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._stamp = b""

    async def read(self) -> Listing | None:
        """Return the listing if it is another one than was read last; else None.

        A damaged listing is not returned: its writer writes it again.

        Raises:
            UnavailableError: Redis stayed away.
        """
        stamp = await self._tables.load_listing_stamp()
        if stamp == self._stamp:
            return None
        blob = await self._tables.load_listing()
        listing = Listing() if blob is None else decode_listing(blob)
        if listing is not None:
            self._stamp = (blob or b"")[:STAMP_BYTES]
        return listing


class ListingWriter:
    """Adds the names of all partitions up, as the owner of the first one.

    ``public`` are the names, by slot, that are shown anyway; ``clock`` gives seconds.
    """

    def __init__(
        self,
        tables: Tables,
        partitions: int,
        public: Mapping[int, Collection[str]],
        clock: Callable[[], float],
    ) -> None:
        self._tables = tables
        self._partitions = partitions
        self._public = public
        self._clock = clock
        self._ordinary = DutyCycle(_DUTY_CYCLE, clock)
        self._urgent = DutyCycle(_URGENT_DUTY_CYCLE, clock)
        self._others: dict[int, tuple[str, CarriedNames]] = {}
        self._merged: dict[int, str] = {}
        self._blob = b""

    async def write(self, held: Mapping[int, CarriedNames], *, now: bool = False) -> None:
        """Write a new listing if the names of a partition have moved; ``held`` are our own.

        Unless it has to be ``now``, it waits where names keep moving: longer than after deletions.
        """
        versions = await self._find_versions(held)
        if versions != self._merged:
            moved = {p for p, each in versions.items() if each != self._merged.get(p)}
            is_urgent = any(
                read_deletions_version(versions[p])
                != read_deletions_version(self._merged.get(p, ""))
                for p in moved
            )
            if now or (self._urgent if is_urgent else self._ordinary).is_due():
                await self._merge(held, versions)
        if not self._blob or await self._tables.load_listing_stamp() != self._blob[:STAMP_BYTES]:
            await self._save()

    async def check(self) -> None:
        """Write the listing again if what is stored is not what was written."""
        if self._blob and await self._tables.load_listing() != self._blob:
            logger.warning("the stored names of features were damaged: they are written again")
            await self._save()

    async def _find_versions(self, held: Mapping[int, CarriedNames]) -> dict[int, str]:
        others = [each for each in range(self._partitions) if each not in held]
        stored = await self._tables.load_name_versions(others)
        found = {p: stored.get(p, b"").decode(errors="replace") for p in others}
        return found | {p: names.version for p, names in held.items()}

    async def _merge(self, held: Mapping[int, CarriedNames], versions: Mapping[int, str]) -> None:
        began = self._clock()
        known = {}
        for partition in sorted(versions.keys() - held.keys()):
            version, before = versions[partition], self._others.get(partition)
            if before is None or before[0] != version:
                names = await load_carried(self._tables, partition, self._partitions)
                before = version, names
            known[partition] = before
        self._others = known
        # What is ours may have moved while the others were read.
        self._merged = {**versions, **{p: names.version for p, names in held.items()}}
        parts = [held[p] if p in held else known[p][1] for p in sorted(versions)]
        merged = [self._merged[p] for p in sorted(versions)]
        listing = merge(((each, each.crowded) for each in parts), self._public, merged)
        self._blob = encode_listing(listing)
        seconds = self._clock() - began
        self._ordinary.record(seconds)
        self._urgent.record(seconds)

    async def _save(self) -> None:
        if self._blob:
            await self._tables.save_listing(self._blob)
