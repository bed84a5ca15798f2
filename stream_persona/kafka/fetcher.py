"""What a worker's consumer does in its thread: fetch when asked, and tell where reading goes on.

It uses what aiokafka and Faust's driver keep to themselves; all of that is here.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, cast

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.conn import AIOKafkaConnection
from aiokafka.consumer.fetcher import Fetcher, OffsetResetStrategy
from aiokafka.consumer.subscription_state import Assignment
from aiokafka.errors import NoOffsetForPartitionError, OffsetOutOfRangeError
from faust.transport.consumer import RecordMap, ensure_TP
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from stream_persona.errors import TopologyError
from stream_persona.kafka.faust_app import WITHOUT_PAST

if TYPE_CHECKING:
    from stream_persona.kafka.faust_app import BatchApp

logger = logging.getLogger(__name__)

#: How long a broker may keep a fetch that finds nothing. One fetch of a broker is under way at a
#: time: meanwhile nobody asks for partitions whose records are still being taken, and these run dry
#: while it waits for news of the quiet ones.
FETCH_WAIT_MS: Final = 100


class Batch(list[ConsumerRecord]):
    """The value of an event: what one fetch brought, of each partition in the order of its offsets.

    ``ends`` are the partitions' last offsets.
    """

    def __init__(self, records: Mapping[TP, list[ConsumerRecord]]) -> None:
        super().__init__(chain.from_iterable(records.values()))
        self.ends = {tp: own[-1].offset for tp, own in records.items()}


class Fetched(dict[TP, list[ConsumerRecord]]):
    """What one fetch brought, and where each assigned partition is read next."""

    def __init__(self, records: RecordMap, positions: Mapping[TP, int], generation: int) -> None:
        super().__init__((ensure_TP(tp), batch) for tp, batch in records.items())
        self.positions = positions
        self.generation = generation


class Gate:
    """Lets a fetcher ask brokers only while somebody waits for records.

    On its own it asks for more as soon as it has handed out what it had, and brokers answer once
    they have a record or two: while a batch is walked, it would fetch many times for a few records
    each. They would lie there until the walk is over, and contend for the interpreter with it.
    """

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher
        self._usual = fetcher._get_actions_per_node  # noqa: SLF001
        fetcher._get_actions_per_node = self._actions  # noqa: SLF001
        self._waiting = 0

    def __enter__(self) -> None:
        self._waiting += 1
        self._fetcher._notify(self._fetcher._wait_consume_future)  # noqa: SLF001

    def __exit__(self, *_: object) -> None:
        self._waiting -= 1

    def _actions(self, assignment: Assignment) -> tuple[Any, ...]:
        """What is to be asked of whom, as aiokafka has it; nothing while nobody waits.

        But where to begin is always asked: whoever needs to know that may wait for nothing else.
        """
        if self._waiting or any(
            not assignment.state_value(tp).has_valid_position for tp in assignment.tps
        ):
            return cast("tuple[Any, ...]", self._usual(assignment))
        return [], {}, None, False, []


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """The driver's thread; it fetches when it is asked for records, and tells the positions then.

    A position that the log does not have is never reset in silence. Before the log's beginning,
    retention was quicker than we: that is told, and reading goes on. Behind its end, it is another
    log than the position is of: that ends the worker. Who has no position begins at the beginning.
    """

    _answered: float
    _gate: Gate

    def __post_init__(self) -> None:
        super().__post_init__()
        self._answered = time.monotonic()

    def _create_worker_consumer(self, transport: driver.Transport) -> AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        # The driver reads committed records only if Faust itself writes transactions, and lets
        # brokers keep a fetch for 1.5 s.
        consumer._isolation_level = "read_committed"  # noqa: SLF001
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS  # noqa: SLF001
        return consumer

    async def on_start(self) -> None:
        """Connect, and fetch nothing until records are asked for."""
        await super().on_start()
        self._gate = Gate(self._ensure_consumer()._fetcher)  # noqa: SLF001

    async def check_group(self) -> None:
        """Raise what went wrong between this worker and its group since the last call."""
        coordinator = self._ensure_consumer()._coordinator  # noqa: SLF001  # as `getmany` does
        if coordinator is not None:
            coordinator.check_errors()

    async def on_thread_stop(self) -> None:
        """Tasks of a consumer whose broker is away may let their cancellation out."""
        with suppress(asyncio.CancelledError):
            await super().on_thread_stop()

    def silence(self) -> float:
        """Seconds since any broker has answered anything."""
        answered = [self._answered, *(conn._last_action for conn in self._connections())]  # noqa: SLF001
        self._answered = max(answered)
        return time.monotonic() - self._answered

    def _connections(self) -> list[AIOKafkaConnection]:
        return list(self._consumer._client._conns.values()) if self._consumer else []  # noqa: SLF001

    def has_coordinator(self) -> bool:
        """Whether a broker that keeps the group's offsets is known."""
        coordinator = self._consumer and self._consumer._coordinator  # noqa: SLF001
        return coordinator is None or getattr(coordinator, "coordinator_id", 0) is not None

    def missing_topics(self) -> set[str]:
        """Topics that are to be read and that no broker has."""
        if self._consumer is None:
            return set()
        cluster = self._consumer._client.cluster  # noqa: SLF001
        wanted = self._consumer.subscription()
        return {topic for topic in wanted if not cluster.partitions_for_topic(topic)}

    def ask_brokers(self) -> None:
        """Let a broker answer who has nothing else to say, say while others join the group."""
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
            _begin(consumer, *error.args)
            return {}
        except OffsetOutOfRangeError as error:
            await self._seek_to_log_start(consumer, *error.args)
            return {}
        # No await from here on: the positions are still those that this fetch left.
        if not self.consumer.flow_active:
            for tp, batch in records.items():
                consumer.seek(tp, batch[0].offset)
            return {}
        return Fetched(records, _read_positions(consumer), self.app.consumer_generation_id)

    async def _seek_to_log_start(
        self, consumer: AIOKafkaConsumer, positions: Mapping[TopicPartition, int]
    ) -> None:
        """Go on where a log begins that no longer has what was to be read next.

        Raises:
            TopologyError: it never had that.
        """
        first = await consumer.beginning_offsets(list(positions))
        for tp, position in positions.items():
            if position > first[tp]:
                raise TopologyError(
                    f"topic {tp.topic} was deleted and made anew, or has lost events: partition "
                    f"{tp.partition} ends before offset {position}, which was read next; "
                    f"{WITHOUT_PAST}"
                )
            cast("BatchApp", self.app).expired(ensure_TP(tp), first[tp], first[tp] - position)
            consumer.seek(tp, first[tp])


def _begin(consumer: AIOKafkaConsumer, tp: TopicPartition) -> None:
    """Read a partition, and all others without a committed position, from the beginning.

    All at once, and without waiting: each reset waits for the fetches that are under way.
    """
    fetcher, subscription = consumer._fetcher, consumer._subscription  # noqa: SLF001
    errors = {found: getattr(kept, "_error", None) for found, kept in fetcher._records.items()}  # noqa: SLF001
    lacking = {f for f, error in errors.items() if isinstance(error, NoOffsetForPartitionError)}
    assigned = [each for each in lacking | {tp} if subscription.is_assigned(each)]
    if assigned:
        fetcher.request_offset_reset(assigned, OffsetResetStrategy.EARLIEST)


def _read_positions(consumer: AIOKafkaConsumer) -> dict[TP, int]:
    """Where each assigned partition is read next, without waiting for any that is unknown."""
    subscription = consumer._subscription.subscription  # noqa: SLF001  # the public way awaits
    if subscription is None or subscription.assignment is None:
        return {}
    consumed = subscription.assignment.all_consumed_offsets()
    return {ensure_TP(tp): at.offset for tp, at in consumed.items()}
