"""The names of tokens in Redis: a hash for each partition, and the listing of what may be shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream_persona.domain.carried_names import VERSION
from stream_persona.store.redis_access import RedisAccess

if TYPE_CHECKING:
    from collections.abc import Sequence


class NamesInRedis(RedisAccess):
    """The part of ``RedisTables`` for names of tokens; they are written with batches."""

    async def load_names(self, partition: int) -> dict[str, bytes]:
        (found,) = await self._run(("HGETALL", self._keys.of("names", partition)))
        return {field.decode(errors="replace"): value for field, value in found.items()}

    async def load_name_versions(self, partitions: Sequence[int]) -> dict[int, bytes]:
        found = await self._run(*(("HGET", self._keys.of("names", p), VERSION) for p in partitions))
        return {p: each for p, each in zip(partitions, found, strict=True) if each is not None}

    async def save_listing(self, listing: bytes) -> None:
        await self._run(("SET", self._keys.of("shown-names"), listing))

    async def load_listing_stamp(self) -> bytes:
        (stamp,) = await self._run(("GETRANGE", self._keys.of("shown-names"), 0, 7))
        return bytes(stamp)

    async def load_listing(self) -> bytes | None:
        found: bytes | None
        (found,) = await self._run(("GET", self._keys.of("shown-names")))
        return found

    async def remove_old_names(self) -> None:
        await self._run(("DEL", self._keys.of("names")))
