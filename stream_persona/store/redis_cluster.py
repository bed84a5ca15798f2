"""The writer's side on a Redis Cluster, where no script may touch keys of two hash slots.

A batch's keys are in hundreds of slots, so one script can't write them all. It is whole all the
same, since it is *announced* before it is done:

1. One script on the owner's key compares the token and stores the whole write there, as one
   value: the redo log. From here on the batch counts as written.
2. One script for each slot writes the effects in that slot. They come in any order.
3. One script takes the announcement away.

A worker that claims the partition gets, in the script that makes its token, what its predecessor
announced and did not finish, and does all of it (again): writing the same values twice changes
nothing. Until then, while the partition has no owner, readers may see a part of a batch.

**A writer that wakes up late.** Stopped between 1 and 2, it would later write over what its
successor has written since. So before a successor does the announced write again, it puts a *fence*
into each of the slots concerned, and step 2 obeys fences: ``persona-fence:<partition>:{tag}``, with
a tag that hashes to the slot, holds the oldest writer that may still write there. Slots that the
announcement doesn't name need no fence, for step 1 refuses all later batches.

**A message that comes late.** After a connection breaks, a command may have been done, be still on
its way, or be lost. It is tried again as a new *turn* of the same owner, and fences go
up for the turns before. So a writer is a pair of token and turn.

**Fences need not stay.** Step 1 brings the time of the owner's server, and step 2 is refused, by
the clock of the server concerned, more than ``_VALID_SECONDS`` after it. Fences live longer than
that by half a day, which is how far clocks may be apart. They are only put up by claims that find
an unfinished write, and by retries: without crashes there are none.

**The owner's key** is a hash of token, turn, announced write and pending names. Its tag hashes to
the slot of the partition's shard of the model, so one script compares the token and writes the
shard, as on a single server. Tokens are times: none is given twice, not even when a failover has
forgotten one.

**A master that comes back older.** Every master has a copy of the partition's offsets and of the
last write's token and turn (``redis_copies``). Before a write is announced they are looked at: what
was read from a master that has lost writes must not be written anywhere. Step 2 leaves the copies,
and a claim reads them: reading goes on at the least of them.

While a slot is moved from one master to another, commands on several of its keys are refused
(``TRYAGAIN``). Batches wait until the slot has arrived.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import msgspec
import orjson
from redis.crc import key_slot

from stream_persona.store import entries
from stream_persona.store.redis_copies import OffsetCopies
from stream_persona.store.redis_nodes import Nodes, Script
from stream_persona.store.redis_port import Reply, list_values_by_kind
from stream_persona.store.tables import Claim, Write

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from redis.asyncio import RedisCluster

    from stream_persona.store.redis_copies import Places
    from stream_persona.store.redis_port import Command
    from stream_persona.store.tables import Keyspace

#: Seconds after its announcement in which a write may be done.
_VALID_SECONDS: Final = 43_200
_FENCE_SECONDS: Final = 86_400


@dataclass(slots=True)
class _Owner:
    """The state of a partition's owner: its turn, and the write that it could not finish.

    ``acked`` is the turn of the last write that was acknowledged, and ``places`` are those of its
    copies of the offsets; before the first one there is none to be missed.
    """

    token: int
    turn: int = 0
    unfinished: Write | None = None
    acked: int = 0
    places: Places = ()


@dataclass(slots=True)
class _SlotWrite:
    """The effects of a write in one hash slot: keys, the first of them the fence, and triples."""

    keys: list[str]
    triples: list[bytes | str | int]

    def add(self, name: str, key: str, value: bytes | str) -> None:
        """Add one more command; those on one key must come in a row."""
        if self.keys[-1] != key:
            self.keys.append(key)
        self.triples += (name, len(self.keys), value)


class Cluster(Nodes):
    """A Redis Cluster; only the object that made a claim may commit under it."""

    def __init__(self, cluster: RedisCluster, keys: Keyspace) -> None:
        self._claim, self._intend, self._write, self._finish, self._part, offsets = scripts = [
            Script.load(f"cluster_{name}")
            for name in ("claim", "intend", "write", "finish", "part", "offsets")
        ]
        super().__init__(cluster, keys, scripts)
        self._copies = OffsetCopies(self, offsets)
        self._owners: dict[int, _Owner] = {}

    async def claim(self, partition: int) -> Claim:
        """Make a token, and finish the write that the owner before has announced.

        It is done without new copies of the offsets: those that are there show which masters are
        older, until the new owner has written.
        """
        call = self._claim.make_command([self._make_owner_key(partition)])
        ((token, now, redo, before, places),) = await self.run(call)
        claim = Claim(partition, int(token))
        offsets, newest = await self._copies.read(partition, _parse_places(places))
        left = None if redo is None else entries.decode_write(redo, partition)
        # When refused, this claim is not the newest any more: the newest one does it.
        if left is not None and await self._do(claim, 0, left, now, fenced=True):
            await self._finish_write(claim, 0)
        if before is not None and not newest and places is None:
            return replace(claim, offsets=None)
        return replace(claim, offsets=offsets, newest=newest)

    async def load_tokens(self, partitions: Sequence[int]) -> list[bytes | None]:
        return await self.run(*(("HGET", self._make_owner_key(p), "token") for p in partitions))

    async def load_pending(self, partition: int) -> bytes | None:
        found: bytes | None
        (found,) = await self.run(("HGET", self._make_owner_key(partition), "pending"))
        return found

    async def commit(self, writes: Sequence[tuple[Claim, Write]]) -> list[Reply]:
        """Write side by side; all have ended when it returns or raises: it may be tried again."""
        work = [self._commit(claim, write) for claim, write in writes]
        done = await asyncio.gather(*work, return_exceptions=True)
        for found in done:
            if isinstance(found, BaseException):
                raise found
        return [found for found in done if isinstance(found, Reply)]

    async def find_lost(self, claims: Sequence[Claim]) -> list[bool]:
        return [await self._is_lost(claim) for claim in claims]

    async def _is_lost(self, claim: Claim) -> bool:
        owner = self._owners.get(claim.partition)
        if owner is None or owner.token != claim.token:
            owner = _Owner(claim.token)
        last, places = (claim.token, owner.acked), owner.places
        (token,) = await self.load_tokens([claim.partition])
        if entries.decode_token(token or b"") < claim.token:
            return True
        return await self._copies.are_behind(claim.partition, last, places)

    async def _commit(self, claim: Claim, write: Write) -> Reply:
        owner = self._owners.get(claim.partition)
        if owner is None or owner.token < claim.token:
            owner = self._owners[claim.partition] = _Owner(claim.token)
        elif owner.token > claim.token:
            return Reply.FENCED
        left = owner.unfinished
        if left is not None and left is not write:
            reply = await self._take_turn(claim, owner, left)
            if reply is not Reply.DONE:
                return reply
        return await self._take_turn(claim, owner, write)

    async def save_shard(self, claim: Claim, blob: bytes) -> Reply:
        keys = [self._make_owner_key(claim.partition), self._keys.of("model", claim.partition)]
        (saved,) = await self.run(self._part.make_command(keys, claim.token, blob))
        return Reply(saved)

    async def _take_turn(self, claim: Claim, owner: _Owner, write: Write) -> Reply:
        """Announce, do, finish; an error on the way leaves the write unfinished: to be retried."""
        last = (claim.token, owner.acked)
        if await self._copies.are_behind(claim.partition, last, owner.places):
            return Reply.LOST
        again = owner.unfinished is not None
        owner.unfinished = write
        owner.turn += 1
        places = await self._copies.find_places()
        now = await self._announce(claim, owner, write, places)
        if now <= 0:
            owner.unfinished = None
            return Reply(now)
        copies = self._copies.write(claim, owner.turn, write, places)
        done = await self._do(claim, owner.turn, write, now, copies, fenced=again)
        if done:
            await self._finish_write(claim, owner.turn)
            owner.acked, owner.places = owner.turn, places
        owner.unfinished = None
        return Reply.DONE if done else Reply.FENCED

    async def _announce(self, claim: Claim, owner: _Owner, write: Write, places: Places) -> int:
        pending = b"" if write.pending is None else orjson.dumps(write.pending)
        redo = msgspec.msgpack.encode(write)
        at = ",".join(map(str, places))
        terms = claim.token, owner.turn, owner.acked, redo, pending, at
        (now,) = await self.run(
            self._intend.make_command([self._make_owner_key(claim.partition)], *terms)
        )
        return int(now)

    async def _do(
        self,
        claim: Claim,
        turn: int,
        write: Write,
        now: int,
        copies: Sequence[Command] = (),
        *,
        fenced: bool,
    ) -> bool:
        """Write the effects in each slot, and copies last; whether none was refused."""
        writer = f"{claim.token:016d}{turn:016d}"
        fence = _FENCE_SECONDS if fenced else 0
        terms = f"{writer} {now + _VALID_SECONDS} {fence} {write.marker_ms}"
        by_slot = self._split_by_slot(claim.partition, write)
        answers = await self.run(
            *(self._write.make_command(each.keys, terms, *each.triples) for each in by_slot),
            *copies,
        )
        return all(answers)

    async def _finish_write(self, claim: Claim, turn: int) -> None:
        await self.run(
            self._finish.make_command([self._make_owner_key(claim.partition)], claim.token, turn)
        )

    def _split_by_slot(self, partition: int, write: Write) -> list[_SlotWrite]:
        by_slot: dict[int, _SlotWrite] = {}
        for name, key, value in self._list_effects(partition, write):
            slot = key_slot(key.encode())
            if slot not in by_slot:
                by_slot[slot] = _SlotWrite([self.make_tagged_key("fence", partition, slot)], [])
            by_slot[slot].add(name, key, value)
        return list(by_slot.values())

    def _list_effects(self, partition: int, write: Write) -> Iterator[tuple[str, str, bytes | str]]:
        """Yield the commands that a write consists of: name, key, value."""
        of = self._keys.of
        for kind, values in list_values_by_kind(write):
            for customer, value in values.items():
                yield "SET" if value else "DEL", of(kind, customer), value or b""
        for customer, marker in write.markers.items():
            yield "PSETEX", of("deleted", customer), marker
        for customer in write.forgotten:
            yield "DEL", of("damaged", customer), b""
        labelled = of("labelled", partition)
        for customer in sorted(write.labelled):
            yield "SADD", labelled, customer
        for customer in sorted(write.unlabelled):
            yield "SREM", labelled, customer
        due = of("due", partition)
        for customer in sorted(write.filed_anew):
            yield "ZREM", due, customer
        for customer, at in write.due.items():
            yield ("ZREM", due, customer) if at is None else ("ZADD", due, f"{at} {customer}")
        names = of("names", partition)
        for name, value in write.names.items():
            yield "HSET" if value else "HDEL", names, name.encode() + b" " + (value or b"")

    def describe_owner_keys(self, partition: int) -> dict[str, bytes]:
        return {self._make_owner_key(partition): b"hash"}

    def _make_owner_key(self, partition: int) -> str:
        slot = key_slot(self._keys.of("model", partition).encode())
        return self.make_tagged_key("owner", partition, slot)


def _parse_places(text: bytes | None) -> Places | None:
    return None if text is None else tuple(int(slot) for slot in text.split(b","))
