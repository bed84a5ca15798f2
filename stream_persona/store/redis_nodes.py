"""The servers of a Redis Cluster as one: each command to the master that has its key.

Commands go out in one pipeline for each master, all masters at once, addressed here: measured, that
is about half of what the client needs to find each command's keys by itself. The client's own
retries are off: ``RedisTables`` tries again what may pass, once the slot map has been refreshed.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from dataclasses import dataclass
from functools import lru_cache
from itertools import count as numbers
from typing import TYPE_CHECKING, Any, Self

from redis.asyncio import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import NoPermissionError, NoScriptError

from stream_persona.errors import TopologyError
from stream_persona.store.redis_server import (
    add_replacement,
    find_version,
    read_greeting,
    read_script,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from redis.asyncio.cluster import ClusterNode

    from stream_persona.store.redis_port import Command
    from stream_persona.store.tables import Keyspace


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script: its text, and the digest that names it on servers that have loaded it."""

    text: str
    sha: str

    @classmethod
    def load(cls, name: str) -> Script:
        """Read the script from a file of the package."""
        text = read_script(name)
        return cls(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())

    def make_command(self, keys: Sequence[str], *args: bytes | str | int) -> Command:
        """Return the command that runs it."""
        return ("EVALSHA", self.sha, len(keys), *keys, *args)


class Nodes:
    """All servers of a Cluster; ``scripts`` are those that commands may run."""

    def __init__(
        self, cluster: RedisCluster, keys: Keyspace, scripts: Sequence[Script] = ()
    ) -> None:
        self._cluster = cluster
        self._keys = keys
        self._texts = {one.sha: one.text for one in scripts}
        self._stale = False
        #: Of the slot map in use, if they were asked for.
        self._lowest: list[int] | None = None

    @classmethod
    def connect(cls, url: str, keys: Keyspace, seconds: float = 10.0) -> Self:
        """Return the Cluster that the server at ``url`` belongs to; it connects when first used.

        A single answer may take ``seconds``.

        Raises:
            TopologyError: the prefix breaks the hash tags behind it.
        """
        if "{" in keys.prefix and not re.match(r"[^{]*\{[^}]+\}", keys.prefix):
            message = "STREAM_PERSONA_PREFIX: on a Redis Cluster '{' must begin a hash tag"
            raise TopologyError(f"{message} (got {keys.prefix!r})")
        never = Retry(NoBackoff(), 0)
        cluster = RedisCluster.from_url(
            url, socket_timeout=seconds, socket_connect_timeout=min(seconds, 5.0), retry=never
        )
        return cls(cluster, keys)

    @property
    def database(self) -> None:
        return None

    async def load_version(self) -> str:
        await self._refresh()
        masters = self._cluster.get_primaries()
        first = masters[0]
        info, greeting = await self._send([(first, ("INFO", "server")), (first, ("HELLO",))])
        refused = isinstance(info, NoPermissionError)
        number = read_greeting(greeting)["version"] if refused else find_version(info)
        return f"{number} (Cluster, {len(masters)} masters)"

    async def close(self) -> None:
        await self._cluster.aclose()

    async def reset(self) -> None:
        """Refresh the slot map before the next command; that is enough, as it names each server."""
        self._stale = True

    async def run(self, *commands: Command) -> list[Any]:
        """Return the answers, in order; raise the first error once all commands have been tried."""
        await self._refresh()
        answers = await self._send([(self._find_master(each), each) for each in commands])
        unknown = [i for i, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        again = [("EVAL", self._texts[str(commands[i][1])], *commands[i][2:]) for i in unknown]
        loaded = await self._send([(self._find_master(each), each) for each in again])
        for i, answer in zip(unknown, loaded, strict=True):
            answers[i] = answer
        for answer in answers:
            if isinstance(answer, Exception):
                self._stale = True
                raise answer
        return answers

    async def ask_masters(self, *commands: Command) -> dict[str, list[Any]]:
        await self._refresh()
        masters = self._cluster.get_primaries()
        asked = [(node, command) for node in masters for command in commands]
        answers = iter(await self._send(asked))
        return {node.name: [next(answers) for _ in commands] for node in masters}

    async def get(self, keys: Sequence[str]) -> list[bytes | None]:
        return await self.run(*(("GET", key) for key in keys))

    async def get_either(self, keys: Sequence[tuple[str, str]]) -> list[bytes | None]:
        """Ask in two rounds: nearly all have the first key, and each key is a command here."""
        found = await self.get([first for first, _ in keys])
        missing = [at for at, value in enumerate(found) if value is None]
        for at, value in zip(missing, await self.get([keys[at][1] for at in missing]), strict=True):
            found[at] = value
        return found

    async def replace(self, key: str, fields: Mapping[str, str]) -> None:
        await self._refresh()
        pipeline = self._cluster.pipeline(transaction=True)
        add_replacement(pipeline, key, fields)
        await pipeline.execute()

    async def scan(self, cursor: int, pattern: str, count: int) -> tuple[int, list[bytes]]:
        """Scan one master after the other; from the beginning again when the slots have moved.

        The cursor is the position on a master, what the slots looked like, and which master.
        """
        await self._refresh()
        masters = sorted(self._cluster.get_primaries(), key=lambda node: node.name)
        layout = self._hash_layout()
        position, at = cursor >> 48, cursor & 0xFFFF
        if (cursor >> 16) & 0xFFFFFFFF != layout or at >= len(masters):
            position, at = 0, 0
        command: Command = ("SCAN", position, "MATCH", pattern, "COUNT", count)
        (answer,) = await self._send([(masters[at], command)])
        if isinstance(answer, Exception):
            self._stale = True
            raise answer
        position, found = int(answer[0]), list(answer[1])
        at += position == 0
        return (0 if at == len(masters) else position << 48 | layout << 16 | at), found

    def make_tagged_key(self, kind: str, partition: int, slot: int) -> str:
        """Return a key of our own in a given slot (in that of the prefix, if this has a tag)."""
        return f"{self._keys.of(kind, partition)}:{{{compute_tags()[slot]}}}"

    def _find_master(self, command: Command) -> ClusterNode:
        key = command[3 if command[0] in {"EVAL", "EVALSHA"} else 1]
        return self._cluster.nodes_manager.get_node_from_slot(key_slot(str(key).encode()))

    async def _send(self, commands: Sequence[tuple[ClusterNode, Command]]) -> list[Any]:
        """Return the answers or errors of commands, sent to their masters, all of these at once."""
        pipeline = self._cluster.pipeline()
        for node, command in commands:
            pipeline.execute_command(*command, target_nodes=node)
        try:
            return list(await pipeline.execute(raise_on_error=False))
        except BaseException:
            self._stale = True
            raise

    async def _refresh(self) -> None:
        """Read the slot map if there is none, and again after anything went wrong."""
        await self._cluster.initialize()
        if self._stale:
            await self._cluster.nodes_manager.initialize()
            self._stale, self._lowest = False, None

    async def find_lowest_slots(self) -> list[int]:
        """Return the lowest hash slot of each master that has any."""
        await self._refresh()
        if self._lowest is None:
            lowest: dict[str, int] = {}
            slots = self._cluster.nodes_manager.slots_cache
            for slot in sorted(slots):
                lowest.setdefault(slots[slot][0].name, slot)
            self._lowest = list(lowest.values())
        return self._lowest

    def _hash_layout(self) -> int:
        """Return a fingerprint, in 32 bits, of which master has which slots."""
        slots = self._cluster.nodes_manager.slots_cache
        return zlib.crc32(",".join(slots[slot][0].name for slot in sorted(slots)).encode())


@lru_cache(maxsize=1)
def compute_tags() -> list[str]:
    """Return, for each hash slot, the smallest number that hashes to it."""
    found: dict[int, str] = {}
    for number in numbers():
        found.setdefault(key_slot(b"%d" % number), str(number))
        if len(found) == REDIS_CLUSTER_HASH_SLOTS:
            return [found[slot] for slot in range(REDIS_CLUSTER_HASH_SLOTS)]
    raise AssertionError  # numbers do not end
