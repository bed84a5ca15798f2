"""Where rerouted events came in first: read from their headers, and held against the input logs.

A record holds which offset of each partition it applies next. Moved beyond the end of its log by
one forged reroute, all that its customer does would pass for applied, for ever. So an origin must
exist: an offset before its log's end, in a partition of its topic, and an arrival that is past.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from aiokafka import TopicPartition

from stream_persona.errors import DecodeError
from stream_persona.kafka.arrivals import BY_BROKER

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from aiokafka import ConsumerRecord

    from stream_persona.settings import Settings

#: The headers of a reroute that hold where its event first came in, and the bounds of each number.
_BOUNDS: Final = {"partition": (0, 1 << 16), "offset": (0, 1 << 62), "timestamp": (-1, 1 << 63)}
#: Milliseconds by which an arrival may lie behind its reroute's: brokers' clocks differ, and where
#: a topic keeps its producers' times, Kafka itself takes them up to an hour ahead.
_CLOCKS_MS: Final = 3_600_000


class Origin(NamedTuple):
    """Where a message came in: its input (kind and partition), offset and arrival, or -1."""

    kind: int
    partition: int
    offset: int
    arrived: int


class HasEnds(Protocol):
    """The input topics' logs."""

    async def find_ends(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """Find where partitions end; those that do not exist are left out."""
        ...


#: By kind and partition, an end that each log has reached or passed; others do not exist.
LogEnds = Mapping[tuple[int, int], int]


def parse_origin(raw: ConsumerRecord, kinds: Mapping[str, int]) -> Origin:
    """Return the origin in a reroute's headers; ``kinds`` are the input topics'.

    Raises:
        DecodeError: they do not hold one.
    """
    headers = dict(raw.headers)
    try:
        partition, offset, arrived = (_parse_within(headers[n], *_BOUNDS[n]) for n in _BOUNDS)
        kind = kinds[headers["topic"].decode()]
    except (AttributeError, KeyError, TypeError, ValueError):  # a header may have no value
        raise DecodeError("invalid_field", "the headers do not say where it came in") from None
    return Origin(kind, partition, offset, arrived)


def check_origin(origin: Origin, raw: ConsumerRecord, ends: LogEnds) -> None:
    """Refuse an origin that the input logs do not have.

    Raises:
        DecodeError: its partition or offset does not exist, or it lies in the future.
    """
    end = ends.get((origin.kind, origin.partition), 0)
    if origin.offset >= end:
        detail = f"the headers name offset {origin.offset} of a log that ends at {end}"
        raise DecodeError("invalid_field", detail)
    if raw.timestamp_type == BY_BROKER and origin.arrived > raw.timestamp + _CLOCKS_MS:
        raise DecodeError("invalid_field", "the headers name an arrival after the reroute's own")


class Origins:
    """Knows how far the input logs reach, and asks only about origins beyond what it knows."""

    def __init__(self, settings: Settings, log: HasEnds) -> None:
        self._topics = settings.input_topics
        self._kinds = {topic: kind for kind, topic in enumerate(self._topics)}
        self._log = log
        self._ends: dict[tuple[int, int], int] = {}

    async def find_ends(self, batch: Iterable[ConsumerRecord]) -> LogEnds:
        """Return ends by which each reroute's origin in a batch can be checked.

        Raises:
            UnavailableError: the broker did not give them.
        """
        beyond = set()
        for raw in batch:
            if raw.topic in self._kinds:
                continue
            try:
                origin = parse_origin(raw, self._kinds)
            except DecodeError:
                continue  # it has none to check
            log = origin.kind, origin.partition
            if origin.offset >= self._ends.get(log, 0):
                beyond.add(log)
        if beyond:
            asked = {TopicPartition(self._topics[kind], p): (kind, p) for kind, p in beyond}
            found = await self._log.find_ends(asked)
            self._ends |= {asked[tp]: end for tp, end in found.items()}
        return self._ends


def _parse_within(digits: bytes, low: int, end: int) -> int:
    number = int(digits)
    if not low <= number < end:
        raise ValueError(digits)
    return number
