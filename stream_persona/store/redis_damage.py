"""Damage in Redis: the bytes that were set aside, and the customers to check."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream_persona.store import entries
from stream_persona.store.redis_access import RedisAccess
from stream_persona.store.tables import ASIDE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class DamageInRedis(RedisAccess):
    """The part of ``RedisTables`` for damaged data."""

    async def set_aside(self, damaged: Mapping[str, bytes]) -> None:
        of, seconds = self._keys.of, ASIDE_SECONDS
        await self._run(*(("SET", of("damaged", c), b, "EX", seconds) for c, b in damaged.items()))

    async def report_suspects(self, customers: Sequence[str]) -> None:
        if customers:
            await self._run(("SADD", self._keys.of("suspects"), *customers))

    async def load_suspects(self) -> list[str]:
        (members,) = await self._run(("SMEMBERS", self._keys.of("suspects")))
        return sorted(entries.decode_texts(members, "a suspect"))

    async def remove_suspects(self, customers: Sequence[str]) -> None:
        if customers:
            await self._run(("SREM", self._keys.of("suspects"), *customers))
