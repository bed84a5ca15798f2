"""Puts events on their topics, and waits for the workers where running ahead would lose some.

A broker that keeps little (the embedded one has room for a few megabytes a partition) drops the
oldest messages, read or not. ``Feeder`` with a ``limit`` never lets more bytes than that lie
between what it produced and what the workers' group has committed.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Any, Final, Self

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError, KafkaError

from stream_persona.domain.events import KINDS, Event, encode
from stream_persona.errors import UnavailableError
from stream_persona.settings import Settings

#: Bytes that are sent before the broker's answers are waited for.
_FLIGHT: Final = 256 * 1024
#: Seconds between two questions to the broker for what has been committed.
_POLL: Final = 0.05


class Backlog:
    """Bytes on the topics that no worker has committed yet, by partition."""

    def __init__(self) -> None:
        self._waiting: dict[TopicPartition, deque[tuple[int, int]]] = {}
        self._bytes: dict[TopicPartition, int] = {}
        self.consumed = 0

    @property
    def partitions(self) -> list[TopicPartition]:
        """Every partition that something was sent to."""
        return list(self._waiting)

    @property
    def largest(self) -> int:
        """The bytes waiting in the fullest partition."""
        return max(self._bytes.values(), default=0)

    @property
    def events(self) -> int:
        """The events waiting in all partitions."""
        return sum(map(len, self._waiting.values()))

    def sent(self, partition: TopicPartition, offset: int, size: int) -> None:
        """Note a message that the broker has; offsets of a partition must ascend."""
        self._waiting.setdefault(partition, deque()).append((offset, size))
        self._bytes[partition] = self._bytes.get(partition, 0) + size

    def committed(self, partition: TopicPartition, offset: int) -> None:
        """Note that everything before ``offset`` has been worked through."""
        waiting = self._waiting[partition]
        while waiting and waiting[0][0] < offset:
            self._bytes[partition] -= waiting.popleft()[1]
            self.consumed += 1


class Feeder:
    """Produces events, keyed by customer; an async context manager.

    With a ``limit`` (bytes a partition) ``send`` waits while the workers of ``settings.group``
    are that far behind. ``produced`` counts events by kind.
    """

    def __init__(self, settings: Settings, *, limit: int | None = None) -> None:
        self._settings = settings
        self._limit = limit
        self._flight: list[tuple[asyncio.Future[Any], int]] = []
        self._flying = 0
        self._asked = 0.0
        self.backlog = Backlog()
        self.produced = [0] * len(KINDS)
        self.produced_bytes = 0
        #: Seconds spent waiting for the workers, and whether they are being waited for now.
        self.waited = 0.0
        self.waiting = False

    async def __aenter__(self) -> Self:
        brokers = self._settings.brokers.split(",")
        # aiokafka's partitioner is Java's: a customer's events all go to the home partition.
        self._producer = AIOKafkaProducer(
            bootstrap_servers=brokers, acks="all", linger_ms=2, max_batch_size=_FLIGHT
        )
        self._admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
        try:
            await self._producer.start()
            await self._admin.start()
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
                await self._land()
        finally:
            await self._close()

    async def send(self, kind: int, event: Event) -> None:
        """Put an event on the topic of its kind (an index into ``events.KINDS``).

        Raises:
            UnavailableError: the broker took this or an earlier event not.
        """
        value = encode(event)
        topic = self._settings.input_topics[kind]
        try:
            future = await self._producer.send(topic, value, key=event.customer_id.encode())
        except KafkaError as error:
            raise _refused(error) from error
        self._flight.append((future, len(value)))
        self._flying += len(value)
        self.produced[kind] += 1
        self.produced_bytes += len(value)
        if self._flying >= _FLIGHT:
            await self.flush()

    async def flush(self) -> None:
        """Wait until the broker has everything, and for the workers where ``limit`` demands it.

        Raises:
            UnavailableError: the broker took some event not.
        """
        await self._land()
        if self._limit is not None and self.backlog.largest > self._limit:
            await self._wait(self._limit)

    async def drained(self) -> None:
        """Wait, however long, until the workers have committed everything."""
        await self.flush()
        while self.backlog.events:
            await self.ask()
            await asyncio.sleep(_POLL)

    async def ask(self) -> None:
        """Bring ``backlog`` up to date with what the workers' group has committed."""
        self._asked = time.monotonic()
        try:
            offsets = await self._admin.list_consumer_group_offsets(
                self._settings.group, partitions=self.backlog.partitions
            )
        except KafkaError:
            return  # the next question may be answered; the caller has the deadline
        for partition, committed in offsets.items():
            self.backlog.committed(partition, committed.offset)

    async def _land(self) -> None:
        """Wait for the broker's answers to what was sent."""
        flight, self._flight, self._flying = self._flight, [], 0
        try:
            for future, size in flight:
                sent = await future
                partition = TopicPartition(sent.topic, sent.partition)
                if self._limit is not None:
                    self.backlog.sent(partition, sent.offset, size)
        except KafkaError as error:
            raise _refused(error) from error

    async def _wait(self, limit: int) -> None:
        begin = time.monotonic()
        try:
            while self.backlog.largest > limit:
                await asyncio.sleep(max(0.0, self._asked + _POLL - time.monotonic()))
                await self.ask()
                self.waiting = self.backlog.largest > limit
        finally:
            self.waiting = False
            self.waited += time.monotonic() - begin

    async def _close(self) -> None:
        await self._producer.stop()
        await self._admin.close()


def _refused(error: KafkaError) -> UnavailableError:
    return UnavailableError(f"the broker did not take an event: {error}")
