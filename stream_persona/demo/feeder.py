"""Produces events, and waits for the workers where running ahead would lose some.

A broker that keeps little (the embedded one has room for a few megabytes per partition) drops the
oldest messages, read or not. A ``Feeder`` with a ``limit`` never lets more bytes than that lie
between what it has produced and what the workers' group has committed.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Self

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError, KafkaError

from stream_persona.demo.shifting import move
from stream_persona.domain.events import KINDS, Event, encode
from stream_persona.errors import UnavailableError
from stream_persona.kafka.connection import connection_options, start_client
from stream_persona.settings import Settings

#: Bytes that may be sent before the broker's acknowledgements are awaited.
_MOST_UNACKNOWLEDGED: Final = 256 * 1024
#: Seconds between two requests for the committed offsets.
_POLL: Final = 0.05


class Backlog:
    """The messages on the topics that no worker has committed yet, by partition."""

    def __init__(self) -> None:
        self._waiting: dict[TopicPartition, deque[tuple[int, int]]] = {}
        self._bytes: dict[TopicPartition, int] = {}
        self.consumed = 0

    @property
    def partitions(self) -> list[TopicPartition]:
        """Every partition with a message."""
        return list(self._waiting)

    @property
    def largest(self) -> int:
        """The uncommitted bytes of the fullest partition."""
        return max(self._bytes.values(), default=0)

    @property
    def events(self) -> int:
        """The uncommitted events of all partitions."""
        return sum(map(len, self._waiting.values()))

    def add(self, partition: TopicPartition, offset: int, size: int) -> None:
        """Add a message that the broker has acknowledged; offsets of a partition must ascend."""
        self._waiting.setdefault(partition, deque()).append((offset, size))
        self._bytes[partition] = self._bytes.get(partition, 0) + size

    def commit(self, partition: TopicPartition, offset: int) -> None:
        """Remove everything before ``offset``, which a worker has committed."""
        waiting = self._waiting[partition]
        while waiting and waiting[0][0] < offset:
            self._bytes[partition] -= waiting.popleft()[1]
            self.consumed += 1


class Feeder:
    """Produces events, keyed by customer; an async context manager.

    With a ``limit`` (bytes per partition) ``send`` waits while the workers of ``settings.group``
    are that far behind. ``shift`` milliseconds are added to the time of each event. ``produced``
    counts events by kind.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        limit: int | None = None,
        shift: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self.shift = shift
        self._limit = limit
        self._clock = clock
        self._unacknowledged: list[tuple[asyncio.Future[Any], int]] = []
        self._unacknowledged_bytes = 0
        self._refreshed_at = -math.inf
        self.backlog = Backlog()
        self.produced = [0] * len(KINDS)
        self.produced_bytes = 0
        #: Seconds spent waiting for the workers, and whether the feeder waits for them now.
        self.waited_seconds = 0.0
        self.is_waiting = False

    async def __aenter__(self) -> Self:
        options = connection_options(self._settings)
        # aiokafka's partitioner is Java's: a customer's events all go to the home partition.
        self._producer = AIOKafkaProducer(
            **options, acks="all", linger_ms=2, max_batch_size=_MOST_UNACKNOWLEDGED
        )
        self._admin = AIOKafkaAdminClient(**options)
        try:
            await start_client(self._producer, self._settings)
            await start_client(self._admin, self._settings)
        except KafkaConnectionError as error:
            await self._close()
            raise UnavailableError(
                f"no broker answers at {self._settings.brokers}: start one, or set"
                " STREAM_PERSONA_BROKERS"
            ) from error
        return self

    async def __aexit__(self, _: object, error: BaseException | None, *__: object) -> None:
        try:
            if error is None:
                await self._await_acknowledgements()
        finally:
            await self._close()

    async def send(self, kind: int, event: Event) -> None:
        """Put an event on the topic of its kind (an index into ``events.KINDS``).

        Raises:
            UnavailableError: the broker refused this or an earlier event.
        """
        value = encode(move(event, self.shift) if self.shift else event)
        topic = self._settings.input_topics[kind]
        try:
            future = await self._producer.send(topic, value, key=event.customer_id.encode())
        except KafkaError as error:
            raise _make_refusal(error) from error
        self._unacknowledged.append((future, len(value)))
        self._unacknowledged_bytes += len(value)
        self.produced[kind] += 1
        self.produced_bytes += len(value)
        if self._unacknowledged_bytes >= _MOST_UNACKNOWLEDGED:
            await self.flush()

    async def flush(self) -> None:
        """Wait until the broker has everything, and for the workers if ``limit`` demands it.

        Raises:
            UnavailableError: the broker refused an event.
        """
        await self._await_acknowledgements()
        if self._limit is not None and self.backlog.largest > self._limit:
            await self._await_workers(self._limit)

    async def drain(self) -> None:
        """Wait, however long, until the workers have committed everything."""
        await self.flush()
        while self.backlog.events:
            await self.refresh_backlog()
            await asyncio.sleep(_POLL)

    async def refresh_backlog(self) -> None:
        """Remove from ``backlog`` what the workers' group has committed."""
        self._refreshed_at = self._clock()
        try:
            offsets = await self._admin.list_consumer_group_offsets(
                self._settings.group, partitions=self.backlog.partitions
            )
        except KafkaError:
            return  # the next request may succeed; the caller has the deadline
        for partition, committed in offsets.items():
            self.backlog.commit(partition, committed.offset)

    async def _await_acknowledgements(self) -> None:
        """Wait until the broker has everything that was sent."""
        pending, self._unacknowledged, self._unacknowledged_bytes = self._unacknowledged, [], 0
        try:
            for future, size in pending:
                sent = await future
                partition = TopicPartition(sent.topic, sent.partition)
                if self._limit is not None:
                    self.backlog.add(partition, sent.offset, size)
        except KafkaError as error:
            raise _make_refusal(error) from error

    async def _await_workers(self, limit: int) -> None:
        """Wait until no partition has more than ``limit`` uncommitted bytes."""
        began = self._clock()
        try:
            while self.backlog.largest > limit:
                await asyncio.sleep(max(0.0, self._refreshed_at + _POLL - self._clock()))
                await self.refresh_backlog()
                self.is_waiting = self.backlog.largest > limit
        finally:
            self.is_waiting = False
            self.waited_seconds += self._clock() - began

    async def _close(self) -> None:
        await self._producer.stop()
        await self._admin.close()


def _make_refusal(error: KafkaError) -> UnavailableError:
    return UnavailableError(f"the broker refused an event: {error}")
