"""The tables in Redis: one server or a Cluster, whichever the address turns out to be.

Which of the two it is, is asked of the server with the first command (``INFO cluster``), so that
one setting serves for both and a service may start before its Redis does.
"""

from __future__ import annotations

import asyncio
import re
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import orjson
from redis.asyncio import Redis
from redis.asyncio.connection import parse_url
from redis.exceptions import (
    AskError,
    AuthenticationError,
    ClusterError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    TryAgainError,
)
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)
from redis.exceptions import (
    TimeoutError as RedisTimeoutError,
)

from stream_persona.errors import FencedError, TopologyError, UnavailableError
from stream_persona.redis_cluster import Cluster
from stream_persona.redis_server import OneServer
from stream_persona.tables import Claim, Keyspace

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from stream_persona.redis_server import Store
    from stream_persona.tables import Write

T = TypeVar("T")

#: What may pass by itself: tried again until the deadline. A Cluster that moves slots or replaces
#: a master is among it.
_PASSING = (
    RedisConnectionError, RedisTimeoutError, OutOfMemoryError, ReadOnlyError, ClusterError,
    RedisClusterException, AskError, TryAgainError,
)  # fmt: skip


class RedisTables:
    """The tables in a store that ``open_store`` opens when it is first needed.

    ``retry_seconds`` is how long Redis may stay away.
    """

    def __init__(
        self,
        open_store: Callable[[], Awaitable[Store]],
        keys: Keyspace,
        retry_seconds: float = 60.0,
    ) -> None:
        self._open = open_store
        self._keys = keys
        self._seconds = retry_seconds
        self._store: Store | None = None
        self._opening = asyncio.Lock()

    @classmethod
    def connect(cls, url: str, prefix: str = "", retry_seconds: float = 60.0) -> RedisTables:
        """Tables on the server or the Cluster at ``url``; connects when first used.

        Raises:
            TopologyError: the address is malformed.
        """
        try:
            parse_url(url)
        except ValueError as error:
            message = f"STREAM_PERSONA_REDIS_URL: {error} (got {url!r})"
            raise TopologyError(message) from None
        keys = Keyspace(prefix)
        return cls(partial(_found, url, keys), keys, retry_seconds)

    async def close(self) -> None:
        """Give the connections back."""
        if self._store is not None:
            await self._store.close()

    async def ping(self) -> str:
        """The server's version; waits for a server that is still starting."""
        return await self._ask(lambda store: store.version())

    async def claim(self, partitions: Iterable[int]) -> dict[int, Claim]:
        claims = {}
        for partition in partitions:
            token = await self._ask(lambda store, p=partition: store.claim(p))  # type: ignore[misc]
            claims[partition] = Claim(partition, token)
        return claims

    async def owners(self, partitions: Sequence[int]) -> dict[int, int]:
        found = await self._ask(lambda store: store.tokens(partitions))
        return {p: int(token) for p, token in zip(partitions, found, strict=True) if token}

    async def load(self, customers: Sequence[str]) -> dict[str, bytes]:
        keys = [(self._keys.of("state", c), self._keys.of("deleted", c)) for c in customers]
        found = await self._ask(lambda store: store.either(keys))
        return {c: blob for c, blob in zip(customers, found, strict=True) if blob is not None}

    async def commit(self, claim: Claim, write: Write) -> None:
        if not await self._ask(lambda store: store.commit(claim, write)):
            raise FencedError(claim.partition)

    async def public(self, customer: str) -> bytes | None:
        (found,) = await self._get([self._keys.of("", customer)])
        return found

    async def scan(self, cursor: int, count: int) -> tuple[int, list[str]]:
        start = self._keys.of("state", "")
        pattern = f"{_escaped(start)}*"
        following, keys = await self._ask(lambda store: store.scan(cursor, pattern, count))
        return following, [key.decode()[len(start) :] for key in keys]

    async def labelled(self, partition: int) -> list[str]:
        (members,) = await self._run(("SMEMBERS", self._keys.of("labelled", partition)))
        return sorted(member.decode() for member in members)

    async def pending(self, partition: int) -> list[str]:
        found = await self._ask(lambda store: store.pending(partition))
        return [] if found is None else list(orjson.loads(found))

    async def save_part(self, claim: Claim, part: bytes, stamp: bytes) -> None:
        if not await self._ask(lambda store: store.save_part(claim, stamp + part)):
            raise FencedError(claim.partition)

    async def stamps(self, partitions: Sequence[int]) -> dict[int, bytes]:
        keys = [self._keys.of("model", p) for p in partitions]
        found = await self._run(*(("GETRANGE", key, 0, 7) for key in keys))
        return {p: stamp for p, stamp in zip(partitions, found, strict=True) if stamp}

    async def parts(self, partitions: Sequence[int]) -> dict[int, tuple[bytes, bytes]]:
        found = await self._get([self._keys.of("model", p) for p in partitions])
        return {p: (b[:8], b[8:]) for p, b in zip(partitions, found, strict=True) if b}

    async def add_names(self, names: Sequence[tuple[int, str]]) -> None:
        key = self._keys.of("names")
        await self._run(*(("HSETNX", key, token, str(slot)) for slot, token in names))

    async def names(self) -> list[tuple[int, str]]:
        (found,) = await self._run(("HGETALL", self._keys.of("names")))
        return sorted((int(slot), token.decode()) for token, slot in found.items())

    async def save_affinities(self, lifts: Mapping[str, Mapping[str, float]]) -> None:
        async def write(store: Store) -> None:
            for persona, own in lifts.items():
                fields = {name: repr(lift) for name, lift in own.items()}
                await store.replace(self._keys.of("affinity", persona), fields)

        await self._ask(write)

    async def announce(self, messages: Sequence[bytes]) -> None:
        await self._run(*(("PUBLISH", self.channel, message) for message in messages))

    @property
    def channel(self) -> str:
        """The pub/sub channel of changes."""
        return self._keys.of("changes")

    async def _get(self, keys: Sequence[str]) -> list[bytes | None]:
        return await self._ask(lambda store: store.get(keys))

    async def _run(self, *commands: tuple[bytes | str | int, ...]) -> list[Any]:
        return await self._ask(lambda store: store.run(*commands)) if commands else []

    async def _opened(self) -> Store:
        async with self._opening:
            if self._store is None:
                self._store = await self._open()
            return self._store

    async def _ask(self, call: Callable[[Store], Awaitable[T]]) -> T:
        """The call's result, tried again with backoff while Redis is away."""
        loop = asyncio.get_running_loop()
        deadline, pause = loop.time() + self._seconds, 0.05
        while True:
            try:
                return await call(await self._opened())
            except AuthenticationError as error:
                message = f"STREAM_PERSONA_REDIS_URL: the server refuses the login ({error})"
                raise TopologyError(message) from None
            except _PASSING as error:
                if loop.time() + pause > deadline:
                    message = f"Redis was not usable for {self._seconds:g} s: {error}"
                    raise UnavailableError(message) from error
            except RedisError as error:
                message = f"Redis refused a command: {error}"
                raise UnavailableError(message) from error
            await asyncio.sleep(pause)
            pause = min(2 * pause, 2.0)


async def _found(url: str, keys: Keyspace) -> Store:
    """The store at ``url``, of the kind that it says it is."""
    redis = Redis.from_url(url, socket_timeout=10.0, socket_connect_timeout=5.0)
    try:
        clustered = (await redis.info("cluster")).get("cluster_enabled")
    except BaseException:
        await redis.aclose()
        raise
    if not clustered:
        return OneServer(redis, keys)
    await redis.aclose()
    return Cluster.connect(url, keys)


def _escaped(text: str) -> str:
    """The text as a pattern that matches itself alone."""
    return re.sub(r"([*?\[\]\\^])", r"\\\1", text)
