"""The newest part of what Kafka holds of one customer, read backwards in growing steps.

A log is read forwards only. So the newest offsets of the customer's home partitions are read first,
and older ones before these until there is enough of the customer, or a bound is reached. Messages
are kept by their key; no other customer's value is looked at.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from stream_persona.errors import UnavailableError
from stream_persona.kafka.partitioner import find_home_partition
from stream_persona.kafka.range_reader import RangeReader

if TYPE_CHECKING:
    from aiokafka import ConsumerRecord

    from stream_persona.settings import Settings

#: Newest offsets of each partition that are looked at, step by step; the last one is the bound.
STEPS: Final = (2_000, 8_000, 20_000)
#: Events and changes of the customer at which reading stops.
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
#: Milliseconds for which a broker may hold back a fetch that finds nothing.
_HOLD_MS: Final = 50


@dataclass(frozen=True, slots=True)
class CustomerMessages:
    """A customer's messages, of each partition in the order of offsets.

    ``events`` are those of the topics of behaviour and of reroutes, ``changes`` those of changes,
    tombstones included. ``complete``: the logs have no older ones.
    """

    events: tuple[ConsumerRecord, ...] = ()
    changes: tuple[ConsumerRecord, ...] = ()
    complete: bool = True


@dataclass(slots=True)
class _PartitionTail:
    """A partition's log, from ``first`` to ``end``, of which ``[low, end)`` has been read.

    ``found`` are the customer's messages in what was read.
    """

    at: TopicPartition
    first: int
    end: int
    low: int
    found: list[ConsumerRecord] = field(default_factory=list)

    @property
    def was_read(self) -> bool:
        """Whether anything of it was."""
        return bool(self.found) or self.low < self.end


class Tail:
    """Looks for one customer at a time with one consumer, which it makes when it is first asked.

    The consumer is in no group, and reads what is committed. ``settings`` name the topics.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._events = (*settings.input_topics[:3], settings.topic_reroutes)
        self._reader: RangeReader | None = None
        self._known: set[str] = set()
        self._turn = asyncio.Lock()
        self._callers = 0
        self._kept: dict[str, CustomerMessages] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def find(self, customer_id: str) -> CustomerMessages:
        """Return what the newest part of the logs has of a customer; missing topics are left out.

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
        self._close(self._reader)
        self._reader = None
        if self._closing:
            await asyncio.wait(self._closing, timeout=PATIENCE)

    async def _look(self, customer_id: str) -> CustomerMessages:
        """Look with the consumer; one that fails is not used again."""
        reader, self._reader = self._reader, None
        try:
            if reader is None:
                reader = self._make_reader()
                await reader.start()
            found = await self._find(reader, customer_id)
            self._reader = reader
        finally:
            if self._reader is None:
                self._close(reader)
        self._kept[customer_id] = found
        asyncio.get_running_loop().call_later(KEPT_SECONDS, self._kept.pop, customer_id, None)
        return found

    def _make_reader(self) -> RangeReader:
        self._known = set()
        return RangeReader(
            self.settings, patience=PATIENCE, chunk=_CHUNK, hold_ms=_HOLD_MS, skip_expired=True,
        )  # fmt: skip

    def _close(self, reader: RangeReader | None) -> None:
        """Let a consumer go, without waiting for what may never end while its broker is away."""
        if reader is not None:
            task = asyncio.create_task(reader.stop())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def _find(self, reader: RangeReader, customer_id: str) -> CustomerMessages:
        tails = await self._find_tails(
            reader, find_home_partition(customer_id, self.settings.partitions)
        )
        with suppress(TimeoutError):
            async with asyncio.timeout(SECONDS):
                for most in STEPS:
                    if wanted := self._select(tails):
                        await _read_older(reader, wanted, most, customer_id.encode())
        reader.stop_fetching()
        if any(tail.low > tail.first for tail in tails) and not any(t.was_read for t in tails):
            raise UnavailableError(f"the broker gave no events in {SECONDS:g} s: try again later")
        return CustomerMessages(
            tuple(raw for tail in tails for raw in tail.found if tail.at.topic in self._events),
            tuple(raw for tail in tails for raw in tail.found if tail.at.topic not in self._events),
            all(tail.low <= tail.first for tail in tails),
        )

    def _select(self, tails: list[_PartitionTail]) -> list[_PartitionTail]:
        """Those that older messages are wanted of."""
        events = [tail for tail in tails if tail.at.topic in self._events]
        changes = [tail for tail in tails if tail.at.topic not in self._events]
        return [
            tail
            for group, enough in ((events, ENOUGH_EVENTS), (changes, ENOUGH_CHANGES))
            if sum(len(each.found) for each in group) < enough
            for tail in group
            if tail.low > tail.first
        ]

    async def _find_tails(self, reader: RangeReader, partition: int) -> list[_PartitionTail]:
        """Find the tails of the home partition: one for each topic that exists, all unread."""
        names = {*self._events, self.settings.topic_changes}
        if not names <= self._known:
            # Asked for all topics, no broker makes one; asked for one that is missing, some do.
            self._known = names & await reader.list_topics()
        held = await reader.load_bounds(
            [TopicPartition(name, partition) for name in sorted(self._known)]
        )
        return [_PartitionTail(tp, r.start, r.stop, r.stop) for tp, r in held.items()]


async def _read_older(
    reader: RangeReader, tails: list[_PartitionTail], most: int, key: bytes
) -> None:
    """Read on backwards, to the ``most`` newest offsets; where time runs out a gap may be left.

    What was found of a partition is kept in any case; it counts as read if all of it was.
    """
    older: dict[TopicPartition, list[ConsumerRecord]] = {tail.at: [] for tail in tails}
    ranges = {tail.at: range(max(tail.first, tail.end - most), tail.low) for tail in tails}
    reader.begin(ranges)
    try:
        async for batch in reader.read():
            at = TopicPartition(batch[0].topic, batch[0].partition)
            older[at] += [raw for raw in batch if raw.key == key]
    finally:
        for tail in tails:
            tail.found = older[tail.at] + tail.found
            if tail.at not in reader.unread:
                tail.low = ranges[tail.at].start
