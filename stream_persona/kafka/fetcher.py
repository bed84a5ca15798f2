"""A worker's consumer in its thread: it fetches on demand, and returns positions with the records.

It uses private parts of aiokafka and of Faust's driver; all of them are used here alone, and
``tests/unit/test_private_parts.py`` fails when one of them moves.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, cast

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.conn import AIOKafkaConnection
from aiokafka.consumer.fetcher import Fetcher, OffsetResetStrategy
from aiokafka.consumer.subscription_state import Assignment
from aiokafka.errors import NoOffsetForPartitionError, OffsetOutOfRangeError
from aiokafka.structs import OffsetAndMetadata
from faust.transport.consumer import RecordMap, ensure_TP
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from stream_persona.kafka.batches import unpack_whatever_comes
from stream_persona.kafka.faust_app import make_cut_log_error

if TYPE_CHECKING:
    from stream_persona.kafka.faust_app import BatchApp

logger = logging.getLogger(__name__)

#: Milliseconds for which a broker may hold back a fetch that finds nothing. Only one fetch of a
#: broker is under way at a time, and it leaves out partitions whose records are still being
#: consumed: these would run empty while it waits for new records of the idle ones.
FETCH_WAIT_MS: Final = 100


class Fetched(dict[TP, list[ConsumerRecord]]):
    """The records of one fetch by partition, and the ``positions`` that are read next.

    ``generation`` is that of the consumer group in which it was fetched, ``seeks`` is how often
    reading had been sought back until then.
    """

    def __init__(
        self, records: RecordMap, positions: Mapping[TP, int], generation: int, seeks: int
    ) -> None:
        super().__init__((ensure_TP(tp), batch) for tp, batch in records.items())
        self.positions = positions
        self.generation = generation
        self.seeks = seeks


class FetchGate:
    """Lets a fetcher send fetch requests only while records are being waited for.

    On its own it sends another one as soon as it has handed out what it had, and brokers answer
    once they have a record or two: while a batch is processed, it would fetch many times for a few
    records each. These would lie there until the batch is done, and contend for the interpreter
    with it.
    """

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher
        self._actions_per_node = fetcher._get_actions_per_node  # noqa: SLF001
        fetcher._get_actions_per_node = self._gated_actions  # noqa: SLF001
        self._waiting = 0

    def __enter__(self) -> None:
        self._waiting += 1
        self._fetcher._notify(self._fetcher._wait_consume_future)  # noqa: SLF001

    def __exit__(self, *_: object) -> None:
        self._waiting -= 1

    def _gated_actions(self, assignment: Assignment) -> tuple[Any, ...]:
        """Return aiokafka's requests of each node; none while nothing is waited for.

        Where a partition begins is always asked: code that needs it may wait for nothing else.
        """
        if self._waiting or any(
            not assignment.state_value(tp).has_valid_position for tp in assignment.tps
        ):
            return cast("tuple[Any, ...]", self._actions_per_node(assignment))
        return [], {}, None, False, []


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """The driver's thread, which fetches only when records are asked for, and adds the positions.

    A position that the log does not have is never reset in silence. Before the log's beginning,
    retention has dropped events that were not read: that is reported, and reading goes on. Behind
    its end, the log is another one than the position belongs to: that ends the worker. A partition
    without a position is read from its beginning.
    """

    _answered: float
    _gate: FetchGate
    _seeks = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._answered = self._app.monotonic()

    @property
    def _app(self) -> BatchApp:
        return cast("BatchApp", self.app)

    def _create_worker_consumer(self, transport: driver.Transport) -> AIOKafkaConsumer:
        unpack_whatever_comes()
        consumer = super()._create_worker_consumer(transport)
        # The driver reads committed records only if Faust itself writes transactions, and lets
        # brokers keep a fetch for 1.5 s.
        consumer._isolation_level = "read_committed"  # noqa: SLF001
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS  # noqa: SLF001
        _sign_commits(consumer, self._app.deployment_id)
        return consumer

    async def on_start(self) -> None:
        """Connect, and fetch nothing until records are asked for."""
        await super().on_start()
        self._gate = FetchGate(self._ensure_consumer()._fetcher)  # noqa: SLF001

    async def seek_back(self, positions: Mapping[TP, int], seeks: int) -> None:
        """Read partitions from earlier positions on; what is fetched from now on has ``seeks``."""
        consumer = self._ensure_consumer()
        assigned = consumer.assignment()
        for tp, position in positions.items():
            if tp in assigned:
                consumer.seek(TopicPartition(*tp), position)
        self._seeks = seeks

    async def check_group(self) -> None:
        """Raise the error, if any, between this worker and its group since the last call."""
        coordinator = self._ensure_consumer()._coordinator  # noqa: SLF001  # as `getmany` does
        if coordinator is not None:
            coordinator.check_errors()

    async def on_thread_stop(self) -> None:
        """Stop; tasks of a consumer whose broker is away may raise their cancellation."""
        with suppress(asyncio.CancelledError):
            await super().on_thread_stop()

    def compute_silence(self) -> float:
        """Return the seconds since any broker has answered anything."""
        answered = [self._answered, *(conn._last_action for conn in self._list_connections())]  # noqa: SLF001
        self._answered = max(answered)
        return self._app.monotonic() - self._answered

    def _list_connections(self) -> list[AIOKafkaConnection]:
        return list(self._consumer._client._conns.values()) if self._consumer else []  # noqa: SLF001

    def has_coordinator(self) -> bool:
        """Whether the broker that keeps the group's offsets is known."""
        coordinator = self._consumer and self._consumer._coordinator  # noqa: SLF001
        return coordinator is None or getattr(coordinator, "coordinator_id", 0) is not None

    def find_missing_topics(self) -> set[str]:
        """Return the subscribed topics that no broker has."""
        if self._consumer is None:
            return set()
        cluster = self._consumer._client.cluster  # noqa: SLF001
        wanted = self._consumer.subscription()
        return {topic for topic in wanted if not cluster.partitions_for_topic(topic)}

    def ask_brokers(self) -> None:
        """Make a broker answer where nothing else is asked of it: while others join, for one."""
        if self._consumer is not None:
            ask = self._consumer._client.force_metadata_update  # noqa: SLF001
            self.thread_loop.call_soon_threadsafe(ask)

    async def _fetch_records(
        self,
        consumer: AIOKafkaConsumer,
        active_partitions: set[TP],
        timeout: float | None = None,  # noqa: ASYNC109  # the driver's signature
        max_records: int | None = None,
    ) -> RecordMap:
        try:
            with self._gate:
                records = await super()._fetch_records(
                    consumer, active_partitions, timeout, max_records
                )
        except NoOffsetForPartitionError as error:
            _read_from_beginning(consumer, *error.args)
            return {}
        except OffsetOutOfRangeError as error:
            await self._seek_to_log_start(consumer, *error.args)
            return {}
        # No await from here on: the positions are still those that this fetch left.
        if not self.consumer.flow_active:
            for tp, batch in records.items():
                consumer.seek(tp, batch[0].offset)
            return {}
        generation = self.app.consumer_generation_id
        return Fetched(records, _read_positions(consumer), generation, self._seeks)

    async def _seek_to_log_start(
        self, consumer: AIOKafkaConsumer, positions: Mapping[TopicPartition, int]
    ) -> None:
        """On ``OffsetOutOfRangeError``, seek to the first retained offset.

        Raises:
            TopologyError: a position lies behind the log's end: it is of another log.
        """
        first = await consumer.beginning_offsets(list(positions))
        for tp, position in positions.items():
            if position > first[tp]:
                raise make_cut_log_error(tp.topic, tp.partition, position)
            self._app.report_expired(ensure_TP(tp), first[tp], first[tp] - position)
            consumer.seek(tp, first[tp])


def _sign_commits(consumer: AIOKafkaConsumer, identity: str) -> None:
    """Let the consumer's commits carry an id as their metadata, which the driver leaves empty."""
    commit = consumer.commit

    async def commit_signed(offsets: Mapping[TopicPartition, OffsetAndMetadata]) -> None:
        await commit({tp: OffsetAndMetadata(at.offset, identity) for tp, at in offsets.items()})

    consumer.commit = commit_signed


def _read_from_beginning(consumer: AIOKafkaConsumer, tp: TopicPartition) -> None:
    """Read a partition, and all others without a committed position, from its beginning.

    All at once, and without waiting: each reset waits for the fetches that are under way.
    """
    fetcher, subscription = consumer._fetcher, consumer._subscription  # noqa: SLF001
    errors = {found: getattr(kept, "_error", None) for found, kept in fetcher._records.items()}  # noqa: SLF001
    lacking = {f for f, error in errors.items() if isinstance(error, NoOffsetForPartitionError)}
    assigned = [each for each in lacking | {tp} if subscription.is_assigned(each)]
    if assigned:
        fetcher.request_offset_reset(assigned, OffsetResetStrategy.EARLIEST)


def _read_positions(consumer: AIOKafkaConsumer) -> dict[TP, int]:
    """Return where each assigned partition is read next; those without a position are left out."""
    subscription = consumer._subscription.subscription  # noqa: SLF001  # the public way awaits
    if subscription is None or subscription.assignment is None:
        return {}
    consumed = subscription.assignment.all_consumed_offsets()
    return {ensure_TP(tp): at.offset for tp, at in consumed.items()}
