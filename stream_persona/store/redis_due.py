"""The index by due time in Redis: a sorted set of each partition, written with the records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream_persona.store import entries
from stream_persona.store.redis_access import RedisAccess

if TYPE_CHECKING:
    from collections.abc import Sequence


class DueInRedis(RedisAccess):
    """The part of ``RedisTables`` for due times."""

    async def load_due(
        self, partitions: Sequence[int], until: int, limit: int
    ) -> dict[int, list[tuple[str, int]]]:
        keys = [self._keys.of("due", partition) for partition in partitions]
        terms = "-inf", until, "WITHSCORES", "LIMIT", 0, limit
        answers = await self._run(*(("ZRANGEBYSCORE", key, *terms) for key in keys))
        found = {}
        for partition, key, answer in zip(partitions, keys, answers, strict=True):
            due, damaged = entries.decode_due(answer)
            if damaged:  # of no customer, and the first ones for ever
                await self._run(("ZREM", key, *damaged))
            if due:
                found[partition] = due
        return found

    async def load_due_times(self, partition: int, customers: Sequence[str]) -> dict[str, int]:
        key = self._keys.of("due", partition)
        found = await self._run(*(("ZSCORE", key, customer) for customer in customers))
        known = zip(customers, found, strict=True)
        return {customer: int(float(at)) for customer, at in known if at is not None}
