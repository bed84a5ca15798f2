"""Taking a partition over: what its last owner left, on the topic and in tables that may be older.

The steps, in their order:

1. Claim: writes of the last owner are refused from now on.
2. Fence: changes that it publishes are refused from now on, so the topic's end stands still.
3. Read what the topic has of changes since the tables' last write. In tables that came back older,
   deletions that they have lost are applied first, so that nobody who was forgotten is seen again,
   and records take the last changes over (``pipeline.adoption``). Where only a part of a Cluster
   came back older, all that is stored of a customer is written again: the record may be on one
   master, and what was derived from it on another.
   Copies of these changes, and of the last that the topic has, are announced again: clients keep
   what they have looked up until its customer is announced, and it may have been the older one.
4. Publish what the last owner had written and could not publish any more.
5. Store where reading goes on, and that nothing is pending.

A part of a Cluster that came back older may name customers again who were deleted; so of all who
are looked at again, those with a deletion are taken out of the names of tokens.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final

from stream_persona.domain.record import Record
from stream_persona.domain.tokenizer import Tokenizer
from stream_persona.pipeline import process
from stream_persona.pipeline.adoption import adopt_changes, find_suspects, is_of_same_life
from stream_persona.pipeline.messages import encode_copy, encode_last_copy, encode_public_record
from stream_persona.pipeline.training import is_training_example
from stream_persona.pipeline.types import Outcome
from stream_persona.store.names import load_carried
from stream_persona.store.outbox import load_unpublished
from stream_persona.store.repository import load_intact
from stream_persona.store.tables import Claim, Write, still_owns
from stream_persona.store.writes import build_write
from stream_persona.worker.behind import name_behind_since

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from collections.abc import Set as AbstractSet

    from stream_persona.domain.carried_names import CarriedNames
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.kafka.log_reader import EventLog
    from stream_persona.kafka.published import Published
    from stream_persona.kafka.publisher import Publisher
    from stream_persona.settings import Settings
    from stream_persona.store.tables import Tables

logger = logging.getLogger(__name__)

#: Customers whose records are restored by one write.
_CHUNK: Final = 1_000


@dataclass(frozen=True, slots=True)
class TakenOver:
    """A partition that was taken over.

    ``offsets`` are where reading goes on, by topic, as far as that is stored; ``names`` are those
    of the partition's tokens.
    ``adopted`` are the customers whose changes were published and not known any more, ``behind``
    these and those of an owner before whose records have not caught up yet, and
    ``damaged`` those whose stored records are damaged: nothing was taken over into these.
    """

    claim: Claim
    offsets: dict[str, int]
    adopted: frozenset[str]
    behind: frozenset[str]
    names: CarriedNames
    damaged: set[str] = field(default_factory=set)


class PartitionTaker:
    """Takes partitions over, for a worker or a replay."""

    def __init__(
        self,
        settings: Settings,
        taxonomy: Taxonomy,
        tables: Tables,
        publisher: Publisher,
        log: EventLog,
    ) -> None:
        self._settings = settings
        self._taxonomy = taxonomy
        self._tables = tables
        self._publisher = publisher
        self._log = log
        self._behind_since = name_behind_since(settings.topic_changes)
        #: A topic that is read from its beginning is kept in memory: one partition at a time.
        self._reading_all = asyncio.Lock()

    async def take_over(self, partition: int) -> TakenOver:
        """Become the owner of a partition, and make up for what its last owner left.

        Raises:
            FencedError: another worker owns the partition by now.
            UnavailableError: broker or Redis stayed away.
        """
        changes, behind_since = self._settings.topic_changes, self._behind_since
        claim = (await self._tables.claim([partition]))[partition]
        still_owned = partial(still_owns, self._tables, claim)
        await self._publisher.take_over(partition, [], still_owned)
        since = claim.newest.get(behind_since, 0)
        start = None if claim.offsets is None else claim.offsets.get(changes, 0)
        if start is not None and since:
            start = min(start, since - 1)
        damaged = set[str]()
        names = await load_carried(self._tables, partition, self._settings.partitions, claim.token)
        async with nullcontext() if start else self._reading_all:
            published = await self._publisher.load_published(partition, start)
            adopted = await self._restore(claim, names, published, damaged)
            end = await self._publish_left_over(claim, published, damaged)
        behind = adopted
        if since:  # those of an owner before have not caught up
            behind |= {name for name, value in published.last.items() if value is not None}
        offsets = {**(claim.offsets or {}), changes: end}
        offsets[behind_since] = published.start + 1 if behind else 0
        if claim.offsets is not None:  # else the group's commits belong to them, or all is read
            await self._tables.commit(claim, Write(offsets=dict(offsets), pending=[]))
        return TakenOver(claim, offsets, adopted, behind, names, damaged)

    async def _publish_left_over(
        self, claim: Claim, published: Published, damaged: set[str]
    ) -> int:
        """Publish the changes that the last owner wrote and could not publish; where they end."""
        pending, broken = await load_unpublished(self._tables, claim.partition, self._taxonomy)
        damaged |= broken
        last = dict(pending)  # a tombstone goes before the change that follows it
        missing = [each for each in pending if published.last.get(each[0], b"") != last[each[0]]]
        end = await self._publisher.publish_changes(claim.partition, missing)
        await self._tables.announce([encode_copy(*change) for change in missing])
        return max(end, published.end)

    async def _restore(
        self, claim: Claim, known: CarriedNames, published: Published, damaged: set[str]
    ) -> frozenset[str]:
        """Let records take over what was published; write doubtful customers' values again.

        Customers with ``damaged`` records are added to these, and left as they are.
        """
        ranges = self._find_lost_ranges(claim)
        doubtful = await self._log.find_customers(claim.partition, ranges) if ranges else set()
        if ranges:
            logger.warning(
                "partition %d: a master of the Redis Cluster came back older; looking at %d "
                "customers again", claim.partition, len(doubtful),
            )  # fmt: skip
        names, adopted = iter(sorted(published.last.keys() | doubtful)), set[str]()
        while chunk := list(islice(names, _CHUNK)):
            adopted |= await self._restore_chunk(claim, known, chunk, published, doubtful, damaged)
        if adopted:
            logger.warning(
                "partition %d: Redis came back older than the changes of %d customers that were "
                "published; they were taken over from the topic", claim.partition, len(adopted),
            )  # fmt: skip
        return frozenset(adopted)

    async def _restore_chunk(
        self,
        claim: Claim,
        known: CarriedNames,
        names: list[str],
        changes: Published,
        doubtful: set[str],
        damaged: set[str],
    ) -> AbstractSet[str]:
        mark, published = self._taxonomy.fingerprint, changes.last
        stored, broken = await load_intact(self._tables, names, mark)
        damaged |= broken.keys()
        names = [name for name in names if name not in broken]
        adopted = dict(adopt_changes(names, stored, published))
        suspects = set(find_suspects(names, stored, published)) - adopted.keys()
        forgotten = await self._forget_again(claim, known, suspects, stored) if suspects else {}
        stored |= forgotten
        adopted |= adopt_changes(sorted(forgotten), stored, published)
        records = {name: stored[name] for name in names if name in stored and name in doubtful}
        write = self._build_write(records | adopted)
        self._add_doubtful(write, doubtful.intersection(names), stored | adopted)
        write.names = known.apply({}, _find_deleted(doubtful.intersection(names), stored)).fields
        if adopted and claim.offsets is not None:  # the next owner has to know who is behind
            write.offsets = {self._behind_since: changes.start + 1}
        if write.states or write.markers or write.names:
            await self._tables.commit(claim, write)
        if claim.offsets is None:  # the topic was read from its beginning
            names = [name for name in names if name in adopted or name in forgotten]
        await self._announce(names, stored | adopted, published)
        return adopted.keys()

    def _add_doubtful(
        self, write: Write, names: Iterable[str], records: Mapping[str, Record]
    ) -> None:
        """Add what a record leads to beside its own, or its absence, of doubtful customers."""
        for name in names:
            record = records.get(name)
            if record is None:
                write.states[name] = write.public[name] = write.due[name] = None
                write.tastes[name] = None
            joins = record is not None and is_training_example(record, self._taxonomy)
            (write.labelled if joins else write.unlabelled).add(name)

    async def _announce(
        self,
        names: Iterable[str],
        records: Mapping[str, Record],
        published: Mapping[str, bytes | None],
    ) -> None:
        """Announce what is stored of customers by now, as far as the topic has it.

        What it has not is left over, and announced once it is published.
        """
        copies = [_find_copy(name, records.get(name), published) for name in names]
        await self._tables.announce([copy for copy in copies if copy is not None])

    async def _forget_again(
        self, claim: Claim, known: CarriedNames, suspects: set[str], stored: Mapping[str, Record]
    ) -> dict[str, Record]:
        """Apply the deletions of customers whose tombstones were published; their new records.

        The topic may have newer deletions than were published: their tombstones are left over.
        """
        deletions = await self._log.load_deletions(claim.partition, claim.offsets or {})
        own = [each for each in deletions if each.event.customer_id in suspects]
        late = process.find_late_deletions(own, stored, self._taxonomy)
        histories = await self._log.read(late) if late else {}
        tokenizer = Tokenizer(self._taxonomy)
        outcome = process.apply_events(own, stored, self._taxonomy, tokenizer, histories)
        if outcome.records:
            write = self._build(outcome)
            left_over = await self._tables.load_pending(claim.partition)
            write.pending = sorted({*left_over, *outcome.records})
            write.names = known.apply(outcome.carried, write.forgotten).fields
            await self._tables.commit(claim, write)
        return outcome.records

    def _find_lost_ranges(self, claim: Claim) -> dict[str, range]:
        """Return the offsets, by topic, whose effects a part of a Cluster has and another lacks."""
        if claim.offsets is None:
            return {}
        ends = {topic: end for topic, end in claim.newest.items() if topic != self._behind_since}
        ranges = {topic: range(claim.offsets.get(topic, 0), end) for topic, end in ends.items()}
        return {topic: offsets for topic, offsets in ranges.items() if offsets}

    def _build(self, outcome: Outcome) -> Write:
        days, tastes = self._settings.deletion_marker_days, self._settings.tastes
        return build_write(outcome, self._taxonomy, days, tastes=tastes)

    def _build_write(self, records: dict[str, Record]) -> Write:
        if not records:
            return Write()
        public = {
            name: encode_public_record(name, record.published) if record.published else None
            for name, record in records.items()
        }
        outcome = Outcome(records, (), public)
        write = self._build(outcome)
        write.pending = None  # nothing of it is still to be published, and others may be
        return write


def _find_deleted(names: Iterable[str], stored: Mapping[str, Record]) -> set[str]:
    """Find the customers who were deleted: they may still be carriers of names of tokens."""
    return {name for name in names if name not in stored or stored[name].deleted_at}


def _find_copy(
    name: str, record: Record | None, published: Mapping[str, bytes | None]
) -> bytes | None:
    """Find the copy of a customer's last message, as the topic has it where that is known.

    None where that is of before a deletion, or where the customer has come back since.
    """
    if name not in published:
        return None if record is None else encode_last_copy(name, record)
    value, record = published[name], record or Record()
    is_own = record.published is None if value is None else is_of_same_life(name, record, value)
    return encode_copy(name, value) if is_own else None
