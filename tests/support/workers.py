"""A worker in this process, and stand-ins for its tables, its publisher and the topics' history."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from aiokafka.structs import ConsumerRecord, TopicPartition

from stream_persona.clocks import MACHINE_CLOCKS
from stream_persona.domain import events
from stream_persona.domain.events import DELETION, Event
from stream_persona.domain.taxonomy import Taxonomy
from stream_persona.errors import FencedError
from stream_persona.kafka.arrivals import BY_BROKER
from stream_persona.kafka.producer import Message
from stream_persona.kafka.publisher import StillOwns
from stream_persona.kafka.whole_log import WholeHistory
from stream_persona.pipeline.messages import ChangeMessage
from stream_persona.pipeline.process import Delivery, LateDeletion
from stream_persona.settings import Settings
from stream_persona.store.memory import MemoryTables
from stream_persona.testing.outbox import Outbox
from stream_persona.worker.metrics import Metrics
from stream_persona.worker.worker import Worker
from tests.support.constants import NOW
from tests.support.events import deliver
from tests.support.waiting import eventually


class Crash(Exception):  # noqa: N818 - it is no error of the package's
    """The process ends here."""


class PatientWorker(Worker):
    """A worker that can be given one batch after the other."""

    async def process(self, batch: Sequence[ConsumerRecord]) -> None:
        """Process a batch, and wait until all of it is written."""
        await (await self.process_batch(batch, lambda: None))


class RecordingPublisher(Outbox):
    """The outbox that users test with; its next ``crashes`` calls end the process."""

    def __init__(self) -> None:
        super().__init__(worker_settings())
        self.crashes = 0

    async def publish(self, messages: Sequence[Message]) -> None:
        self._crash_before(messages)
        await super().publish(messages)

    async def take_over(
        self, partition: int, changes: Sequence[ChangeMessage], still_owns: StillOwns
    ) -> None:
        if not await still_owns():
            raise FencedError(partition)
        await super().take_over(partition, changes, still_owns)

    async def publish_changes(self, partition: int, changes: Sequence[ChangeMessage]) -> int:
        self._crash_before(changes)
        return await super().publish_changes(partition, changes)

    def values(self, topic: str) -> list[bytes | None]:
        return [message.value for message in self.messages if message.topic == topic]

    def lose_last_change(self) -> None:
        """Be as a crash right before the last change leaves a topic."""
        lost = self.messages.pop()
        self.change_messages.pop()
        self._by_partition[lost.partition or 0].pop()

    def _crash_before(self, messages: Sequence[object]) -> None:
        if messages and self.crashes:
            self.crashes -= 1
            raise Crash


class InMemoryLog:
    """The log of the input topics: the deliveries that a test puts into it.

    Each of its partitions ends at ``end``, but for those in ``ends``; topics have 64 of them.
    """

    def __init__(self, end: int = 1_000_000) -> None:
        self.deliveries: list[Delivery] = []
        self.changes: dict[str, bytes] = {}
        self.expired: frozenset[int] = frozenset()
        self.passes = 0
        self.end = end
        self.ends: dict[TopicPartition, int] = {}
        #: The partitions whose ends were asked for, call by call.
        self.asked: list[set[TopicPartition]] = []

    async def find_ends(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        self.asked.append(set(partitions))
        return {tp: self.ends.get(tp, self.end) for tp in partitions if tp.partition < 64}

    async def read(self, wanted: Mapping[str, LateDeletion]) -> dict[str, list[Delivery]]:
        found: dict[str, list[Delivery]] = {name: [] for name in wanted}
        for delivery in self.deliveries:
            late = wanted.get(delivery.event.customer_id)
            if late and delivery.offset < late.positions.get(delivery.source, 0):
                found[delivery.event.customer_id].append(delivery)
        return found

    async def read_whole(self, homes: Mapping[str, int]) -> WholeHistory:
        self.passes += 1
        found = [each for each in self.deliveries if each.event.customer_id in homes]
        changes = {name: change for name, change in self.changes.items() if name in homes}
        return WholeHistory(found, changes, self.expired)

    async def load_deletions(self, partition: int, starts: Mapping[str, int]) -> list[Delivery]:
        start = starts.get(worker_settings().topic_deletions, 0)
        return [each for each in self.deliveries if each.kind == DELETION and each.offset >= start]

    async def find_customers(self, partition: int, ranges: Mapping[str, range]) -> set[str]:
        topics = worker_settings().input_topics
        return {
            delivery.event.customer_id
            for delivery in self.deliveries
            if delivery.offset in ranges.get(topics[delivery.kind], range(0))
        }


def worker_settings(partitions: int = 1, **values: Any) -> Settings:
    return Settings(partitions=partitions, **values) if values else _plain_settings(partitions)


@cache
def _plain_settings(partitions: int) -> Settings:
    """Read once what hundreds of tests have: reading settings takes some milliseconds."""
    return Settings(partitions=partitions)


def worker(
    tables: MemoryTables,
    publisher: RecordingPublisher,
    taxonomy: Taxonomy,
    settings: Settings | None = None,
    log: InMemoryLog | None = None,
    now: Callable[[], int] = MACHINE_CLOCKS.epoch_ms,
) -> PatientWorker:
    """Make a worker of these parts; it has one partition unless ``settings`` are given."""
    settings, clocks = settings or worker_settings(), replace(MACHINE_CLOCKS, epoch_ms=now)
    log = log or InMemoryLog()
    return PatientWorker(settings, taxonomy, tables, publisher, log, Metrics(), clocks)


async def settle(worker: Worker) -> None:
    """Let a worker follow the model until its weights contain every update."""

    async def follows() -> bool:
        await worker.refresh()
        return worker._model.follower.settled

    await eventually(follows, 20, "the weights do not settle")


def raw(
    topic: str,
    value: bytes | None,
    offset: int = 0,
    partition: int = 0,
    headers: Sequence[tuple[str, bytes]] = (),
    at: int = NOW,
) -> ConsumerRecord:
    """A message as aiokafka returns it, that arrived ``at`` by the broker's clock."""
    size = len(value or b"")
    return ConsumerRecord(
        topic, partition, offset, at, BY_BROKER, b"key", value, None, 3, size, tuple(headers)
    )


def fetch(
    *happened: Event, partition: int = 0, first: int = 0, settings: Settings | None = None
) -> list[ConsumerRecord]:
    """Return the messages of these events, each at the next offset, arriving when it happens."""
    topics = (settings or worker_settings()).input_topics
    return [
        raw(topics[d.kind], events.encode(d.event), d.offset, partition, at=d.at)
        for d in deliver(*happened, partition=partition, first=first)
    ]
