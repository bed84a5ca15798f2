"""Where rerouted events came in first: read from their headers, and held against the input logs.

A record holds which offset of each partition it applies next. Moved beyond the end of its log by
one forged reroute, all that its customer does would pass for applied, for ever. So an origin must
exist: an offset before its log's end, in a partition of its topic, and an arrival that is past.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from aiokafka import TopicPartition

from stream_persona.domain.inputs import OFFSETS_END, PARTITIONS_END
from stream_persona.errors import DecodeError
from stream_persona.kafka.arrivals import BY_BROKER, CLOCKS_MS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from aiokafka import ConsumerRecord

    from stream_persona.settings import Settings

#: What the numbers in the headers of a reroute are below.
_PARTITIONS_END: Final = 1 << 16
_OFFSETS_END: Final = 1 << 62
_TIMES_END: Final = 1 << 63
#: The header that only a reroute of mapped events has: the kinds of these.
KINDS_HEADER: Final = "kinds"


class Origin(NamedTuple):
    """Where a message came in: its input (kind and partition), offset and arrival, or -1."""

    kind: int
    partition: int
    offset: int
    arrived: int


class MappedOrigin(NamedTuple):
    """Where a message of a source came in: the topic's name, partition, offset and arrival, or -1.

    It does not depend on which sources there are today.
    """

    topic: str
    partition: int
    offset: int
    arrived: int


class HasEnds(Protocol):
    """The input topics' logs."""

    async def find_ends(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """Find where partitions end; those that do not exist are left out."""
        ...


#: By kind (or the topic of a source) and partition, an end that each log has reached or passed;
#: others do not exist.
LogEnds = Mapping[tuple[int | str, int], int]


def parse_origin(raw: ConsumerRecord, kinds: Mapping[str, int]) -> Origin:
    """Return the origin in a reroute's headers; ``kinds`` are the input topics'.

    Raises:
        DecodeError: they do not hold one.
    """
    headers = dict(raw.headers)
    try:
        partition, offset, arrived = _parse_numbers(headers)
        kind = kinds[headers["topic"].decode()]
    except (AttributeError, KeyError, TypeError, ValueError):  # a header may have no value
        raise DecodeError("invalid_field", "the headers do not say where it came in") from None
    return Origin(kind, partition, offset, arrived)


def is_mapped(raw: ConsumerRecord) -> bool:
    """Whether a message of the topic of reroutes holds mapped events (``mapped_reroutes``)."""
    return any(name == KINDS_HEADER for name, _ in raw.headers)


def parse_mapped_origin(headers: Mapping[str, bytes]) -> MappedOrigin:
    """Return where the message of a source came in, by the headers of a reroute.

    Raises:
        DecodeError: they do not hold it.
    """
    try:
        numbers = _parse_numbers(headers, PARTITIONS_END, OFFSETS_END)
        return MappedOrigin(headers["topic"].decode(), *numbers)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise DecodeError("invalid_field", "the headers do not say where it came in") from None


def _parse_numbers(
    headers: Mapping[str, bytes],
    partitions_end: int = _PARTITIONS_END,
    offsets_end: int = _OFFSETS_END,
) -> tuple[int, int, int]:
    """Return partition, offset and arrival in the headers of a reroute.

    Raises:
        KeyError, TypeError, ValueError: one is missing, or none that can be.
    """
    return (
        _parse_within(headers["partition"], 0, partitions_end),
        _parse_within(headers["offset"], 0, offsets_end),
        _parse_within(headers["timestamp"], -1, _TIMES_END),
    )


def check_origin(origin: Origin | MappedOrigin, raw: ConsumerRecord, ends: LogEnds) -> None:
    """Refuse an origin that the input logs do not have.

    Raises:
        DecodeError: its partition or offset does not exist, or it lies in the future.
    """
    end = ends.get((origin[0], origin.partition), 0)
    if origin.offset >= end:
        detail = f"the headers name offset {origin.offset} of a log that ends at {end}"
        raise DecodeError("invalid_field", detail)
    if raw.timestamp_type == BY_BROKER and origin.arrived > raw.timestamp + CLOCKS_MS:
        raise DecodeError("invalid_field", "the headers name an arrival after the reroute's own")


class Origins:
    """Knows how far the input logs reach, and asks only about origins beyond what it knows."""

    def __init__(self, settings: Settings, log: HasEnds) -> None:
        self._topics = settings.input_topics
        self._kinds = {topic: kind for kind, topic in enumerate(self._topics)}
        self._reroutes = settings.topic_reroutes
        self._log = log
        self._ends: dict[tuple[int | str, int], int] = {}

    async def find_ends(self, batch: Iterable[ConsumerRecord]) -> LogEnds:
        """Return ends by which each reroute's origin in a batch can be checked.

        Raises:
            UnavailableError: the broker did not give them.
        """
        beyond = set[tuple[int | str, int]]()
        for raw in batch:
            if raw.topic != self._reroutes:
                continue
            try:
                log, offset = self._parse_log(raw)
            except DecodeError:
                continue  # it has none to check
            if offset >= self._ends.get(log, 0):
                beyond.add(log)
        if beyond:
            asked = {TopicPartition(self._find_topic(log), p): (log, p) for log, p in beyond}
            found = await self._log.find_ends(asked)
            self._ends |= {asked[tp]: end for tp, end in found.items()}
        return self._ends

    def _parse_log(self, raw: ConsumerRecord) -> tuple[tuple[int | str, int], int]:
        """Return in which log, and at which offset of it, a reroute's message came in."""
        if is_mapped(raw):
            mapped = parse_mapped_origin(dict(raw.headers))
            return (mapped.topic, mapped.partition), mapped.offset
        origin = parse_origin(raw, self._kinds)
        return (origin.kind, origin.partition), origin.offset

    def _find_topic(self, log: int | str) -> str:
        return self._topics[log] if isinstance(log, int) else log


def _parse_within(digits: bytes, low: int, end: int) -> int:
    number = int(digits)
    if not low <= number < end:
        raise ValueError(digits)
    return number
