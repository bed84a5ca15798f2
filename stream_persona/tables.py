"""Where customers, the model's parts and the public records live.

Keyspace, each key behind the deployment's prefix:

===============================  ===============================================================
``persona:<customer>``           public record, JSON
``persona-state:<customer>``     private record (``records``)
``persona-deleted:<customer>``   a deletion's memory, with expiry: a record without content
``persona-model:<partition>``    the partition's share of the model's sums
``persona-labelled:<partition>`` set of the partition's labelled customers
``persona-owner:<partition>``    token of the worker that owns the partition
``persona-pending:<partition>``  whose changes the last batch wrote: perhaps not published yet
``persona-names``                hash, slot -> token names, for reasons people can read
``persona-affinity:<persona>``   hash, feature -> lift, for rankers
``persona-changes``              channel: a copy of each published change
===============================  ===============================================================

A worker *claims* a partition before it reads it; every write is conditional on the claim, so a
worker that lost its partition and wakes up late is refused (``FencedError``) and changes nothing.
``RedisTables`` and ``MemoryTables`` pass the same contract suite.
"""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass, field
from importlib import resources
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import orjson
from redis.asyncio import Redis
from redis.exceptions import (
    AuthenticationError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
)
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)
from redis.exceptions import (
    TimeoutError as RedisTimeoutError,
)

from stream_persona.errors import FencedError, TopologyError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

T = TypeVar("T")

#: What may pass by itself: tried again until the deadline.
_PASSING = (RedisConnectionError, RedisTimeoutError, OutOfMemoryError, ReadOnlyError)


@dataclass(frozen=True, slots=True)
class Claim:
    """A partition and the token under which its owner writes."""

    partition: int
    token: int


@dataclass(slots=True)
class Write:
    """What one batch changes: customers' values (None: delete), and who is labelled now.

    ``markers`` are memories of deletions, kept for ``marker_ms`` milliseconds; ``pending`` names
    the customers whose last change this batch is about to publish.
    """

    states: dict[str, bytes | None] = field(default_factory=dict)
    public: dict[str, bytes | None] = field(default_factory=dict)
    markers: dict[str, bytes] = field(default_factory=dict)
    labelled: set[str] = field(default_factory=set)
    unlabelled: set[str] = field(default_factory=set)
    pending: list[str] = field(default_factory=list)
    marker_ms: int = 1


class Tables(Protocol):
    """The port; every method may raise ``UnavailableError``."""

    async def claim(self, partitions: Iterable[int]) -> dict[int, Claim]:
        """Become the owner of partitions; whoever owned them is refused from now on."""
        ...

    async def owners(self, partitions: Sequence[int]) -> dict[int, int]:
        """The present tokens of partitions that were ever claimed."""
        ...

    async def load(self, customers: Sequence[str]) -> dict[str, bytes]:
        """The stored records, or deletion markers, of those customers that have one."""
        ...

    async def commit(self, claim: Claim, write: Write) -> None:
        """Write all of a batch, or raise ``FencedError`` and write nothing."""
        ...

    async def public(self, customer: str) -> bytes | None:
        """A customer's public record."""
        ...

    async def scan(self, cursor: int, count: int) -> tuple[int, list[str]]:
        """About ``count`` known customers from ``cursor`` on, and the next cursor (0: all seen)."""
        ...

    async def labelled(self, partition: int) -> list[str]:
        """The labelled customers of a partition, sorted."""
        ...

    async def pending(self, partition: int) -> list[str]:
        """Whose last changes the partition's last batch wrote, and may not have published."""
        ...

    async def save_part(self, claim: Claim, part: bytes, stamp: bytes) -> None:
        """Publish a partition's share of the model; refused like ``commit``."""
        ...

    async def stamps(self, partitions: Sequence[int]) -> dict[int, bytes]:
        """The 8-byte stamps of the published parts."""
        ...

    async def parts(self, partitions: Sequence[int]) -> dict[int, tuple[bytes, bytes]]:
        """Stamp and content of the published parts."""
        ...

    async def add_names(self, names: Sequence[tuple[int, str]]) -> None:
        """Remember tokens of slots."""
        ...

    async def names(self) -> list[tuple[int, str]]:
        """All remembered tokens with their slots."""
        ...

    async def save_affinities(self, lifts: Mapping[str, Mapping[str, float]]) -> None:
        """Replace the affinities of personas."""
        ...

    async def announce(self, messages: Sequence[bytes]) -> None:
        """Send copies of changes to whoever listens."""
        ...


class MemoryTables:
    """The in-memory twin, for tests and for folding without a server."""

    def __init__(self) -> None:
        self.states: dict[str, bytes] = {}
        self._markers: dict[str, tuple[float, bytes]] = {}
        self.public_records: dict[str, bytes] = {}
        self.announced: list[bytes] = []
        self.affinities: dict[str, dict[str, float]] = {}
        self._labelled: dict[int, set[str]] = {}
        self._pending: dict[int, list[str]] = {}
        self._tokens: dict[int, int] = {}
        self._parts: dict[int, tuple[bytes, bytes]] = {}
        self._names: dict[str, int] = {}

    @property
    def markers(self) -> dict[str, bytes]:
        """The memories of deletions that have not expired."""
        now = time.monotonic()
        return {customer: m for customer, (gone, m) in self._markers.items() if gone > now}

    async def claim(self, partitions: Iterable[int]) -> dict[int, Claim]:
        claims = {}
        for partition in partitions:
            token = self._tokens[partition] = self._tokens.get(partition, 0) + 1
            claims[partition] = Claim(partition, token)
        return claims

    async def owners(self, partitions: Sequence[int]) -> dict[int, int]:
        return {p: self._tokens[p] for p in partitions if p in self._tokens}

    async def load(self, customers: Sequence[str]) -> dict[str, bytes]:
        markers = self.markers
        stored = {c: self.states.get(c) or markers.get(c) for c in customers}
        return {customer: blob for customer, blob in stored.items() if blob is not None}

    async def commit(self, claim: Claim, write: Write) -> None:
        self._check(claim)
        _apply(self.states, write.states)
        _apply(self.public_records, write.public)
        gone = time.monotonic() + write.marker_ms / 1_000
        self._markers.update({customer: (gone, m) for customer, m in write.markers.items()})
        labelled = self._labelled.setdefault(claim.partition, set())
        labelled |= write.labelled
        labelled -= write.unlabelled
        if write.pending:
            self._pending[claim.partition] = write.pending

    async def public(self, customer: str) -> bytes | None:
        return self.public_records.get(customer)

    async def scan(self, cursor: int, count: int) -> tuple[int, list[str]]:
        known = sorted(self.states)
        end = cursor + count
        return (end if end < len(known) else 0), known[cursor:end]

    async def labelled(self, partition: int) -> list[str]:
        return sorted(self._labelled.get(partition, ()))

    async def pending(self, partition: int) -> list[str]:
        return self._pending.get(partition, [])

    async def save_part(self, claim: Claim, part: bytes, stamp: bytes) -> None:
        self._check(claim)
        self._parts[claim.partition] = (stamp, part)

    async def stamps(self, partitions: Sequence[int]) -> dict[int, bytes]:
        return {p: self._parts[p][0] for p in partitions if p in self._parts}

    async def parts(self, partitions: Sequence[int]) -> dict[int, tuple[bytes, bytes]]:
        return {p: self._parts[p] for p in partitions if p in self._parts}

    async def add_names(self, names: Sequence[tuple[int, str]]) -> None:
        self._names.update({token: slot for slot, token in names})

    async def names(self) -> list[tuple[int, str]]:
        return sorted((slot, token) for token, slot in self._names.items())

    async def save_affinities(self, lifts: Mapping[str, Mapping[str, float]]) -> None:
        self.affinities.update({persona: dict(own) for persona, own in lifts.items()})

    async def announce(self, messages: Sequence[bytes]) -> None:
        self.announced += messages

    def _check(self, claim: Claim) -> None:
        if self._tokens.get(claim.partition) != claim.token:
            raise FencedError(claim.partition)


def _apply(table: dict[str, bytes], changes: Mapping[str, bytes | None]) -> None:
    for customer, value in changes.items():
        if value is None:
            table.pop(customer, None)
        else:
            table[customer] = value


class RedisTables:
    """The tables in Redis. ``retry_seconds`` is how long the server may stay away."""

    def __init__(self, redis: Redis, prefix: str = "", retry_seconds: float = 60.0) -> None:
        self._redis = redis
        self._prefix = prefix
        self._seconds = retry_seconds
        self._script = redis.register_script(
            resources.files("stream_persona").joinpath("commit.lua").read_text()
        )

    @classmethod
    def connect(cls, url: str, prefix: str = "", retry_seconds: float = 60.0) -> RedisTables:
        """Tables on the server at ``url``; connects when first used.

        Raises:
            TopologyError: the address is malformed.
        """
        try:
            redis = Redis.from_url(url, socket_timeout=10.0, socket_connect_timeout=5.0)
        except ValueError as error:
            message = f"STREAM_PERSONA_REDIS_URL: {error} (got {url!r})"
            raise TopologyError(message) from None
        return cls(redis, prefix, retry_seconds)

    async def close(self) -> None:
        """Give the connections back."""
        await self._redis.aclose()

    async def ping(self) -> str:
        """The server's version; waits for a server that is still starting."""
        info = await self._patiently(lambda: self._redis.info("server"))
        return str(info.get("valkey_version") or info["redis_version"])

    async def claim(self, partitions: Iterable[int]) -> dict[int, Claim]:
        claims = {}
        for partition in partitions:
            key = self._key("owner", partition)
            claims[partition] = Claim(partition, int(await self._do("INCR", key)))
        return claims

    async def owners(self, partitions: Sequence[int]) -> dict[int, int]:
        found = await self._many([self._key("owner", p) for p in partitions])
        return {p: int(token) for p, token in zip(partitions, found, strict=True) if token}

    async def load(self, customers: Sequence[str]) -> dict[str, bytes]:
        keys = [self._key("state", customer) for customer in customers]
        keys += [self._key("deleted", customer) for customer in customers]
        found = await self._many(keys)
        size = len(customers)
        stored = {c: found[i] or found[size + i] for i, c in enumerate(customers)}
        return {customer: blob for customer, blob in stored.items() if blob is not None}

    async def commit(self, claim: Claim, write: Write) -> None:
        keys = [self._key("owner", claim.partition), self._key("labelled", claim.partition)]
        args: list[bytes | str | int | float] = [
            claim.token,
            len(write.labelled),
            len(write.unlabelled),
        ]
        args += [*sorted(write.labelled), *sorted(write.unlabelled)]
        for kind, values in (("state", write.states), ("", write.public)):
            for customer, value in values.items():
                keys.append(self._key(kind, customer))
                args += [value or b"", 0]
        for customer, marker in write.markers.items():
            keys.append(self._key("deleted", customer))
            args += [marker, write.marker_ms]
        if write.pending:
            keys.append(self._key("pending", claim.partition))
            args += [orjson.dumps(write.pending), 0]
        if not await self._patiently(lambda: self._script(keys=keys, args=args)):
            raise FencedError(claim.partition)

    async def public(self, customer: str) -> bytes | None:
        found: bytes | None = await self._do("GET", self._key("", customer))
        return found

    async def scan(self, cursor: int, count: int) -> tuple[int, list[str]]:
        start = self._key("state", "")
        found = await self._do("SCAN", cursor, "MATCH", f"{_escaped(start)}*", "COUNT", count)
        return int(found[0]), [key.decode()[len(start) :] for key in found[1]]

    async def labelled(self, partition: int) -> list[str]:
        members = await self._do("SMEMBERS", self._key("labelled", partition))
        return sorted(member.decode() for member in members)

    async def pending(self, partition: int) -> list[str]:
        found = await self._do("GET", self._key("pending", partition))
        return [] if found is None else list(orjson.loads(found))

    async def save_part(self, claim: Claim, part: bytes, stamp: bytes) -> None:
        keys = [
            self._key("owner", claim.partition), self._key("labelled", claim.partition),
            self._key("model", claim.partition),
        ]  # fmt: skip
        args: list[bytes | str | int | float] = [claim.token, 0, 0, stamp + part, 0]
        if not await self._patiently(lambda: self._script(keys=keys, args=args)):
            raise FencedError(claim.partition)

    async def stamps(self, partitions: Sequence[int]) -> dict[int, bytes]:
        async def read() -> list[bytes]:
            pipeline = self._redis.pipeline(transaction=False)
            for partition in partitions:
                pipeline.getrange(self._key("model", partition), 0, 7)
            return list(await pipeline.execute())

        found = await self._patiently(read)
        return {p: stamp for p, stamp in zip(partitions, found, strict=True) if stamp}

    async def parts(self, partitions: Sequence[int]) -> dict[int, tuple[bytes, bytes]]:
        found = await self._many([self._key("model", p) for p in partitions])
        return {p: (b[:8], b[8:]) for p, b in zip(partitions, found, strict=True) if b}

    async def add_names(self, names: Sequence[tuple[int, str]]) -> None:
        async def write() -> None:
            pipeline = self._redis.pipeline(transaction=False)
            for slot, token in names:
                pipeline.hsetnx(self._key("names"), token, str(slot))
            await pipeline.execute()

        if names:
            await self._patiently(write)

    async def names(self) -> list[tuple[int, str]]:
        found = await self._do("HGETALL", self._key("names"))
        return sorted((int(slot), token.decode()) for token, slot in found.items())

    async def save_affinities(self, lifts: Mapping[str, Mapping[str, float]]) -> None:
        async def write() -> None:
            for persona, own in lifts.items():
                key = self._key("affinity", persona)
                pipeline = self._redis.pipeline(transaction=True)  # a reader sees one or the other
                pipeline.delete(key)
                if own:
                    pipeline.hset(key, mapping={name: repr(lift) for name, lift in own.items()})
                await pipeline.execute()

        await self._patiently(write)

    async def announce(self, messages: Sequence[bytes]) -> None:
        async def send() -> None:
            pipeline = self._redis.pipeline(transaction=False)
            for message in messages:
                pipeline.publish(self.channel, message)
            await pipeline.execute()

        if messages:
            await self._patiently(send)

    @property
    def channel(self) -> str:
        """The pub/sub channel of changes."""
        return f"{self._prefix}persona-changes"

    def _key(self, kind: str, name: str | int | None = None) -> str:
        table = f"{self._prefix}persona-{kind}" if kind else f"{self._prefix}persona"
        return table if name is None else f"{table}:{name}"

    async def _many(self, keys: Sequence[str]) -> list[bytes | None]:
        return list(await self._do("MGET", *keys)) if keys else []

    async def _do(self, *command: str | int) -> Any:  # noqa: ANN401 - as many kinds as commands
        return await self._patiently(lambda: self._redis.execute_command(*command))  # type: ignore[no-untyped-call]

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        """The call's result, tried again with backoff while the server is away."""
        loop = asyncio.get_running_loop()
        deadline, pause = loop.time() + self._seconds, 0.05
        while True:
            try:
                return await call()
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


def _escaped(text: str) -> str:
    """The text as a pattern that matches itself alone."""
    return re.sub(r"([*?\[\]\\^])", r"\\\1", text)
