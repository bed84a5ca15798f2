"""What ``make bench-dashboard`` shows: shoppers, and changes of them at a steady rate."""

import asyncio
import random
import time
import uuid
from contextlib import suppress
from typing import Any

import orjson
from redis.asyncio import Redis

from stream_persona.domain.events import format_rfc3339

#: Seconds between two batches of changes.
TICK = 0.05
#: Names of a change's causes, as often as a busy shop has them.
CAUSES = ("behaviour",) * 17 + ("model", "model", "assignment")

Json = dict[str, Any]


class Changing:
    """Shoppers that change all the time: public records, and a copy of each change on the channel.

    Each takes over the public record of another shopper: real distributions with real reasons.
    ``sent`` counts the changes.
    """

    def __init__(self, redis: Redis, prefix: str, examples: list[Json], shoppers: int) -> None:
        self._redis, self._prefix = redis, prefix
        self._examples, self._random = examples, random.Random(1)
        self._records = [
            self._next_record(f"CUST-{n:05d}", examples[n % len(examples)]) for n in range(shoppers)
        ]
        self.sent = 0

    async def store(self) -> None:
        """Write every public record."""
        await self._redis.mset({self._key(each): orjson.dumps(each) for each in self._records})

    async def run(self, rate: float) -> None:
        """Send so many changes a second, until cancelled."""
        began, before = time.monotonic(), self.sent
        while True:
            due = before + int(rate * (time.monotonic() - began))
            await self._send(due - self.sent)
            await asyncio.sleep(TICK)

    async def _send(self, number: int) -> None:
        async with self._redis.pipeline(transaction=False) as pipeline:
            for _ in range(number):
                index = self._random.randrange(len(self._records))
                change = self._change(index)
                record = self._records[index]
                pipeline.set(self._key(record), orjson.dumps(record))
                pipeline.publish(f"{self._prefix}persona-changes", orjson.dumps(change))
            await pipeline.execute()
        self.sent += number

    def _change(self, index: int) -> Json:
        """Make the shopper's next change, and the record that it leads to."""
        before = self._records[index]
        after = self._next_record(
            before["customer_id"], self._random.choice(self._examples), before
        )
        self._records[index] = after
        return {
            "change_id": uuid.uuid4().hex[:24],
            "customer_id": after["customer_id"],
            "revision": after["revision"],
            "occurred_at": after["updated_at"],
            "published_at": after["updated_at"],
            "cause": self._random.choice(CAUSES),
            "previous": persona(before),
            "current": persona(after),
            "why": after["why"],
            "model_version": after["model_version"],
            "taxonomy_version": after["taxonomy_version"],
        }

    @staticmethod
    def _next_record(customer: str, example: Json, before: Json | None = None) -> Json:
        now = format_rfc3339(time.time_ns() // 1_000_000)
        revision = 1 if before is None else before["revision"] + 1
        return {**example, "customer_id": customer, "revision": revision, "updated_at": now}

    def _key(self, record: Json) -> str:
        return f"{self._prefix}persona:{record['customer_id']}"


def persona(record: Json) -> Json:
    """Return the part of a public record that a change holds."""
    names = ("persona", "confidence", "ambiguous", "source", "distribution")
    return {name: record[name] for name in names}


async def public_records(redis: Redis, prefix: str) -> list[Json]:
    """All that are stored; they are taken away."""
    keys = [key async for key in redis.scan_iter(f"{prefix}persona:*", count=1_000)]
    found = [orjson.loads(blob) for blob in await redis.mget(keys) if blob is not None]
    await redis.delete(*keys)
    return found


async def ended(task: "asyncio.Task[None]") -> None:
    """Cancel a task; if it has failed, that is raised."""
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
