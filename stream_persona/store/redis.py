"""The tables in Redis: one server or a Cluster, whichever the address turns out to be."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from redis.exceptions import ResponseError

from stream_persona.errors import FencedError, RolledBackError
from stream_persona.store import entries
from stream_persona.store.redis_address import check_address
from stream_persona.store.redis_damage import DamageInRedis
from stream_persona.store.redis_deployment import DeploymentInRedis
from stream_persona.store.redis_due import DueInRedis
from stream_persona.store.redis_names import NamesInRedis
from stream_persona.store.redis_opening import open_store
from stream_persona.store.redis_port import Reply
from stream_persona.store.redis_ranking import RankingInRedis
from stream_persona.store.tables import HISTORY, Keyspace

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from stream_persona.store.redis_port import Command, Store
    from stream_persona.store.tables import Claim, Write

_ANNOUNCE = "for _, message in ipairs(ARGV) do redis.call('PUBLISH', KEYS[1], message) end"

#: Seconds that a single answer may take, at most; less if that is more than half of the retries.
_ANSWER_SECONDS = 10.0


class RedisTables(DeploymentInRedis, DamageInRedis, DueInRedis, NamesInRedis, RankingInRedis):
    """All tables; those of one subject are in modules of their own."""

    @classmethod
    def connect(cls, url: str, prefix: str = "", retry_seconds: float = 60.0) -> RedisTables:
        """Make tables on the server or the Cluster at ``url``; they connect when first used.

        Raises:
            TopologyError: the address is malformed.
        """
        check_address(url)
        keys = Keyspace(prefix)
        open_now = partial(open_store, url, keys, min(_ANSWER_SECONDS, retry_seconds / 2))
        return cls(open_now, keys, retry_seconds)

    async def ping(self) -> str:
        """Return the server's version; waits for a server that is still starting."""
        return await self.ask(lambda store: store.load_version())

    async def claim(self, partitions: Iterable[int]) -> dict[int, Claim]:
        return {p: await self.ask(lambda store, p=p: store.claim(p)) for p in partitions}  # type: ignore[misc]

    async def load_owners(self, partitions: Sequence[int]) -> dict[int, int]:
        found = await self.ask(lambda store: store.load_tokens(partitions))
        known = zip(partitions, found, strict=True)
        return {p: entries.decode_token(token) for p, token in known if token}

    async def load(self, customers: Sequence[str]) -> dict[str, bytes]:
        keys = [(self._keys.of("state", c), self._keys.of("deleted", c)) for c in customers]
        found = await self.ask(lambda store: store.get_either(keys))
        return {c: blob for c, blob in zip(customers, found, strict=True) if blob is not None}

    async def commit(self, claim: Claim, write: Write) -> None:
        if await self.commit_all([(claim, write)]):
            raise FencedError(claim.partition)

    async def commit_all(self, writes: Sequence[tuple[Claim, Write]]) -> set[int]:
        replies = await self.ask(lambda store: store.commit(writes)) if writes else []
        refused = set()
        for (claim, _), reply in zip(writes, replies, strict=True):
            if reply is Reply.LOST:
                raise RolledBackError(claim.partition)
            if reply is Reply.FENCED:
                refused.add(claim.partition)
        return refused

    async def find_rolled_back(self, claims: Sequence[Claim]) -> set[int]:
        lost = await self.ask(lambda store: store.find_lost(claims)) if claims else []
        return {claim.partition for claim, is_lost in zip(claims, lost, strict=True) if is_lost}

    async def load_public(self, customer: str) -> bytes | None:
        (found,) = await self._get([self._keys.of("", customer)])
        return found

    async def load_public_records(self, customers: Sequence[str]) -> dict[str, bytes]:
        found = await self._get([self._keys.of("", name) for name in customers])
        return {c: blob for c, blob in zip(customers, found, strict=True) if blob is not None}

    async def scan(self, cursor: int, count: int) -> tuple[int, list[str]]:
        return await self._scan_customers("state", cursor, count)

    async def scan_markers(self, cursor: int, count: int) -> tuple[int, list[str]]:
        return await self._scan_customers("deleted", cursor, count)

    async def load_labelled(self, partition: int) -> list[str]:
        (members,) = await self._run(("SMEMBERS", self._keys.of("labelled", partition)))
        return sorted(entries.decode_texts(members, "a labelled customer"))

    async def load_pending(self, partition: int) -> list[str]:
        found = await self.ask(lambda store: store.load_pending(partition))
        return [] if found is None else entries.decode_pending(found, partition)

    async def save_shard(self, claim: Claim, shard: bytes, stamp: bytes) -> None:
        reply = await self.ask(lambda store: store.save_shard(claim, stamp + shard))
        if reply is Reply.LOST:
            raise RolledBackError(claim.partition)
        if reply is Reply.FENCED:
            raise FencedError(claim.partition)

    async def load_stamps(self, partitions: Sequence[int]) -> dict[int, bytes]:
        keys = [self._keys.of("model", p) for p in partitions]
        found = await self._run(*(("GETRANGE", key, 0, 7) for key in keys))
        return {p: stamp for p, stamp in zip(partitions, found, strict=True) if stamp}

    async def load_shards(self, partitions: Sequence[int]) -> dict[int, tuple[bytes, bytes]]:
        found = await self._get([self._keys.of("model", p) for p in partitions])
        return {p: (b[:8], b[8:]) for p, b in zip(partitions, found, strict=True) if b}

    async def load_topic_ids(self, found: Mapping[str, str]) -> dict[str, str]:
        """Return the ids of the topics that records hold positions of; new ones are stored."""
        key = self._keys.of("topics")
        await self._run(*(("HSETNX", key, kind, topic) for kind, topic in found.items()))
        (known,) = await self._run(("HGETALL", key))
        return {k.decode(errors="replace"): t.decode(errors="replace") for k, t in known.items()}

    async def announce(self, messages: Sequence[bytes]) -> None:
        if messages:  # in one command: an answer for each message costs more than the message
            await self._run(("EVAL", _ANNOUNCE, 1, self.channel, *messages))

    async def scan_public(self, cursor: int, count: int) -> tuple[int, list[bytes]]:
        following, keys = await self._scan("", cursor, count)
        return following, [record for record in await self._get(keys) if record is not None]

    async def save_report(self, worker: str, status: bytes) -> None:
        await self._run(("HSET", self._keys.of("workers"), worker, status))

    async def remove_reports(self, workers: Sequence[str]) -> None:
        if workers:
            names = map(entries.encode_worker, workers)
            await self._run(("HDEL", self._keys.of("workers"), *names))

    async def load_reports(self) -> dict[str, bytes]:
        (found,) = await self._run(("HGETALL", self._keys.of("workers")))
        return entries.decode_reports(found)

    async def add_sample(self, at_ms: int, sample: bytes) -> bool:
        key, entry = self._keys.of("history"), f"{at_ms}-0"
        command = ("XADD", key, "MAXLEN", "~", HISTORY, entry, "v", sample)
        return await self.ask(lambda store: _add_entry(store, command))

    async def load_samples(self, since_ms: int) -> list[tuple[int, bytes]]:
        (found,) = await self._run(("XRANGE", self._keys.of("history"), max(0, since_ms), "+"))
        return [(int(entry.partition(b"-")[0]), fields.get(b"v", b"")) for entry, fields in found]

    @property
    def channel(self) -> str:
        """The pub/sub channel of changes."""
        return self._keys.of("changes")

    async def _scan_customers(self, kind: str, cursor: int, count: int) -> tuple[int, list[str]]:
        following, keys = await self._scan(kind, cursor, count)
        start = len(self._keys.of(kind, ""))
        return following, [key[start:] for key in keys]


async def _add_entry(store: Store, command: Command) -> bool:
    """Whether Redis takes a stream's entry: it refuses one that is not newer than the newest."""
    try:
        await store.run(command)
    except ResponseError as error:
        if "equal or smaller" not in str(error):
            raise
        return False
    return True
