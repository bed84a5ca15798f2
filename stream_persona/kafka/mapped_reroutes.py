"""Events that a mapping made of one message, on their way to their customer's home partition.

The messages of a source have other people's keys, and one may hold several events, of several
customers. So the worker that reads one maps it, and forwards to each customer's home what is
theirs: one reroute with all of that customer's events, in our own shape. It is in the log before
the message is acknowledged, and everything that reads a customer's past (late deletions, damaged
records, rebuilding) reads it there: as it was mapped then, whatever the mapping is today.

============  =====================================================================================
value         a JSON array of the events
``kinds``     the index of each event's kind (``events.KINDS``), with commas between
``group``     the consumer group of the deployment that mapped it. Another one that reads the same
              topics may map them otherwise, and forwards its own
other         those of any reroute: ``topic``, ``partition``, ``offset`` and ``timestamp`` of where
              the message came in
============  =====================================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from stream_persona.domain import events
from stream_persona.domain.inputs import (
    MOST_EVENTS,
    find_offset,
    is_of_source,
    is_own_topic,
    number_source_partition,
    place_events,
)
from stream_persona.domain.message_size import MAX_BYTES
from stream_persona.errors import DecodeError
from stream_persona.kafka.origins import KINDS_HEADER, MappedOrigin, parse_mapped_origin
from stream_persona.kafka.producer import Message
from stream_persona.pipeline.types import Delivery

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from aiokafka import ConsumerRecord

    from stream_persona.domain.events import Event
    from stream_persona.domain.identity import NobodyIds
    from stream_persona.domain.taxonomy import Taxonomy

_array_decoder = msgspec.json.Decoder(list[msgspec.Raw])


class MappedEvents(NamedTuple):
    """What a reroute holds: where its message came in, who mapped it, and kind and JSON of each."""

    origin: MappedOrigin
    group: str
    events: list[tuple[int, bytes]]


def make_reroute(
    topic: str, group: str, origin: MappedOrigin, made: Sequence[tuple[int, Event]], home: int
) -> Message:
    """Make the reroute of one customer's events of a message, in their order.

    Raises:
        DecodeError: they are too many, or too large.
    """
    if len(made) > MOST_EVENTS:
        detail = f"{len(made):,} events of one customer; at most {MOST_EVENTS:,} are read"
        raise DecodeError("too_large", detail)
    value = events.encode([event for _, event in made])
    if len(value) > MAX_BYTES:
        detail = f"the events of one customer have {len(value):,} bytes; at most {MAX_BYTES:,}"
        raise DecodeError("too_large", f"{detail} are read")
    headers = (
        ("topic", origin.topic.encode()),
        ("partition", str(origin.partition).encode()),
        ("offset", str(origin.offset).encode()),
        ("timestamp", str(max(origin.arrived, -1)).encode()),
        (KINDS_HEADER, ",".join(str(kind) for kind, _ in made).encode()),
        ("group", group.encode()),
    )
    return Message(topic, made[0][1].customer_id.encode(), value, headers, home)


def read_reroute(raw: ConsumerRecord) -> MappedEvents:
    """Read what ``make_reroute`` made.

    Raises:
        DecodeError: it is none.
    """
    headers: Mapping[str, bytes] = dict(raw.headers)
    origin = parse_mapped_origin(headers)
    try:
        group = headers["group"].decode()
        kinds = [int(kind) for kind in headers[KINDS_HEADER].split(b",")]
    except (AttributeError, KeyError, TypeError, ValueError):  # a header may have no value
        raise DecodeError("invalid_field", "the headers do not say who mapped it") from None
    try:
        values = [bytes(each) for each in _array_decoder.decode(raw.value or b"")]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise DecodeError("not_json", "a reroute of mapped events holds no array of them") from None
    known = range(len(events.KINDS))
    if not 0 < len(values) == len(kinds) <= MOST_EVENTS or any(k not in known for k in kinds):
        raise DecodeError("invalid_field", "the headers do not say of what kinds its events are")
    return MappedEvents(origin, group, list(zip(kinds, values, strict=True)))


def drop_mapped(deliveries: Iterable[Delivery], topics: Sequence[str]) -> list[Delivery]:
    """Drop repeated events, and originals whose mapped events are among the deliveries.

    ``topics`` are our own inputs: one of them may be, or have been, a source as well.
    """
    found: dict[tuple[int, int], Delivery] = {}
    for each in deliveries:
        found.setdefault((each.source, each.offset), each)
    mapped = {
        (each.partition, find_offset(each.offset)) for each in found.values()
        if is_of_source(each.source)
    }  # fmt: skip
    if not mapped:
        return list(found.values())
    return [
        each for (source, offset), each in found.items()
        if not is_own_topic(source)
        or (number_source_partition(topics[each.kind], each.partition), offset) not in mapped
    ]  # fmt: skip


def deliver_mapped(held: MappedEvents, taxonomy: Taxonomy, nobody: NobodyIds) -> list[Delivery]:
    """Return the events of one customer, each with its place in the message.

    Raises:
        DecodeError: one of them cannot be read, or is of another customer.
    """
    origin = held.origin
    arrived = origin.arrived if origin.arrived >= 0 else None
    partition = number_source_partition(origin.topic, origin.partition)
    places = place_events(origin.offset, (kind for kind, _ in held.events))
    found = []
    for (kind, value), place in zip(held.events, places, strict=True):
        event = events.decode_for_taxonomy(kind, value, taxonomy, nobody)
        found.append(Delivery.of(event, kind, partition, place, arrived))
    if len({each.event.customer_id for each in found}) > 1:
        raise DecodeError("invalid_field", "a reroute of mapped events is of one customer")
    return found
