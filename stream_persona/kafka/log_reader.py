"""What an input's log still holds of customers: for deletions that newer events have overtaken.

A deletion forgets what happened until it was requested, whatever the order of arrival. Where newer
events were folded before it came, these few are folded again, and the topics have them. That takes
their retention: what a log no longer holds is forgotten as well.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from stream_persona.domain.events import decode_for_taxonomy
from stream_persona.errors import DecodeError, UnavailableError
from stream_persona.pipeline.process import Delivery

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from aiokafka import ConsumerRecord

    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.pipeline.process import LateDeletion
    from stream_persona.settings import Settings

logger = logging.getLogger(__name__)

_POLL_MS: Final = 500


class History(Protocol):
    """The port."""

    async def read(self, wanted: Mapping[str, LateDeletion]) -> dict[str, list[Delivery]]:
        """Of each customer, what was applied of events newer than the deletion, and perhaps more.

        Each input's deliveries are in the order of its offsets.

        Raises:
            UnavailableError: the broker did not give it.
        """
        ...


class KafkaHistory:
    """Reads the partitions once again, from the deletions' times up to what was applied."""

    def __init__(self, settings: Settings, taxonomy: Taxonomy) -> None:
        self._settings = settings
        self._taxonomy = taxonomy
        self._slack = round(taxonomy.policy.max_future_seconds * 1_000)

    async def read(self, wanted: Mapping[str, LateDeletion]) -> dict[str, list[Delivery]]:
        """One pass over each partition that any of the customers' events came in on."""
        ends: dict[TopicPartition, int] = {}
        for late_deletions in wanted.values():
            for source, end in late_deletions.positions.items():
                kind, partition = source >> 16, source & 0xFFFF
                if kind < len(self._settings.input_topics):  # a file's numbers are larger
                    tp = TopicPartition(self._settings.input_topics[kind], partition)
                    ends[tp] = max(end, ends.get(tp, 0))
        # An event may say to be so much newer than its arrival.
        since = min(late_deletions.since for late_deletions in wanted.values()) - self._slack
        found: dict[str, list[Delivery]] = {name: [] for name in wanted}
        async for record in self._records(ends, since):
            delivery = self._delivery(record, wanted)
            if delivery is not None:
                found[delivery.event.customer_id].append(delivery)
        return found

    def _delivery(
        self, record: ConsumerRecord, wanted: Mapping[str, LateDeletion]
    ) -> Delivery | None:
        """The event, if it is of a customer in ``wanted`` and was applied to its record."""
        kind = self._settings.input_topics.index(record.topic)
        try:
            event = decode_for_taxonomy(kind, record.value, self._taxonomy)
        except DecodeError:
            return None  # it is in the dead letters
        arrived = record.timestamp if record.timestamp >= 0 else None
        delivery = Delivery.of(event, kind, record.partition, record.offset, arrived)
        late_deletions = wanted.get(event.customer_id)
        applied = late_deletions is not None and record.offset < late_deletions.positions.get(
            delivery.source, 0
        )
        return delivery if applied else None

    async def _records(
        self, ends: Mapping[TopicPartition, int], since: int
    ) -> AsyncIterator[ConsumerRecord]:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._settings.brokers,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
        )
        try:
            await consumer.start()
            first = await consumer.beginning_offsets(list(ends))
            found = await consumer.offsets_for_times(dict.fromkeys(ends, max(since, 0)))
            starts = {tp: at.offset for tp in ends if (at := found.get(tp)) is not None}
            starts = {tp: start for tp, start in starts.items() if start < ends[tp]}
            for tp, start in starts.items():
                if 0 < first[tp] == start:
                    logger.warning("%s begins at %d: older events are gone", tp, start)
            consumer.assign(list(starts))
            for tp, start in starts.items():
                consumer.seek(tp, start)
            for tp in starts:
                async for record in self._until(consumer, tp, ends[tp]):
                    yield record
        except KafkaError as error:
            message = f"the broker did not give older events again: {error}"
            raise UnavailableError(message) from error
        finally:
            await consumer.stop()

    async def _until(
        self, consumer: AIOKafkaConsumer, tp: TopicPartition, end: int
    ) -> AsyncIterator[ConsumerRecord]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._settings.retry_seconds
        while await consumer.position(tp) < end:
            batch = (await consumer.getmany(tp, timeout_ms=_POLL_MS)).get(tp, [])
            for record in batch:
                if record.offset < end:
                    yield record
            if batch:
                deadline = loop.time() + self._settings.retry_seconds
            elif loop.time() > deadline:
                raise UnavailableError(f"{tp.topic}/{tp.partition} gave nothing more")
        consumer.pause(tp)
