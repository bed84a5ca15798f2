"""What has been published of a partition's changes since an offset."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from stream_persona.errors import UnavailableError
from stream_persona.kafka.range_reader import RangeReader

if TYPE_CHECKING:
    from stream_persona.settings import Settings


@dataclass(frozen=True, slots=True)
class Published:
    """The last value of each customer (None: a tombstone), and between which offsets they lie."""

    last: dict[str, bytes | None] = field(default_factory=dict)
    start: int = 0
    end: int = 0


async def load_published(settings: Settings, partition: int, start: int | None) -> Published:
    """Read the changes of a partition from an offset on; with None, only where they end.

    An offset that the log does not have, because it was made anew, is its beginning.

    Raises:
        UnavailableError: the broker did not give them.
    """
    at, last = TopicPartition(settings.topic_changes, partition), dict[str, bytes | None]()
    try:
        async with RangeReader(settings, patience=settings.retry_seconds) as reader:
            held = (await reader.load_bounds([at]))[at]
            first = held.stop
            if start is not None:
                first = start if held.start <= start <= held.stop else held.start
                reader.begin({at: range(first, held.stop)})
                async for batch in reader.read():
                    last |= {(raw.key or b"").decode(errors="replace"): raw.value for raw in batch}
    except (KafkaError, OSError, ValueError) as error:
        message = f"the broker did not give the changes of partition {partition}: {error}"
        raise UnavailableError(message) from error
    return Published(last, first, held.stop)
