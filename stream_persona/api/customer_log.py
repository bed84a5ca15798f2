"""The newest part of what Kafka holds of one customer, read backwards in growing steps.

A log is read forwards only. So the newest offsets of the customer's home partitions are read first,
and older ones before these until there is enough of the customer, or a bound is reached. Messages
are kept by their key; nobody else's value is looked at.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from stream_persona.errors import UnavailableError
from stream_persona.kafka.partitioner import home

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiokafka import ConsumerRecord

    from stream_persona.settings import Settings

#: Newest offsets of each partition that are looked at, step by step; the last one is the bound.
STEPS: Final = (2_000, 8_000, 20_000)
#: So many events and changes of the customer are enough.
ENOUGH_EVENTS: Final = 50
ENOUGH_CHANGES: Final = 40
#: Seconds for reading, and those that a caller waits at most: for its turn, the broker and that.
SECONDS: Final = 1.5
PATIENCE: Final = 4.0
#: Seconds for which what was found is given again.
KEPT_SECONDS: Final = 2.0
#: Callers that may wait for their turn, the one whose turn it is included.
MOST_CALLERS: Final = 6

#: Messages that are unpacked at a time: a millisecond of the event loop, and too few for the
#: garbage collector to wake up for.
_CHUNK: Final = 250
#: Milliseconds after which positions are looked at again: past the markers that transactions leave
#: there is no message to wait for.
_POLL_MS: Final = 20
#: Milliseconds for which a broker may hold back a fetch that has nothing yet.
_HELD_MS: Final = 50


@dataclass(frozen=True, slots=True)
class Found:
    """A customer's messages, of each partition in the order of offsets.

    ``events`` are those of the topics of behaviour and of reroutes, ``changes`` those of changes,
    tombstones included. ``complete``: the logs have no older ones.
    """

    events: tuple[ConsumerRecord, ...] = ()
    changes: tuple[ConsumerRecord, ...] = ()
    complete: bool = True


@dataclass(slots=True)
class _Part:
    """A partition from ``first`` to ``end``, of which ``[low, end)`` has been read.

    What is read now is ``[start, low)``, and ``older`` the customer's messages in it.
    """

    at: TopicPartition
    first: int
    end: int
    low: int
    start: int = 0
    older: list[ConsumerRecord] = field(default_factory=list)
    found: list[ConsumerRecord] = field(default_factory=list)

    def take(self, batch: Sequence[ConsumerRecord], key: bytes) -> None:
        """Keep the customer's messages."""
        self.older += [raw for raw in batch if raw.key == key and raw.offset < self.low]

    def end_turn(self, *, whole: bool) -> None:
        """Put what was read now before what was read earlier; ``whole``: all of it was."""
        self.found, self.older = self.older + self.found, []
        if whole:
            self.low = self.start


class Tail:
    """Looks for one customer at a time with one consumer, which it makes when it is first asked.

    The consumer is in no group, and reads what is committed. ``settings`` name the topics.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._events = (*settings.input_topics[:3], settings.topic_reroutes)
        self._consumer: AIOKafkaConsumer | None = None
        self._known: set[str] = set()
        self._turn = asyncio.Lock()
        self._callers = 0
        self._kept: dict[str, Found] = {}
        self._ending: set[asyncio.Task[None]] = set()

    async def find(self, customer_id: str) -> Found:
        """What the newest part of the logs has of a customer; of topics that are there.

        Raises:
            UnavailableError: the broker did not give it in time, or too many are waiting.
        """
        if customer_id in self._kept:
            return self._kept[customer_id]
        if self._callers >= MOST_CALLERS:
            raise UnavailableError("too many customers are being looked for: try again later")
        self._callers += 1
        try:
            async with asyncio.timeout(PATIENCE), self._turn:
                return self._kept.get(customer_id) or await self._look(customer_id)
        except TimeoutError as error:
            message = f"a customer's events were not found in {PATIENCE:g} s: try again later"
            raise UnavailableError(message) from error
        except (KafkaError, OSError, ValueError) as error:
            message = f"the broker does not give a customer's events: {error}"
            raise UnavailableError(message) from error
        finally:
            self._callers -= 1

    async def close(self) -> None:
        """Disconnect."""
        self._end(self._consumer)
        self._consumer = None
        if self._ending:
            await asyncio.wait(self._ending, timeout=PATIENCE)

    async def _look(self, customer_id: str) -> Found:
        """Look with the consumer; one that fails is not used again."""
        consumer, self._consumer = self._consumer, None
        try:
            if consumer is None:
                consumer = self._made()
                await consumer.start()
            found = await self._found(consumer, customer_id)
            self._consumer = consumer
        finally:
            if self._consumer is None:
                self._end(consumer)
        self._kept[customer_id] = found
        asyncio.get_running_loop().call_later(KEPT_SECONDS, self._kept.pop, customer_id, None)
        return found

    def _made(self) -> AIOKafkaConsumer:
        self._known = set()
        return AIOKafkaConsumer(
            bootstrap_servers=self.settings.brokers,
            enable_auto_commit=False,
            auto_offset_reset="earliest",  # where retention is quicker than we
            isolation_level="read_committed",
            fetch_max_wait_ms=_HELD_MS,
        )

    def _end(self, consumer: AIOKafkaConsumer | None) -> None:
        """Let a consumer go, without waiting for what may never end while its broker is away."""
        if consumer is not None:
            task = asyncio.create_task(_stop(consumer))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def _found(self, consumer: AIOKafkaConsumer, customer_id: str) -> Found:
        parts = await self._parts(consumer, home(customer_id, self.settings.partitions))
        deadline = time.monotonic() + SECONDS
        for most in STEPS:
            wanted = self._wanted(parts)
            if wanted and time.monotonic() < deadline:
                await _read(consumer, wanted, most, customer_id.encode(), deadline)
        if any(part.low > part.first for part in parts) and not any(map(_was_read, parts)):
            raise UnavailableError(f"the broker gave no events in {SECONDS:g} s: try again later")
        return Found(
            tuple(raw for part in parts for raw in part.found if part.at.topic in self._events),
            tuple(raw for part in parts for raw in part.found if part.at.topic not in self._events),
            all(part.low <= part.first for part in parts),
        )

    def _wanted(self, parts: list[_Part]) -> list[_Part]:
        """Those that older messages are wanted of."""
        events = [part for part in parts if part.at.topic in self._events]
        changes = [part for part in parts if part.at.topic not in self._events]
        return [
            part
            for group, enough in ((events, ENOUGH_EVENTS), (changes, ENOUGH_CHANGES))
            if sum(len(each.found) for each in group) < enough
            for part in group
            if part.low > part.first
        ]

    async def _parts(self, consumer: AIOKafkaConsumer, partition: int) -> list[_Part]:
        """The home partition of each topic that is there, of which nothing has been read."""
        names = {*self._events, self.settings.topic_changes}
        if not names <= self._known:
            # Asked for all topics, no broker makes one; asked for one that is missing, some do.
            self._known = names & await consumer.topics()
        at = [TopicPartition(name, partition) for name in sorted(self._known)]
        if not at:
            return []
        consumer.assign(at)
        for each in at:
            _rest(consumer, each, 0)
        first, ends = await consumer.beginning_offsets(at), await consumer.end_offsets(at)
        return [_Part(each, first[each], ends[each], ends[each]) for each in at]


async def _stop(consumer: AIOKafkaConsumer) -> None:
    with suppress(KafkaError, OSError):
        await consumer.stop()


def _was_read(part: _Part) -> bool:
    return bool(part.found) or part.low < part.end


def _rest(consumer: AIOKafkaConsumer, at: TopicPartition, position: int) -> None:
    """Fetch nothing more of a partition, and drop what was fetched ahead."""
    consumer.pause(at)
    consumer.seek(at, position)


async def _read(
    consumer: AIOKafkaConsumer, parts: list[_Part], most: int, key: bytes, deadline: float
) -> None:
    """Read on backwards, to the ``most`` newest offsets; at the deadline a gap may be left."""
    for part in parts:
        part.start = max(part.first, part.end - most)
        consumer.seek(part.at, part.start)
        consumer.resume(part.at)
    left = {part.at: part for part in parts}
    while left and time.monotonic() < deadline:
        batches = await consumer.getmany(*left, timeout_ms=_POLL_MS, max_records=_CHUNK)
        for at, part in list(left.items()):
            part.take(batches.get(at, ()), key)
            # It does not wait here. So the partition rests before more of it could be fetched.
            if await consumer.position(at) >= part.low:
                _rest(consumer, at, part.low)
                part.end_turn(whole=True)
                del left[at]
        await asyncio.sleep(0)
    for at, part in left.items():
        _rest(consumer, at, part.low)
        part.end_turn(whole=False)
