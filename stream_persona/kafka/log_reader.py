"""Events that were applied before, read from the inputs' logs once more.

A deletion forgets what happened until it was requested, whatever the order of arrival. Where newer
events were folded before it came, these few are folded again, and the topics still have them. This
reaches back as far as the topics' retention: what a log no longer holds is forgotten as well.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Protocol

import orjson
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from stream_persona.clocks import epoch_ms
from stream_persona.domain.events import DELETION
from stream_persona.domain.identity import NobodyIds, is_customer
from stream_persona.domain.inputs import is_of_file, is_of_source
from stream_persona.errors import DecodeError, UnavailableError
from stream_persona.kafka import whole_log
from stream_persona.kafka.arrivals import BY_BROKER, EventReader
from stream_persona.kafka.log_ends import LogEndFinder
from stream_persona.kafka.mapped_reroutes import drop_mapped
from stream_persona.kafka.origins import Origins, is_mapped
from stream_persona.kafka.partitioner import find_home_partition
from stream_persona.kafka.range_reader import RangeReader
from stream_persona.kafka.router import RereadRouter
from stream_persona.pipeline.process import Delivery

if TYPE_CHECKING:
    from collections.abc import (
        AsyncIterator,
        Callable,
        Collection,
        Iterator,
        Mapping,
        Sequence,
    )

    from aiokafka import ConsumerRecord

    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.kafka.whole_log import WholeHistory
    from stream_persona.pipeline.process import LateDeletion
    from stream_persona.settings import Settings

logger = logging.getLogger(__name__)


class EventLog(Protocol):
    """The port."""

    async def read(self, wanted: Mapping[str, LateDeletion]) -> dict[str, list[Delivery]]:
        """Read what was applied of each customer's events newer than the deletion, perhaps more.

        Each input's deliveries are in the order of its offsets.

        Raises:
            UnavailableError: the broker did not give it.
        """
        ...

    async def read_whole(self, homes: Mapping[str, int]) -> WholeHistory:
        """Read everything of some customers, given their partitions.

        Raises:
            UnavailableError: the broker did not give it.
        """
        ...

    async def find_ends(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """Find the end of each partition of an input topic; those that do not exist are left out.

        Raises:
            UnavailableError: the broker did not give them.
        """
        ...

    async def load_deletions(self, partition: int, starts: Mapping[str, int]) -> list[Delivery]:
        """Load the deletions of a partition's customers from offsets on, by topic.

        Raises:
            UnavailableError: the broker did not give them.
        """
        ...

    async def find_customers(self, partition: int, ranges: Mapping[str, range]) -> set[str]:
        """Find the customers of the messages in a partition's ranges, by topic.

        Raises:
            UnavailableError: the broker did not give them.
        """
        ...


class KafkaEventLog:
    """Reads the partitions once again, from the deletions' times up to what was applied."""

    def __init__(
        self, settings: Settings, taxonomy: Taxonomy, now: Callable[[], int] = epoch_ms
    ) -> None:
        """Make one that connects when it is asked; ``now`` gives epoch milliseconds."""
        self._settings = settings
        self._ends = LogEndFinder(settings)
        self._nobody = NobodyIds(settings.nobody)
        self._router = RereadRouter(settings, taxonomy, now=now)
        self._reader = EventReader(taxonomy, now, self._nobody)

    async def read(self, wanted: Mapping[str, LateDeletion]) -> dict[str, list[Delivery]]:
        """Read, in one pass, each partition that any of the customers' events came in on."""
        found: dict[str, list[Delivery]] = {name: [] for name in wanted}
        settings = self._settings
        try:
            async with RangeReader(settings, patience=settings.retry_seconds) as reader:
                reader.begin(await self._find_ranges(reader, wanted))
                async for batch in reader.read():
                    await self._router.sources.prepare(batch)
                    for record in batch:
                        for delivery in self._deliver(record, wanted):
                            found[delivery.event.customer_id].append(delivery)
        except KafkaError as error:
            message = f"the broker did not give older events again: {error}"
            raise UnavailableError(message) from error
        topics = settings.input_topics
        return {name: drop_mapped(each, topics) for name, each in found.items()}

    async def read_whole(self, homes: Mapping[str, int]) -> WholeHistory:
        """Read, in one pass, each of the partitions from beginning to end."""
        origins = Origins(self._settings, self)
        return await whole_log.read_whole(self._settings, self._router, homes, origins)

    async def load_deletions(self, partition: int, starts: Mapping[str, int]) -> list[Delivery]:
        """Read, in one pass, the topics that may hold deletions, up to their ends."""
        settings = self._settings
        topics = [settings.topic_deletions, settings.topic_reroutes]
        ranges = {topic: range(starts.get(topic, 0), sys.maxsize) for topic in topics}
        router, origins = self._router, Origins(settings, self)
        found: list[Delivery] = []
        async for batch in self._read_ranges(partition, ranges):
            await router.sources.prepare(batch)
            found += router.route(batch, await origins.find_ends(batch)).deliveries
        once = drop_mapped(found, settings.input_topics)
        return [delivery for delivery in once if delivery.kind == DELETION]

    async def find_customers(self, partition: int, ranges: Mapping[str, range]) -> set[str]:
        """Read, in one pass, the ranges as far as the logs still hold them."""
        known = {*self._settings.input_topics, self._settings.topic_reroutes}
        wanted = {topic: offsets for topic, offsets in ranges.items() if topic in known}
        found = set[str]()
        async for batch in self._read_ranges(partition, wanted):
            named = (_find_customer(raw) for raw in batch)
            found.update(name for name in named if name and is_customer(name, self._nobody))
        return found

    async def _read_ranges(
        self, partition: int, ranges: Mapping[str, range]
    ) -> AsyncIterator[list[ConsumerRecord]]:
        """Yield what the logs still hold of ranges of a partition, by topic."""
        settings = self._settings
        wanted = {TopicPartition(topic, partition): own for topic, own in ranges.items()}
        try:
            async with RangeReader(
                settings, patience=settings.retry_seconds, skip_expired=True
            ) as reader:
                held = await reader.load_bounds(wanted)
                reader.begin(
                    {
                        tp: range(max(own.start, held[tp].start), min(own.stop, held[tp].stop))
                        for tp, own in wanted.items()
                    }
                )
                async for batch in reader.read():
                    yield batch
        except KafkaError as error:
            message = f"the broker did not give older events again: {error}"
            raise UnavailableError(message) from error

    async def find_ends(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """Find them over one connection, which is made for the first reroute."""
        return await self._ends.find(partitions)

    async def close(self) -> None:
        """Disconnect."""
        await self._ends.close()

    async def _find_ranges(
        self, reader: RangeReader, wanted: Mapping[str, LateDeletion]
    ) -> dict[TopicPartition, range]:
        """Find each partition's offsets from the first deletion's time to the last one applied.

        What a deletion leaves arrived later than it reaches. A log that does not hold arrivals
        cannot be searched by them: all of it is read.
        """
        ends = self._find_ends(wanted)
        since = min(late_deletions.since for late_deletions in wanted.values())
        held = await reader.load_bounds(ends)
        dated = await _find_dated(reader, held)
        starts = {tp: held[tp].start for tp in ends.keys() - dated}
        reroutes = {tp for tp in dated if tp.topic == self._settings.topic_reroutes}
        if dated - reroutes:
            starts |= await reader.find_offsets_at(since, dated - reroutes)
        if reroutes:  # of events that may have come without an arrival, and ahead of the clock
            starts |= await reader.find_offsets_at(since - self._reader.ahead_ms, reroutes)
        ends |= {tp: held[tp].stop for tp in ends if tp.topic == self._settings.topic_reroutes}
        ranges = {tp: range(start, ends[tp]) for tp, start in starts.items()}
        for tp, offsets in ranges.items():
            if offsets and 0 < held[tp].start == offsets.start:
                logger.warning("%s begins at %d: older events are gone", tp, offsets.start)
        return ranges

    def _find_ends(self, wanted: Mapping[str, LateDeletion]) -> dict[TopicPartition, int]:
        """Find the offset up to which anything was applied to any of the customers' records.

        Where some came of sources, all reroutes to their homes are read: mapped events are there.
        """
        settings, ends = self._settings, dict[TopicPartition, int]()
        for customer, late_deletions in wanted.items():
            for source, end in late_deletions.positions.items():
                if is_of_source(source):
                    home = find_home_partition(customer, settings.partitions)
                    ends[TopicPartition(settings.topic_reroutes, home)] = 0
                elif not is_of_file(source):
                    topic = settings.input_topics[source >> 16]
                    tp = TopicPartition(topic, source & 0xFFFF)
                    ends[tp] = max(end, ends.get(tp, 0))
        return ends

    def _deliver(
        self, record: ConsumerRecord, wanted: Mapping[str, LateDeletion]
    ) -> Iterator[Delivery]:
        """Yield the events of customers in ``wanted`` that were applied to their records."""
        try:
            found = self._read(record)
        except DecodeError:
            return  # it is in the dead letters
        for delivery in found:
            late_deletions = wanted.get(delivery.event.customer_id)
            if late_deletions and delivery.offset < late_deletions.positions.get(
                delivery.source, 0
            ):
                yield delivery

    def _read(self, record: ConsumerRecord) -> Sequence[Delivery]:
        """Read an event of an input, or mapped ones: other reroutes are read where they came in."""
        settings = self._settings
        if record.topic == settings.topic_reroutes:
            return self._router.route([record]).deliveries if is_mapped(record) else ()
        if record.topic in self._router.sources.topics and self._router.is_left_out(record):
            return ()
        return [self._reader.read(settings.input_topics.index(record.topic), record)]


async def _find_dated(
    reader: RangeReader, held: Mapping[TopicPartition, range]
) -> set[TopicPartition]:
    """Find the partitions whose oldest message has its arrival: then all of them have."""
    reader.begin({tp: offsets[:1] for tp, offsets in held.items()})
    return {
        TopicPartition(record.topic, record.partition)
        async for batch in reader.read()
        for record in batch
        if record.timestamp_type == BY_BROKER
    }


def _find_customer(raw: ConsumerRecord) -> str | None:
    """Find the customer of a message, if it names one; it need not be readable otherwise."""
    try:
        content = orjson.loads(raw.value or b"null")
    except orjson.JSONDecodeError:
        return None
    if isinstance(content, list) and content:  # mapped events, which are of one customer
        content = content[0]
    customer = content.get("customer_id") if isinstance(content, dict) else None
    return customer if isinstance(customer, str) else None
