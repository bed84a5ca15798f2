"""One worker: fetched batches in; records, changes and shards of the model out. No Faust here.

The order within a batch makes it effectively once: load, process, one atomic write that holds the
positions together with their effects, publish and wait for the broker, acknowledge last. While a
batch is written (``writer``), the next one is processed, on the records that it left in memory.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeVar

from stream_persona.clocks import MACHINE_CLOCKS, Clocks
from stream_persona.domain.tokenizer import Tokenizer
from stream_persona.errors import RolledBackError
from stream_persona.kafka.batch import find_next_offsets
from stream_persona.kafka.origins import Origins
from stream_persona.kafka.router import MessageRouter
from stream_persona.pipeline import process
from stream_persona.pipeline.decision import Cause
from stream_persona.worker.challengers import ChallengerPanel
from stream_persona.worker.due import DueCustomers
from stream_persona.worker.idle import IdleCustomers
from stream_persona.worker.last_hour import LastHourTracker
from stream_persona.worker.model_sync import ModelSync
from stream_persona.worker.nobody import NobodyForgetter
from stream_persona.worker.partitions import OwnedPartitions
from stream_persona.worker.refolding import Refolding
from stream_persona.worker.stored_records import StoredRecords
from stream_persona.worker.sweep import Sweep

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from aiokafka import ConsumerRecord

    from stream_persona.domain.record import Record
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.kafka.log_reader import EventLog
    from stream_persona.kafka.publisher import Publisher
    from stream_persona.kafka.router import RoutedBatch
    from stream_persona.model.predictor import Predictor
    from stream_persona.pipeline.process import Outcome
    from stream_persona.settings import Settings
    from stream_persona.store.tables import Tables
    from stream_persona.worker.metrics import Metrics
    from stream_persona.worker.owned_partition import OwnedPartition

#: A topic and its partition.
At = TypeVar("At", bound=tuple[str, int])

#: A batch of more events than this shows that events queue up: they had to wait for each other.
#: The sweep steps back in the seconds after it.
_LARGE_BATCH: Final = 300
_BUSY_SECONDS: Final = 1.0


class Worker:
    """The state of one worker process and what it does with a batch."""

    def __init__(
        self,
        settings: Settings,
        taxonomy: Taxonomy,
        tables: Tables,
        publisher: Publisher,
        log: EventLog,
        metrics: Metrics,
        clocks: Clocks = MACHINE_CLOCKS,
    ) -> None:
        self._settings = settings
        self._taxonomy = taxonomy
        self._tables = tables
        self._publisher = publisher
        self._log = log
        self._metrics = metrics
        self._clock, self._now = clocks.monotonic, clocks.epoch_ms
        self.last_hour = LastHourTracker(clocks, settings.partitions)
        self._tokenizer = Tokenizer(taxonomy)
        self._router = MessageRouter(settings, taxonomy, self._tokenizer, self._now)
        self._origins = Origins(settings, log)
        self.partitions = OwnedPartitions(
            settings, taxonomy, tables, publisher, log, metrics, self._clock
        )
        self._model = ModelSync(
            settings, taxonomy, tables, self._tokenizer, self.partitions, metrics, self._clock
        )
        self.challengers = ChallengerPanel(settings, taxonomy, metrics, self._clock)
        self._processing = asyncio.Lock()
        self._reclaiming = asyncio.Lock()
        self._reclaims = 0
        self._busy_until = 0.0
        self._records = self._build_records(log)
        nobody = NobodyForgetter(settings, taxonomy, self._tokenizer, self._records)
        self._sweep = Sweep(tables, settings.partitions, settings.sweep_rate, self._clock)
        self._idle = IdleCustomers(
            self.partitions, self._records, nobody, self.challengers, self._processing, clocks
        )
        self._due = DueCustomers(tables, self._idle, self._rescore, metrics, self._now)

    def _build_records(self, log: EventLog) -> StoredRecords:
        """Build what loads records, makes damaged ones again from the topics, and writes them."""
        refolding = Refolding(
            self._settings, self._taxonomy, self._tables, self._tokenizer, log, self._metrics,
            self._rescore,
        )  # fmt: skip
        return StoredRecords(
            self._settings, self._taxonomy, self._tables, self._publisher, self.partitions,
            refolding, self._metrics,
        )  # fmt: skip

    @property
    def weights(self) -> Predictor:
        """The weights in use."""
        return self._model.follower.weights

    @property
    def owned(self) -> frozenset[int]:
        """The partitions that this worker has claimed."""
        return frozenset(self.partitions.held)

    async def start(self) -> None:
        """Read the names of tokens and the model as others left it."""
        await self._tables.remove_old_names()
        await self.refresh()

    async def assign(self, partitions: Collection[int], forwarded: Collection[str] = ()) -> None:
        """Own exactly these partitions: keep what is still ours, claim and fold the rest.

        All events of topics that are ``forwarded`` go to their customers' homes first. The weights
        in use stay until the next ``refresh``: they are of the shards as their owners left them.
        """
        self._router.forwarded = forwarded
        async with self._reclaiming:
            fresh = await self.partitions.assign(partitions)
        for partition in fresh:
            if (owned := self.partitions.held.get(partition)) is not None:
                self._tokenizer.names.see((each.slot, each.token) for each in owned.names)

    async def process_batch(
        self, batch: Sequence[ConsumerRecord], ack: Callable[[], object]
    ) -> asyncio.Task[None]:
        """Process fetched records, of any partitions; return as soon as the next ones may be.

        They are processed together, and then written and published partition by partition, while
        the next ones are processed on what is not written yet. The task calls ``ack`` at the end.

        Raises:
            FencedError: another worker owns one of the partitions now; nothing of it was written.
            UnavailableError: Redis or Kafka stayed away; nothing may be acknowledged.
        """
        started, reclaims = self._clock(), self._reclaims
        if len(batch) > _LARGE_BATCH:
            self._busy_until = started + _BUSY_SECONDS
        await self.partitions.wait_until_assigned()
        await self._router.sources.prepare(batch)
        routed = self._router.route(batch, await self._origins.find_ends(batch))
        offsets = find_next_offsets(batch)
        owned = await self.partitions.wait_and_get(routed.homes.values(), offsets)
        await self._publisher.publish([*routed.letters, *routed.reroutes])

        def done() -> None:
            seconds = self._clock() - started
            self._metrics.record_batch(batch, routed, outcome, seconds, self._now())
            self.last_hour.record_batch(len(batch), routed, outcome)
            ack()

        async with self._processing:
            if reclaims != self._reclaims:  # it was read from a place that was not the right one
                raise RolledBackError(next(iter(owned), 0))
            outcome = await self._compute_outcome(routed, owned)
            self.challengers.judge(outcome.trials, outcome.model_updates, self._now())
            for home, own in offsets.items():
                if home in owned:
                    owned[home].advance(own, self._router.forwarded)
            return await self._records.write(outcome, routed.homes, owned, done)

    async def _compute_outcome(
        self, routed: RoutedBatch, owned: Mapping[int, OwnedPartition]
    ) -> Outcome:
        """Process the events on the stored records of their customers."""
        stored = await self._records.load(routed.homes, owned)
        late_deletions = process.find_late_deletions(routed.deliveries, stored, self._taxonomy)
        histories = await self._log.read(late_deletions) if late_deletions else {}
        return process.process_batch(
            routed.deliveries, stored, self.weights, self._taxonomy, self._tokenizer,
            self._now(), histories, undecided=self.partitions.behind,
        )  # fmt: skip

    @property
    def sweeping(self) -> bool:
        """Whether a sweep has begun and not ended."""
        return self._sweep.under_way

    @property
    def age(self) -> float:
        """Seconds by which the oldest public record may be behind the model."""
        return self._sweep.compute_age(self.weights.version)

    async def challenge(self) -> None:
        """Let the challengers judge what waits for them, and fold again what they can't unlearn."""
        weights = self.weights
        await self.challengers.work(self._tables, weights.customers, self._now(), weights.version)

    async def sweep(self) -> int:
        """Score the next idle customers again if the model has moved; return how many."""
        version, busy = self.weights.version, self._clock() < self._busy_until
        if not self.sweeping:
            await self.drain()
        scored = await self._sweep.step(version, self.owned, self._score_again, busy=busy)
        self._metrics.oldest_record_age.set(self.age)
        self._metrics.swept.inc(scored)
        return scored

    @property
    def sweep_pause(self) -> float:
        """Seconds to wait before the sweep's next step."""
        return self._sweep.pause

    async def end_due(self) -> int:
        """Publish what has ended by now without events; return how many customers were due."""
        return await self._due.end(self.owned)

    async def drain(self) -> None:
        """Wait until every batch that was processed by now has been written.

        A sweep reads customers from the tables: those that an older model has scored must be there.
        """
        async with self._processing:
            pass  # batches that are being processed by now are handed to the writer
        await self._records.drain()

    async def refresh(self) -> None:
        """Publish our shards, read the others', derive new weights when anything has changed."""
        for owned in self.partitions.find_old_fences():
            async with self._processing:
                await self._records.drain()
                await self.partitions.raise_fence(owned)
        await self._records.check_age()
        if caught_up := self.partitions.take_caught_up():
            await self._idle.score(
                caught_up, lambda _, stored: self._rescore(stored, Cause.BEHAVIOUR)
            )
            self.partitions.forget_caught_up()
        await self._idle.restore_noted(self._settings.partitions)
        await self._model.refresh()

    def find_starts(self, committed: Mapping[At, int | None]) -> dict[At, int]:
        """Find where reading goes on before the group's commits, by topic and partition."""
        topics = {*self._settings.input_topics, self._settings.topic_reroutes}
        read_here = {
            at: offset
            for at, offset in committed.items()
            if at[0] in topics.difference(self._router.forwarded)
        }
        return self.partitions.find_starts(read_here)

    @property
    def is_older(self) -> bool:
        """Whether nothing is written any more because Redis has come back older."""
        return self._records.is_older

    async def reclaim(self) -> None:
        """Claim all partitions anew, of a Redis that is older than what was written to it.

        Everything that was read from it, or was to be written to it, is dropped. Batches that were
        fetched before have to be dropped, too; ``find_starts`` says where to go on.
        """
        async with self._reclaiming, self._processing:
            self._reclaims += 1
            self._metrics.rollbacks.inc()
            ends = self.partitions.find_ends(self._settings.input_topics)
            await self._records.begin_anew()
            self.record_read_again(self.partitions.count_behind(ends))

    def record_read_again(self, events: int) -> None:
        """Note that so many events are read again, of a Redis that has come back older."""
        self._metrics.reread.inc(events)
        self.last_hour.record_rollback(events)

    async def _score_again(self, homes: Mapping[str, int]) -> float:
        """Score customers again; publish the changes that a moved model or the time causes.

        Returns the seconds that this took.
        """
        began = self._clock()
        if self._sweep.is_thorough:
            await self._idle.check(homes)
        await self._idle.score(homes, lambda _, stored: self._rescore(stored, Cause.MODEL))
        return self._clock() - began

    def _rescore(self, records: Mapping[str, Record], cause: Cause) -> Outcome:
        """Score records with the model in use."""
        return process.rescore(
            records, self.weights, self._taxonomy, self._tokenizer, self._now(), cause,
            self.partitions.behind,
        )  # fmt: skip
