"""One Redis server: a batch is one atomic script there."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from itertools import count
from typing import TYPE_CHECKING, Any, Final

import hiredis
import orjson
from redis.exceptions import NoPermissionError, NoScriptError

from stream_persona.store.gathered_gets import GatheredGets
from stream_persona.store.redis_port import (
    SINCE,
    WRITE,
    Command,
    Reply,
    list_values_by_kind,
    parse_offsets,
    parse_write,
)
from stream_persona.store.tables import Claim

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis.asyncio import Redis
    from redis.asyncio.client import Pipeline
    from redis.asyncio.cluster import ClusterPipeline

    from stream_persona.store.tables import Keyspace, Write


#: The kinds of the keys with which each write begins.
_FIRST_KEYS: Final = ("owner", "labelled", "offsets", "due", "names")


class OneServer:
    """A single Redis server."""

    def __init__(self, redis: Redis, keys: Keyspace) -> None:
        self._redis = redis
        self._keys = keys
        self._claim_script = redis.register_script(read_script("claim"))
        self._script = redis.register_script(read_script("commit"))
        self._gets = GatheredGets(self._get)
        self._turns = count(1)
        #: Token and turn of the last write of each partition that was acknowledged.
        self._acked: dict[int, tuple[int, int]] = {}

    @property
    def database(self) -> int | None:
        return int(self._redis.connection_pool.connection_kwargs.get("db") or 0)

    async def load_version(self) -> str:
        try:
            return find_version(await self._redis.info("server"))
        except NoPermissionError:
            return (await greet(self._redis))["version"]

    async def close(self) -> None:
        await self._redis.aclose()

    async def reset(self) -> None:
        await self._redis.connection_pool.disconnect(inuse_connections=False)

    async def run(self, *commands: Command) -> list[Any]:
        if len(commands) == 1:
            return [await self._redis.execute_command(*commands[0])]  # type: ignore[no-untyped-call]
        pipeline = self._redis.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        answers = list(await pipeline.execute(raise_on_error=False))
        for answer in answers:
            if isinstance(answer, Exception):  # as it is: the client would put the command before
                raise answer
        return answers

    async def ask_masters(self, *commands: Command) -> dict[str, list[Any]]:
        pipeline = self._redis.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        where = self._redis.connection_pool.connection_kwargs
        address = where.get("path") or f"{where.get('host')}:{where.get('port')}"
        return {address: list(await pipeline.execute(raise_on_error=False))}

    def describe_owner_keys(self, partition: int) -> dict[str, bytes]:
        of = self._keys.of
        types = {of(kind, partition): b"string" for kind in ("owner", "pending")}
        return types | {of("offsets", partition): b"hash"}

    async def get(self, keys: Sequence[str]) -> list[bytes | None]:
        return await self._gets.get(keys) if keys else []

    async def _get(self, keys: Sequence[str]) -> list[bytes | None]:
        found: list[bytes | None] = (await self.run(("MGET", *keys)))[0]
        return found

    async def get_either(self, keys: Sequence[tuple[str, str]]) -> list[bytes | None]:
        found = await self.get([first for first, _ in keys] + [second for _, second in keys])
        return [one or other for one, other in zip(found, found[len(keys) :], strict=False)]

    async def replace(self, key: str, fields: Mapping[str, str]) -> None:
        pipeline = self._redis.pipeline(transaction=True)
        add_replacement(pipeline, key, fields)
        for answer in await pipeline.execute(raise_on_error=False):
            if isinstance(answer, Exception):
                raise answer

    async def scan(self, cursor: int, pattern: str, count: int) -> tuple[int, list[bytes]]:
        (found,) = await self.run(("SCAN", cursor, "MATCH", pattern, "COUNT", count))
        return int(found[0]), list(found[1])

    async def claim(self, partition: int) -> Claim:
        keys = [self._keys.of("owner", partition), self._keys.of("offsets", partition)]
        token, before, stored = await self._claim_script(keys=keys)
        fields = dict(zip(stored[::2], stored[1::2], strict=True))
        offsets = parse_offsets(fields)
        if before is not None and not offsets and SINCE not in fields:
            return Claim(partition, int(token), None)
        return Claim(partition, int(token), offsets, offsets)

    async def load_tokens(self, partitions: Sequence[int]) -> list[bytes | None]:
        return await self.get([self._keys.of("owner", p) for p in partitions])

    async def load_pending(self, partition: int) -> bytes | None:
        (found,) = await self.get([self._keys.of("pending", partition)])
        return found

    async def commit(self, writes: Sequence[tuple[Claim, Write]]) -> list[Reply]:
        """Send all at once; each is atomic by itself."""
        turns = [next(self._turns) for _ in writes]
        calls = [
            self._make_command(*self._make_arguments(claim, write, turn))
            for turn, (claim, write) in zip(turns, writes, strict=True)
        ]
        try:
            answers = await self.run(*calls)
        except NoScriptError:
            await self._redis.script_load(self._script.script)
            answers = await self.run(*calls)
        replies = [Reply(answer) for answer in answers]
        for turn, (claim, _), reply in zip(turns, writes, replies, strict=True):
            if reply is Reply.DONE:
                self._acked[claim.partition] = (claim.token, turn)
        return replies

    async def find_lost(self, claims: Sequence[Claim]) -> list[bool]:
        acked = [self._get_last_acked(claim) for claim in claims]
        found = await self.run(
            *(("HGET", self._keys.of("offsets", claim.partition), WRITE) for claim in claims)
        )
        return [parse_write(text) < last for text, last in zip(found, acked, strict=True)]

    def _get_last_acked(self, claim: Claim) -> tuple[int, int]:
        token, turn = self._acked.get(claim.partition, (0, 0))
        return claim.token, turn if token == claim.token else 0

    def _make_command(
        self, keys: Sequence[str], args: Sequence[bytes | str | int | float]
    ) -> Command:
        return "EVALSHA", self._script.sha, len(keys), *keys, *args

    def _make_arguments(
        self, claim: Claim, write: Write, turn: int
    ) -> tuple[list[str], list[bytes | str | int | float]]:
        of = self._keys.of
        keys = [of(kind, claim.partition) for kind in _FIRST_KEYS]
        due = {name: at for name, at in write.due.items() if at is not None}
        removed = write.filed_anew.union(write.due.keys() - due.keys())
        args: list[bytes | str | int | float] = [
            claim.token,
            turn,
            self._get_last_acked(claim)[1],
            len(write.offsets),
            len(write.labelled),
            len(write.unlabelled),
            len(removed),
            len(due),
            len(write.names),
        ]
        args += [each for pair in write.offsets.items() for each in pair]
        args += [*sorted(write.labelled), *sorted(write.unlabelled)]
        args += [*sorted(removed), *(each for name, at in due.items() for each in (at, name))]
        args += [each for name, value in write.names.items() for each in (name, value or b"")]
        for kind, values in list_values_by_kind(write):
            for customer, value in values.items():
                keys.append(of(kind, customer))
                args += [value or b"", 0]
        for customer, marker in write.markers.items():
            keys.append(of("deleted", customer))
            args += [marker, write.marker_ms]
        for customer in write.forgotten:
            keys.append(of("damaged", customer))
            args += [b"", 0]
        if write.pending is not None:
            keys.append(of("pending", claim.partition))
            args += [orjson.dumps(write.pending), 0]
        return keys, args

    async def save_shard(self, claim: Claim, blob: bytes) -> Reply:
        of, partition = self._keys.of, claim.partition
        keys = [*(of(kind, partition) for kind in _FIRST_KEYS), of("model", partition)]
        args: list[bytes | str | int | float] = [claim.token, *[0] * 8, blob, 0]
        return Reply(await self._script(keys=keys, args=args))


def pack_with_hiredis(redis: Redis) -> Redis:
    """Let hiredis pack the client's commands: its own way takes as long as the server does."""

    def pack_command(_: object, name: bytes | str, *args: bytes | str | float) -> list[bytes]:
        words = name.split()  # `CONFIG GET` is two
        return [hiredis.pack_command((*words, *args))]

    pool = redis.connection_pool
    kind = pool.connection_class
    pool.connection_class = type(kind.__name__, (kind,), {"pack_command": pack_command})
    return redis


async def is_clustered(redis: Redis) -> bool:
    """Ask a server whether it is of a Cluster."""
    try:
        return bool((await redis.info("cluster")).get("cluster_enabled"))
    except NoPermissionError:
        return (await greet(redis))["mode"] == "cluster"


async def greet(redis: Redis) -> dict[str, str]:
    """Return the texts of ``HELLO``: the only command about the server that needs no right."""
    return read_greeting(await redis.execute_command("HELLO"))  # type: ignore[no-untyped-call]


def read_greeting(answer: Mapping[bytes, Any] | Sequence[Any]) -> dict[str, str]:
    """Return the texts in an answer to ``HELLO``, by name; it is a list in the old protocol."""
    facts = (
        answer.items()
        if isinstance(answer, Mapping)
        else zip(answer[::2], answer[1::2], strict=False)
    )
    return {name.decode(): value.decode() for name, value in facts if isinstance(value, bytes)}


def read_script(name: str) -> str:
    """Read one of the package's Lua scripts."""
    return resources.files("stream_persona.store").joinpath("lua", f"{name}.lua").read_text()


def find_version(info: Mapping[str, Any]) -> str:
    """Return the server's version, from its ``INFO server``."""
    return str(info.get("valkey_version") or info["redis_version"])


def add_replacement(
    pipeline: Pipeline | ClusterPipeline, key: str, fields: Mapping[str, str]
) -> None:
    """Add the commands that replace a hash, to be done as one."""
    pipeline.delete(key)
    if fields:
        pipeline.hset(key, items=[part for field in fields.items() for part in field])
