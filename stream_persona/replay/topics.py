"""Events in a range of the input topics, in the order in which they arrived."""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import IncompatibleBrokerVersion, KafkaError

from stream_persona.domain.events import decode_for_taxonomy
from stream_persona.errors import DecodeError, InputError, TopologyError, UnavailableError
from stream_persona.pipeline.process import Delivery
from stream_persona.replay.fold import Unreadable

if TYPE_CHECKING:
    from aiokafka import ConsumerRecord

    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.settings import Settings

#: Events handed on at a time.
CHUNK: Final = 4_000

_POLL_MS: Final = 500
_PAUSE: Final = 0.2


@dataclass(frozen=True, slots=True)
class Range:
    """What to read of each partition: from an offset or time on, up to and without another.

    Times are epoch milliseconds of the arrival on the broker. None: the beginning, and the end
    as it is when the replay starts.
    """

    from_offset: int | None = None
    from_time: int | None = None
    to_offset: int | None = None
    to_time: int | None = None


class Topics:
    """A range of input topics (indices into ``events.KINDS``); an async context manager.

    Raises:
        InputError: the range begins behind what the workers have consumed, so that they would
            skip what lies between.
        UnavailableError: the broker does not answer.
    """

    def __init__(
        self, kinds: Sequence[int], span: Range, settings: Settings, taxonomy: Taxonomy
    ) -> None:
        self._kinds = {settings.input_topics[kind]: kind for kind in kinds}
        self._span = span
        self._settings = settings
        self._taxonomy = taxonomy
        self._ends: dict[TopicPartition, int] = {}
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=settings.brokers,
            enable_auto_commit=False,
            auto_offset_reset="none",
            max_poll_records=CHUNK,
        )
        #: Offsets in the range, of all partitions.
        self.total = 0

    async def __aenter__(self) -> Self:
        try:
            await self._consumer.start()
            await self._seek()
        except KafkaError as error:
            await self._consumer.stop()
            raise _unavailable(error) from error
        except BaseException:
            await self._consumer.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    async def chunks(self) -> AsyncIterator[list[Delivery | Unreadable]]:
        """Everything in the range, some thousand events at a time."""
        chunk: list[Delivery | Unreadable] = []
        try:
            async for record in self._arrivals():
                chunk.append(self._event(record))
                if len(chunk) == CHUNK:
                    yield chunk
                    chunk = []
        except KafkaError as error:
            raise _unavailable(error) from error
        if chunk:
            yield chunk

    async def _seek(self) -> None:
        """Find where each partition's range begins and ends, and go to its beginning."""
        partitions = [
            TopicPartition(topic, number)
            for topic in self._kinds
            for number in range(self._settings.partitions)
        ]
        consumer, span = self._consumer, self._span
        first, last = (
            await consumer.beginning_offsets(partitions),
            await consumer.end_offsets(partitions),
        )
        since = await self._at(span.from_time, partitions, last)
        until = await self._at(span.to_time, partitions, last)
        starts = {p: max(first[p], span.from_offset or 0, since.get(p, 0)) for p in partitions}
        for p in partitions:
            end = min(last[p], until.get(p, last[p]))
            self._ends[p] = end if span.to_offset is None else min(end, span.to_offset)
        self._ends = {p: end for p, end in self._ends.items() if starts[p] < end}
        await self._check_gap({p: (first[p], starts[p]) for p in self._ends})
        self.total = sum(end - starts[p] for p, end in self._ends.items())
        consumer.assign(list(self._ends))
        for p in self._ends:
            consumer.seek(p, starts[p])

    async def _at(
        self, time: int | None, partitions: list[TopicPartition], last: dict[TopicPartition, int]
    ) -> dict[TopicPartition, int]:
        """The first offset that arrived at ``time`` or later; the end where there is none."""
        if time is None:
            return {}
        found = await self._consumer.offsets_for_times(dict.fromkeys(partitions, time))
        return {p: last[p] if (at := found.get(p)) is None else at.offset for p in partitions}

    async def _check_gap(self, starts: dict[TopicPartition, tuple[int, int]]) -> None:
        """Refuse a range that would make the workers skip events.

        A record knows up to which offset of a partition it is, not what was left out before: what
        lies between the workers' offset and a later start could never be applied.
        """
        behind = {p: bounds for p, bounds in starts.items() if bounds[1] > bounds[0]}
        if not behind:
            return
        admin = AIOKafkaAdminClient(bootstrap_servers=self._settings.brokers)
        try:
            await admin.start()
            committed = await admin.list_consumer_group_offsets(
                self._settings.group, partitions=list(behind)
            )
        finally:
            await admin.close()
        for p, (first, start) in behind.items():
            done = max(first, committed[p].offset if p in committed else first)
            if start > done:
                message = (
                    f"{p.topic}/{p.partition}: the range begins at offset {start}, but the workers "
                    f"of group {self._settings.group} have consumed up to {done} only, and would "
                    f"skip what lies between: begin at {done} or before, or let them go on first"
                )
                raise InputError(message)

    async def _arrivals(self) -> AsyncIterator[ConsumerRecord]:
        """The records of all partitions, merged by their time of arrival.

        A duplicate is known by what came shortly before it, so topics must not be read one
        after another.
        """
        queues = {partition: deque(await self._fetch(partition)) for partition in self._ends}
        heads = [(queue[0].timestamp, p) for p, queue in queues.items() if queue]
        heapq.heapify(heads)
        while heads:
            _, p = heads[0]
            yield queues[p].popleft()
            if not queues[p]:
                queues[p].extend(await self._fetch(p))
            if queues[p]:
                heapq.heapreplace(heads, (queues[p][0].timestamp, p))
            else:
                heapq.heappop(heads)

    async def _fetch(self, partition: TopicPartition) -> list[ConsumerRecord]:
        """The next records of a partition; none at the end of its range."""
        loop, end = asyncio.get_running_loop(), self._ends[partition]
        deadline = loop.time() + self._settings.retry_seconds
        while await self._consumer.position(partition) < end:
            found = await self._consumer.getmany(partition, timeout_ms=_POLL_MS)
            records = [r for r in found.get(partition, ()) if r.offset < end]
            if records:
                return records
            if loop.time() > deadline:
                message = f"{partition.topic}/{partition.partition} gave nothing more"
                raise UnavailableError(f"{message} for {self._settings.retry_seconds:g} s")
        self._consumer.pause(partition)
        return []

    def _event(self, record: ConsumerRecord) -> Delivery | Unreadable:
        kind, value = self._kinds[record.topic], record.value
        try:
            event = decode_for_taxonomy(kind, value, self._taxonomy)
        except DecodeError as error:
            source = f"{record.topic}/{record.partition}"
            return Unreadable(error.reason, error.detail, source, record.offset, value or b"")
        return Delivery.of(event, kind, record.partition, record.offset, record.timestamp)


async def refuse_live_workers(settings: Settings) -> None:
    """Make sure that no worker is at work.

    Raises:
        TopologyError: the group has live members.
        UnavailableError: the broker does not answer.
    """
    members = await _members(settings)
    if members:
        message = (
            f"{members} workers of group {settings.group} are running, and a replay would fence "
            "them out: stop them first"
        )
        raise TopologyError(message)


async def _members(settings: Settings) -> int:
    """How many workers are in the group; waits for a broker that still looks for its groups."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + settings.retry_seconds
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.brokers)
    try:
        await admin.start()
        while True:
            try:
                responses = await admin.describe_consumer_groups([settings.group])
            except IncompatibleBrokerVersion:
                return 0  # the embedded broker cannot tell; a live worker would be fenced out
            except KafkaError as error:
                if not error.retriable or loop.time() > deadline:
                    raise
            else:
                return sum(len(group[5]) for found in responses for group in found.groups)
            await asyncio.sleep(_PAUSE)
    except KafkaError as error:
        raise _unavailable(error) from error
    finally:
        await admin.close()


def _unavailable(error: KafkaError) -> UnavailableError:
    return UnavailableError(f"the broker did not answer as expected: {error}")
