"""What changed before this process began: the newest part of the topic of changes, for the ring.

A page that comes back after the API was away then hears what it missed, as if nothing had been.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from stream_persona.api.changes import RING
from stream_persona.pipeline.messages import copy_of

if TYPE_CHECKING:
    from aiokafka import ConsumerRecord

    from stream_persona.api.changes import Feed
    from stream_persona.settings import Settings

logger = logging.getLogger(__name__)

#: Seconds for one try, and between two.
_SECONDS: Final = 10.0
_PAUSE: Final = 2.0
_POLL: Final = 0.05
_POLL_MS: Final = 100
#: Messages that are unpacked at a time: a few milliseconds of the event loop.
_CHUNK: Final = 250


async def refill(settings: Settings, feed: Feed) -> None:
    """Give the feed what was published before it listened; whoever comes waits for the first try.

    The channel is heard first, so that nothing falls between the two.
    """
    feed.refilled.clear()
    while not feed.ready:  # noqa: ASYNC110 - there is nothing to wait for but a flag
        await asyncio.sleep(_POLL)
    while True:
        try:
            async with asyncio.timeout(_SECONDS):
                feed.precede([copy_of((raw.key or b"").decode(), raw.value)
                              for raw in await newest(settings, RING)])  # fmt: skip
        except (KafkaError, OSError, TimeoutError, ValueError) as error:
            logger.warning("changes from before the start can't be read yet: %s", error)
        else:
            return
        finally:
            feed.refilled.set()
        await asyncio.sleep(_PAUSE)


async def newest(settings: Settings, most: int) -> list[ConsumerRecord]:
    """About the ``most`` newest messages of the topic of changes, the oldest first.

    They are ordered by when they were sent; those of one partition keep their order.
    """
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.brokers,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    try:
        await consumer.start()
        if settings.topic_changes not in await consumer.topics():
            return []
        found = await _read(consumer, settings, most)
    finally:
        with suppress(KafkaError, OSError):
            await consumer.stop()
    found.sort(key=lambda raw: (raw.timestamp, raw.partition, raw.offset))
    return found[-most:]


async def _read(consumer: AIOKafkaConsumer, settings: Settings, most: int) -> list[ConsumerRecord]:
    at = [TopicPartition(settings.topic_changes, p) for p in range(settings.partitions)]
    consumer.assign(at)
    first, ends = await consumer.beginning_offsets(at), await consumer.end_offsets(at)
    for each in at:
        consumer.seek(each, max(first[each], ends[each] - -(-most // len(at))))
    found: list[ConsumerRecord] = []
    left = set(at)
    while left:
        for batch in (
            await consumer.getmany(*left, timeout_ms=_POLL_MS, max_records=_CHUNK)
        ).values():
            found += batch
        # Positions, since past the last message there may be the markers of transactions.
        left = {each for each in left if await consumer.position(each) < ends[each]}
    return found
