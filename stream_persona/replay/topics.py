"""Events in a range of the input topics, in the order in which they arrived."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from stream_persona.clocks import epoch_ms
from stream_persona.errors import InputError, TopologyError, UnavailableError
from stream_persona.kafka.group import count_members
from stream_persona.kafka.range_reader import RangeReader
from stream_persona.kafka.source_topics import count_source_partitions
from stream_persona.kafka.topics import ask
from stream_persona.replay.messages import TopicMessages

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiokafka import ConsumerRecord

    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.replay.summary import Found
    from stream_persona.settings import Settings

#: Events handed on at a time.
CHUNK: Final = 4_000


@dataclass(frozen=True, slots=True)
class Range:
    """What to read of each partition: from an offset or time on, up to and without another.

    Times are epoch milliseconds of the messages' timestamps: of the arrival on the broker, but for
    topics that keep their producers' times. None: the beginning, and the end
    as it is when the replay starts.
    """

    from_offset: int | None = None
    from_time: int | None = None
    to_offset: int | None = None
    to_time: int | None = None


def resolve(
    span: Range,
    beginnings: Mapping[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
    by_time: Mapping[int, Mapping[TopicPartition, int]],
) -> dict[TopicPartition, range]:
    """Return the offsets of each partition that are in a range.

    Args:
        span: The range.
        beginnings: The first offset that each partition's log holds.
        ends: Where each log ends.
        by_time: For each time in ``span``, the first offset that arrived then or later; partitions
            without one are left out.
    """

    def find_offset(time: int | None, tp: TopicPartition, otherwise: int) -> int:
        return otherwise if time is None else by_time[time].get(tp, ends[tp])

    resolved = {}
    for tp, end in ends.items():
        start = max(
            beginnings[tp], span.from_offset or 0, find_offset(span.from_time, tp, beginnings[tp])
        )
        stop = min(end, find_offset(span.to_time, tp, end))
        if span.to_offset is not None:
            stop = min(stop, span.to_offset)
        resolved[tp] = range(start, max(start, stop))
    return resolved


class Topics:
    """A range of input topics (indices into ``events.KINDS``); an async context manager.

    ``others`` are the topics of sources, or that of reroutes; ``messages`` reads what is in them.
    ``now`` gives epoch milliseconds.

    Raises:
        InputError: the range begins behind what the workers have consumed, so that they would
            skip what lies between.
        UnavailableError: the broker does not answer.
    """

    def __init__(
        self,
        kinds: Sequence[int],
        span: Range,
        settings: Settings,
        taxonomy: Taxonomy,
        now: Callable[[], int] = epoch_ms,
        *,
        others: Sequence[str] = (),
        messages: TopicMessages | None = None,
    ) -> None:
        self._topics = (*(settings.input_topics[kind] for kind in kinds), *others)
        self._messages = messages or TopicMessages(settings, taxonomy, now)
        self._span = span
        self._settings = settings
        self._reader = RangeReader(settings, patience=settings.retry_seconds, chunk=CHUNK)
        self._ranges: dict[TopicPartition, range] = {}
        #: Offsets in the range, of all partitions.
        self.total = 0

    async def __aenter__(self) -> Self:
        try:
            await self._reader.start()
            await self._begin()
        except KafkaError as error:
            await self._reader.stop()
            raise _make_unavailable_error(error) from error
        except BaseException:
            await self._reader.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._reader.stop()

    async def read_chunks(self) -> AsyncIterator[list[Found]]:
        """Yield everything in the range, some thousand events at a time."""
        chunk: list[Found] = []
        try:
            async for record in self._merge_arrivals():
                chunk += self._messages.read(record)
                if len(chunk) >= CHUNK:
                    yield chunk
                    chunk = []
        except KafkaError as error:
            raise _make_unavailable_error(error) from error
        if chunk:
            yield chunk

    async def _begin(self) -> None:
        """Find the offsets of each partition that are in the range, and begin to fetch them."""
        settings = self._settings
        counts = await ask(settings, lambda admin: count_source_partitions(admin, settings))
        partitions = [
            TopicPartition(topic, number)
            for topic in self._topics
            for number in range(counts.get(topic, settings.partitions))
        ]
        held = await self._reader.load_bounds(partitions)
        beginnings = {tp: offsets.start for tp, offsets in held.items()}
        ends = {tp: offsets.stop for tp, offsets in held.items()}
        by_time = {
            time: await self._reader.find_offsets_at(time, partitions)
            for time in {self._span.from_time, self._span.to_time}
            if time is not None
        }
        resolved = resolve(self._span, beginnings, ends, by_time)
        self._ranges = {tp: offsets for tp, offsets in resolved.items() if offsets}
        await self._check_gap(beginnings)
        self.total = sum(map(len, self._ranges.values()))
        self._reader.begin(self._ranges)

    async def _check_gap(self, beginnings: Mapping[TopicPartition, int]) -> None:
        """Refuse a range that would make the workers skip events.

        A record holds up to which offset of a partition it is, not what was left out before: what
        lies between the workers' offset and a later start could never be applied.
        """
        late = {tp: at.start for tp, at in self._ranges.items() if at.start > beginnings[tp]}
        if not late:
            return
        group = self._settings.group
        committed = await ask(
            self._settings,
            lambda admin: admin.list_consumer_group_offsets(group, partitions=list(late)),
        )
        for tp, start in late.items():
            done = max(beginnings[tp], committed[tp].offset if tp in committed else 0)
            if start > done:
                message = (
                    f"{tp.topic}/{tp.partition}: the range begins at offset {start}, but the "
                    f"workers of group {group} have consumed up to {done} only, and would skip "
                    f"what lies between: begin at {done} or before, or let them go on first"
                )
                raise InputError(message)
        if {tp.topic for tp in late} - {*self._settings.input_topics}:
            await self._check_reroutes()

    async def _check_reroutes(self) -> None:
        """Refuse the same where events of sources were forwarded, and wait to be applied."""
        settings = self._settings
        homes = [TopicPartition(settings.topic_reroutes, n) for n in range(settings.partitions)]
        committed = await ask(
            settings,
            lambda admin: admin.list_consumer_group_offsets(settings.group, partitions=homes),
        )
        for tp, held in (await self._reader.load_bounds(homes)).items():
            done = committed[tp].offset if tp in committed else 0
            if held and done < held.stop:
                raise InputError(
                    f"{tp.topic}/{tp.partition} holds events of sources that the workers of group "
                    f"{settings.group} have not applied yet: begin at the beginning, or let the "
                    "workers go on first"
                )

    async def _merge_arrivals(self) -> AsyncIterator[ConsumerRecord]:
        """Yield the records of all partitions, merged by their time of arrival.

        A duplicate is recognised by what came shortly before it, so topics must not be read one
        after another.
        """
        batches = {tp: self._reader.read(tp) for tp in self._ranges}
        queues = {tp: deque(await self._take_batch(batch)) for tp, batch in batches.items()}
        heads = [(queue[0].timestamp, tp) for tp, queue in queues.items() if queue]
        heapq.heapify(heads)
        while heads:
            _, tp = heads[0]
            yield queues[tp].popleft()
            if not queues[tp]:
                queues[tp].extend(await self._take_batch(batches[tp]))
            if queues[tp]:
                heapq.heapreplace(heads, (queues[tp][0].timestamp, tp))
            else:
                heapq.heappop(heads)

    async def _take_batch(
        self, batches: AsyncIterator[list[ConsumerRecord]]
    ) -> list[ConsumerRecord]:
        """Return the next batch, or an empty one at the end."""
        try:
            batch = await anext(batches)
        except StopAsyncIteration:
            return []
        await self._messages.prepare(batch)
        return batch


async def refuse_live_workers(settings: Settings) -> None:
    """Make sure that no worker is running.

    Raises:
        TopologyError: the group has live members.
        UnavailableError: the broker does not answer.
    """
    members = await ask(settings, lambda admin: count_members(admin, settings.group))
    if members:
        message = (
            f"{members} workers of group {settings.group} are running, and a replay would fence "
            "them out: stop them first"
        )
        raise TopologyError(message)


def _make_unavailable_error(error: KafkaError) -> UnavailableError:
    return UnavailableError(f"the broker did not answer as expected: {error}")
