"""The newest part of the topic of changes, for the ring: what changed before this process began.

A page that comes back after the API was away gets what it missed, as if nothing had happened.
"""

from __future__ import annotations

import asyncio
import logging
from itertools import chain
from typing import TYPE_CHECKING, Final

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from stream_persona.api.changes import RING
from stream_persona.errors import UnavailableError
from stream_persona.kafka.range_reader import RangeReader
from stream_persona.pipeline.messages import encode_copy

if TYPE_CHECKING:
    from aiokafka import ConsumerRecord

    from stream_persona.api.changes import ChangeFeed
    from stream_persona.settings import Settings

logger = logging.getLogger(__name__)

#: Seconds for one try, and between two.
_SECONDS: Final = 10.0
_PAUSE: Final = 2.0
_POLL: Final = 0.05
_POLL_MS: Final = 100
#: Messages that are unpacked at a time: a few milliseconds of the event loop.
_CHUNK: Final = 250


async def refill(settings: Settings, feed: ChangeFeed) -> None:
    """Give the feed what was published before it listened; listeners wait for the first try.

    The channel is subscribed to first, so that no change falls between the two.
    """
    feed.refilled.clear()
    while not feed.ready:  # noqa: ASYNC110 - there is nothing to wait for but a flag
        await asyncio.sleep(_POLL)
    while True:
        try:
            async with asyncio.timeout(_SECONDS):
                newest = await read_newest(settings, RING)
                feed.prepend(
                    (raw.timestamp, encode_copy((raw.key or b"").decode(), raw.value))
                    for raw in newest
                )
        except (KafkaError, UnavailableError, OSError, TimeoutError, ValueError) as error:
            logger.warning("changes from before the start can't be read yet: %s", error)
        else:
            return
        finally:
            feed.refilled.set()
        await asyncio.sleep(_PAUSE)


async def read_newest(settings: Settings, most: int) -> list[ConsumerRecord]:
    """About the ``most`` newest messages of the topic of changes, the oldest first.

    They are ordered by when they were sent; those of one partition keep their order.
    """
    async with RangeReader(
        settings.brokers, patience=_SECONDS, chunk=_CHUNK, poll_ms=_POLL_MS, skip_expired=True
    ) as reader:
        if settings.topic_changes not in await reader.topics():
            return []
        partitions = [TopicPartition(settings.topic_changes, p) for p in range(settings.partitions)]
        each = -(-most // len(partitions))
        held = await reader.bounds(partitions)
        reader.begin({tp: offsets[-each:] for tp, offsets in held.items()})
        found = list(chain.from_iterable([batch async for batch in reader.read()]))
    found.sort(key=lambda raw: (raw.timestamp, raw.partition, raw.offset))
    return found[-most:]
