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

from stream_persona.api.ring import RING
from stream_persona.errors import ConfigError, UnavailableError
from stream_persona.kafka.range_reader import RangeReader
from stream_persona.pipeline.messages import encode_copy
from stream_persona.retrying import retry_endlessly

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiokafka import ConsumerRecord

    from stream_persona.api.changes import ChangeFeed
    from stream_persona.settings import Settings

logger = logging.getLogger(__name__)

#: Seconds for one try, and between the first two.
_SECONDS: Final = 10.0
_PAUSE: Final = 2.0
_POLL: Final = 0.05
#: Messages that are unpacked at a time: a few milliseconds of the event loop.
_CHUNK: Final = 250


async def refill(settings: Settings, feed: ChangeFeed) -> None:
    """Give the feed what was published before it listened; listeners wait for the first try.

    The channel is subscribed to first, so that no change falls between the two. Whenever it had to
    be subscribed to again, deletions may have been missed: they are looked for in the topic.
    """
    feed.refilled.clear()
    while not feed.ready:  # noqa: ASYNC110 - there is nothing to wait for but a flag
        await asyncio.sleep(_POLL)
    known = feed.subscriptions
    try:
        await _try_until_read(settings, feed, feed.prepend)
    finally:
        feed.refilled.set()
    while True:
        await asyncio.sleep(_PAUSE)
        if feed.ready and feed.subscriptions != known:
            known = feed.subscriptions
            await _try_until_read(settings, feed, feed.forget_deleted)


async def _try_until_read(
    settings: Settings, feed: ChangeFeed, use: Callable[[list[tuple[int, bytes]]], None]
) -> None:
    """Read the newest messages, with their times, and use them."""

    async def read() -> None:
        try:
            async with asyncio.timeout(_SECONDS):
                use(await _read_copies(settings))
        finally:
            feed.refilled.set()

    await retry_endlessly(
        read,
        on=(KafkaError, ConfigError, UnavailableError, OSError, TimeoutError, ValueError),
        note=lambda error: logger.warning(
            "changes from before the start can't be read yet: %s", error
        ),
        first_wait=_PAUSE,
    )


async def _read_copies(settings: Settings) -> list[tuple[int, bytes]]:
    newest = await read_newest(settings, RING)
    return [(at, encode_copy((raw.key or b"").decode(), raw.value)) for at, raw in newest]


async def read_newest(settings: Settings, most: int) -> list[tuple[int, ConsumerRecord]]:
    """About the ``most`` newest messages of the topic of changes, with times that ascend.

    They are ordered by when they were sent; those of one partition keep their order, so that what
    was before a tombstone stays before it, whatever the clocks of the two producers.
    """
    async with RangeReader(settings, patience=_SECONDS, chunk=_CHUNK, skip_expired=True) as reader:
        if settings.topic_changes not in await reader.list_topics():
            return []
        partitions = [TopicPartition(settings.topic_changes, p) for p in range(settings.partitions)]
        each = -(-most // len(partitions))
        held = await reader.load_bounds(partitions)
        reader.begin({tp: offsets[-each:] for tp, offsets in held.items()})
        read = list(chain.from_iterable([batch async for batch in reader.read()]))
    reached: dict[int, int] = {}
    found = []
    for raw in sorted(read, key=lambda raw: (raw.partition, raw.offset)):
        at = reached[raw.partition] = max(raw.timestamp, reached.get(raw.partition, 0))
        found.append((at, raw))
    found.sort(key=lambda pair: (pair[0], pair[1].partition, pair[1].offset))
    return found[-most:]
