"""What rankers read in Redis: affinities of personas, and shoppers' own tastes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream_persona.store.redis_access import RedisAccess

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from stream_persona.store.redis_port import Store


class RankingInRedis(RedisAccess):
    """The part of ``RedisTables`` for rankers, which may be written in any language."""

    async def save_affinities(self, lifts: Mapping[str, Mapping[str, float]]) -> None:
        async def write(store: Store) -> None:
            for persona, own in lifts.items():
                fields = {name: repr(lift) for name, lift in own.items()}
                await store.replace(self._keys.of("affinity", persona), fields)

        await self.ask(write)

    async def remove_affinities(self, but: Collection[str]) -> None:
        await self._remove("affinity", but)

    async def load_tastes(self, customers: Sequence[str]) -> dict[str, bytes]:
        found = await self._get([self._keys.of("tastes", name) for name in customers])
        return {c: blob for c, blob in zip(customers, found, strict=True) if blob is not None}

    async def save_common_tastes(self, fields: Mapping[str, str]) -> None:
        key = self._keys.of("common-tastes")
        await self.ask(lambda store: store.replace(key, fields))

    async def remove_tastes(self) -> None:
        await self.save_common_tastes({})
        await self._remove("tastes")
