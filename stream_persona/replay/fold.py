"""Replay: events of files or topics, processed as live ones are, but published at the end alone.

Records are folded chunk by chunk; at the end the model's shards are folded from them, and of each
customer that was touched at most one change is published. Deletions alone are published as they
come.

Every event has a position, so replaying one again changes nothing: those of topics have their
own, those of files are made of the content and the row (``replay.topics``, ``replay.files``).

While it runs, a replay owns the partitions that it writes, like a worker: a live worker on them
would be fenced out, so there must be none.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from stream_persona.clocks import MACHINE_CLOCKS, Clocks
from stream_persona.domain.anomaly import Anomaly
from stream_persona.domain.tokenizer import Tokenizer
from stream_persona.errors import DamagedRecordError, DamagedShardError
from stream_persona.kafka.partitioner import find_home_partition
from stream_persona.model.explain import compute_affinities
from stream_persona.model.shard import compute_panel_share
from stream_persona.pipeline import process
from stream_persona.pipeline.decision import Cause
from stream_persona.pipeline.messages import encode_copy
from stream_persona.replay.summary import ReplaySummary
from stream_persona.store.model_replica import make_replica
from stream_persona.store.names import ListingReader, ListingWriter, load_carried
from stream_persona.store.ranking_tables import save_common
from stream_persona.store.repository import RecordCache, load
from stream_persona.store.shards import fold_shard, load_panel, publish_shard, read_shards
from stream_persona.store.tables import Write
from stream_persona.store.writes import build_write
from stream_persona.worker.takeover import PartitionTaker

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable, Mapping, Sequence

    from stream_persona.domain.carried_names import CarriedNames
    from stream_persona.domain.record import Record
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.kafka.log_reader import EventLog
    from stream_persona.kafka.publisher import Publisher
    from stream_persona.model.predictor import Predictor
    from stream_persona.pipeline.messages import ChangeMessage
    from stream_persona.pipeline.process import Delivery, Outcome
    from stream_persona.replay.summary import Found, Unreadable
    from stream_persona.settings import Settings
    from stream_persona.store.tables import Claim, Tables

#: Customers that are scored at a time.
_SCORE_CHUNK: Final = 500
_NONE: Final[Mapping[int, int]] = MappingProxyType({})


class Replay:
    """One replay, on tables that are written by nothing else meanwhile."""

    def __init__(
        self,
        settings: Settings,
        taxonomy: Taxonomy,
        tables: Tables,
        publisher: Publisher,
        log: EventLog,
        *,
        publish: bool = True,
        clocks: Clocks = MACHINE_CLOCKS,
    ) -> None:
        self._clocks = clocks
        self._settings = settings
        self._taxonomy = taxonomy
        self._tables = tables
        self._publisher = publisher
        self._log = log
        self._publishes = publish
        self._earlier = _NONE
        self._tokenizer = Tokenizer(taxonomy)
        self._cache = RecordCache(tables, taxonomy.fingerprint)
        self._taker = PartitionTaker(settings, taxonomy, tables, publisher, log)
        self._claims: dict[int, Claim] = {}
        self._offsets: dict[int, dict[str, int]] = {}
        self._touched: dict[int, set[str]] = {}
        self._names: dict[int, CarriedNames] = {}
        self._listing = ListingReader(tables)
        self.summary = ReplaySummary()

    async def run(
        self,
        chunks: AsyncIterable[Sequence[Found]],
        *,
        unreadable: Callable[[Unreadable], None] = lambda _: None,
        progress: Callable[[int], None] = lambda _: None,
        earlier: Mapping[int, int] = _NONE,
    ) -> ReplaySummary:
        """Fold all chunks, then publish; ``unreadable`` is handed what could not be read.

        ``earlier`` are the partitions under which an earlier version stored the positions of the
        events of some partitions.

        Raises:
            DamagedError: a record or a shard is damaged; start a worker, which restores it.
            FencedError: a worker has claimed a partition meanwhile; start the replay again.
            UnavailableError: broker or Redis stayed away; the same.
        """
        self._earlier = earlier
        try:
            return await self._run(chunks, unreadable, progress)
        except DamagedRecordError as error:
            await self._tables.report_suspects(error.customers)
            raise

    async def _run(
        self,
        chunks: AsyncIterable[Sequence[Found]],
        unreadable: Callable[[Unreadable], None],
        progress: Callable[[int], None],
    ) -> ReplaySummary:
        await self._share_names()
        async for chunk in chunks:
            deliveries = []
            for found in chunk:
                if isinstance(found, process.Delivery):
                    deliveries.append(found)
                elif isinstance(found, Anomaly):
                    self.summary.anomalies[found] += 1
                else:
                    self.summary.add_unreadable(found)
                    unreadable(found)
            await self._apply(deliveries)
            progress(len(chunk))
        await self._score(await self._update_model())
        return self.summary

    async def store_offsets(self, ends: Mapping[tuple[str, int], int]) -> None:
        """Let workers go on at these offsets, by topic and partition, once all was folded."""
        for partition in sorted({number for _, number in ends}):
            claim = await self._claim(partition)
            offsets = self._offsets[partition]
            offsets |= {topic: end for (topic, number), end in ends.items() if number == partition}
            await self._tables.commit(claim, Write(offsets=dict(offsets)))

    async def _apply(self, deliveries: Sequence[Delivery]) -> None:
        """Fold a chunk into the records, one home partition after the other."""
        homes: dict[int, list[Delivery]] = {}
        for delivery in deliveries:
            partition = find_home_partition(delivery.event.customer_id, self._settings.partitions)
            homes.setdefault(partition, []).append(delivery)
        for partition, all_own in homes.items():
            claim = await self._claim(partition)
            stored = await self._cache.load(delivery.event.customer_id for delivery in all_own)
            own = self._drop_applied(all_own, stored) if self._earlier else all_own
            late_deletions = process.find_late_deletions(own, stored, self._taxonomy)
            histories = await self._log.read(late_deletions) if late_deletions else {}
            outcome = process.apply_events(
                own, stored, self._taxonomy, self._tokenizer, histories, self._now()
            )
            await self._commit(claim, outcome)
            self._cache.keep(outcome.records, self._settings.cached_customers)
            self._touched[partition].update(delivery.event.customer_id for delivery in own)
            self.summary.add(outcome)

    def _drop_applied(self, own: list[Delivery], stored: Mapping[str, Record]) -> list[Delivery]:
        """Drop, and count, what was applied under the positions of an earlier version."""
        new = [each for each in own if not self._was_applied(each, stored)]
        self.summary.already_applied += len(own) - len(new)
        return new

    def _was_applied(self, delivery: Delivery, stored: Mapping[str, Record]) -> bool:
        record = stored.get(delivery.event.customer_id)
        if record is None or delivery.partition not in self._earlier:
            return False
        source = delivery.kind << 16 | self._earlier[delivery.partition]
        return record.positions.get(source, 0) > delivery.offset

    async def _claim(self, partition: int) -> Claim:
        if partition not in self._claims:
            if self._publishes:
                taken = await self._taker.take_over(partition)
                if taken.damaged:
                    raise DamagedRecordError(sorted(taken.damaged))
                claim, offsets, names = taken.claim, taken.offsets, taken.names
            else:
                claim = (await self._tables.claim([partition]))[partition]
                offsets = dict(claim.offsets or {})
                names = await load_carried(
                    self._tables, partition, self._settings.partitions, claim.token
                )
            stored = claim.offsets is not None  # else workers trust the group's commits alone
            self._claims[partition], self._offsets[partition] = claim, offsets if stored else {}
            self._touched[partition] = set()
            self._names[partition] = names
        return self._claims[partition]

    async def _commit(self, claim: Claim, outcome: Outcome) -> None:
        """Write, then publish what is new; of a chunk that is tombstones alone.

        Caches of what Redis has are invalidated in any case.
        """
        if outcome.records:
            days, tastes = self._settings.deletion_marker_days, self._settings.tastes
            write = build_write(outcome, self._taxonomy, days, tastes=tastes)
            write.offsets = dict(self._offsets[claim.partition])
            if not self._publishes:
                write.pending = None
            change = self._names[claim.partition].apply(outcome.carried, write.forgotten)
            write.names = change.fields
            self._tokenizer.lose_names(change.lost, change.emptied)
            await self._tables.commit(claim, write)
        if self._publishes:
            await self._publish(claim.partition, outcome.messages)
        await self._tables.announce([encode_copy(*change) for change in outcome.messages])
        if self._publishes and any(message is None for _, message in outcome.messages):
            await self._tables.commit(claim, Write(pending=[]))

    async def _share_names(self, *, now: bool = False) -> None:
        """Write what names may be shown if that is to be done ``now``, and show these."""
        if now:
            writer = ListingWriter(
                self._tables, self._settings.partitions, self._tokenizer.names.public,
                self._clocks.monotonic,
            )  # fmt: skip
            await writer.write(self._names, now=True)
        listing = await self._listing.read()
        if listing is not None:
            self._tokenizer.show_names(listing)

    async def _update_model(self) -> Predictor:
        """Fold the touched partitions' shards anew; return the weights of all shards together."""
        for partition, claim in self._claims.items():
            folded = await fold_shard(self._tables, partition, self._taxonomy)
            if folded.damaged:
                raise DamagedRecordError(sorted(folded.damaged))
            share = compute_panel_share(self._settings.partitions)
            known, _ = await load_panel(self._tables, folded.labelled, share, self._taxonomy)
            await publish_shard(self._tables, claim, folded.sums, known, self._taxonomy)
        stamps = await self._tables.load_stamps(range(self._settings.partitions))
        stored, _, damaged_shards = await read_shards(self._tables, stamps, {}, self._taxonomy)
        if damaged_shards:
            raise DamagedShardError(damaged_shards)
        shards_read = [shard for _, shard in stored.values()]
        follower = make_replica(
            self._settings, self._taxonomy, self._tables, self._clocks.monotonic
        )
        await follower.follow(shards_read, changed=True)
        weights = follower.weights
        if self._claims:
            await self._share_names(now=True)
            names = self._tokenizer.names
            await self._tables.save_affinities(compute_affinities(weights, names.join_names))
            if self._settings.tastes:
                await save_common(self._tables, weights, names, self._taxonomy)
        return weights

    async def _score(self, weights: Predictor) -> None:
        """Publish what is new of the touched customers: at most one change of each."""
        for partition, names in self._touched.items():
            customers = sorted(names)
            for start in range(0, len(customers), _SCORE_CHUNK):
                chunk = customers[start : start + _SCORE_CHUNK]
                await self._score_chunk(chunk, self._claims[partition], weights)
        self.summary.customers = sum(map(len, self._touched.values()))

    async def _score_chunk(self, customers: list[str], claim: Claim, weights: Predictor) -> None:
        loaded = await load(self._tables, customers, self._taxonomy.fingerprint)
        outcome = process.rescore(
            loaded, weights, self._taxonomy, self._tokenizer, self._now(), Cause.BEHAVIOUR
        )
        await self._commit(claim, outcome)
        self.summary.changes += len(outcome.messages)

    def _now(self) -> int:
        return self._clocks.epoch_ms()

    async def _publish(self, partition: int, changes: Sequence[ChangeMessage]) -> None:
        offsets, topic = self._offsets[partition], self._settings.topic_changes
        end = await self._publisher.publish_changes(partition, changes)
        if topic in offsets:
            offsets[topic] = max(end, offsets[topic])
        self.summary.published += len(changes)
