"""Tables on a Redis Cluster that can be stopped between two commands, and batches to write."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from stream_persona.store.redis import RedisTables
from stream_persona.store.redis_cluster import Cluster
from stream_persona.store.redis_port import Command
from stream_persona.store.tables import Claim, Keyspace, Write
from tests.support.redis_cluster import RedisCluster

Tables = Callable[..., RedisTables]
NAMES = [f"c{n}" for n in range(8)]
#: Announcing, one script for each of the slots of ``batch`` (states, public records, the labelled
#: set, the due times) and for each master's copy of the offsets, finishing.
STEPS = 1 + 8 + 8 + 1 + 1 + 3 + 1


def batch(number: int) -> Write:
    """A write with everything in it; one of another number differs from it throughout."""
    states: dict[str, bytes | None] = {name: b"s%d-%s" % (number, name.encode()) for name in NAMES}
    public: dict[str, bytes | None] = dict.fromkeys(NAMES, b"p%d" % number)
    gone = NAMES[number]
    states[gone] = public[gone] = None
    return Write(
        states, public, {gone: b"m%d" % number}, {NAMES[number - 1]}, {NAMES[number + 1]},
        sorted(set(NAMES[number:])), 60_000,
        due={NAMES[number - 1]: number, NAMES[5]: 10 * number, gone: None}, filed_anew={NAMES[5]},
    )  # fmt: skip


class Unsteady(Cluster):
    """A Cluster that calls ``stop`` after so many commands, and then goes on."""

    def __init__(self, connected: Cluster, left: int, stop: Callable[[], Awaitable[None]]) -> None:
        super().__init__(connected._cluster, connected._keys)
        self._left = left
        self._stop = stop

    async def run(self, *commands: Command) -> list[object]:
        before, after = commands[: self._left], commands[self._left :]
        self._left -= len(before)
        answers = await super().run(*before)
        if after:
            self._left = 1_000
            await self._stop()
            answers += await super().run(*after)
        return answers


class Sleep:
    """A pause that lasts until ``wake``."""

    def __init__(self) -> None:
        self._begun, self._over = asyncio.Event(), asyncio.Event()

    async def __call__(self) -> None:
        self._begun.set()
        await self._over.wait()

    async def has_begun(self, sleeper: asyncio.Task[Any]) -> None:
        """Wait until the sleeper sleeps; raise what it failed with if it never gets there."""
        begun = asyncio.create_task(self._begun.wait())
        await asyncio.wait({begun, sleeper}, return_when=asyncio.FIRST_COMPLETED)
        if not begun.done():
            begun.cancel()
            sleeper.result()
            raise AssertionError("it has ended without its pause")

    def wake(self) -> None:
        self._over.set()


class KilledError(Exception):
    pass


async def die() -> None:
    raise KilledError


async def claim_of(tables: Tables, partition: int) -> Claim:
    return (await tables().claim([partition]))[partition]


@asynccontextmanager
async def tables_on(redis_cluster: RedisCluster) -> AsyncIterator[Tables]:
    """Tables of one deployment, as many as wanted; with a number, those that are stopped."""
    made: list[RedisTables] = []
    keys = Keyspace(f"cluster-{time.time_ns()}:")

    def of(left: int | None = None, stop: Callable[[], Awaitable[None]] = die) -> RedisTables:
        async def connected() -> Cluster:
            cluster = Cluster.connect(redis_cluster.url, keys)
            return cluster if left is None else Unsteady(cluster, left, stop)

        made.append(RedisTables(connected, keys, 20))
        return made[-1]

    try:
        yield of
    finally:
        for one in made:
            await one.close()
