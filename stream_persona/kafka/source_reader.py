"""Reads the messages of sources: bytes to a document, and the events that its mapping makes of it.

What cannot be read raises a ``DecodeError``, as for our own shape; what a mapping leaves out is
counted by its reason (``domain.anomaly``). All of a message is taken, or none of it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stream_persona.domain import events
from stream_persona.domain.anomaly import Anomaly
from stream_persona.domain.events import ASSIGNMENT, decode_for_taxonomy, get_event_time
from stream_persona.domain.mapping.cloudevents import make_envelope
from stream_persona.domain.mapping.configured import load_sources
from stream_persona.domain.mapping.documents import decode_document, map_document
from stream_persona.kafka.arrivals import EventReader, find_arrival
from stream_persona.kafka.deserializers import Deserializers
from stream_persona.kafka.origins import MappedOrigin

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiokafka import ConsumerRecord

    from stream_persona.domain.events import Event
    from stream_persona.domain.identity import NobodyIds
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.errors import DecodeError
    from stream_persona.settings import Settings


@dataclass(frozen=True, slots=True)
class MappedMessage:
    """What a mapping made of a message: where that came in, and each customer's events with kinds.

    ``anomalies`` counts what was left out of it, ``fault`` is why the first of those events is none
    that is wrong while others are right.
    """

    origin: MappedOrigin
    events: dict[str, list[tuple[int, Event]]]
    fault: DecodeError | None = None
    anomalies: Counter[str] = field(default_factory=Counter)


class SourceReader:
    """Reads what is in the topics of sources, among them our own where a source names one."""

    def __init__(
        self, settings: Settings, taxonomy: Taxonomy, reader: EventReader, nobody: NobodyIds
    ) -> None:
        """Take the sources of the settings; ``reader`` bounds the times of events."""
        self._sources = load_sources(settings.sources)
        self._own = frozenset(settings.input_topics)
        self._taxonomy = taxonomy
        self._reader = reader
        self._nobody = nobody
        self._deserializers = Deserializers.of(self._sources, settings)
        self._enveloped = frozenset(
            each.topic for each in (self._sources.source if self._sources else ())
            if each.preset == "cloudevents"
        )  # fmt: skip
        self.topics = frozenset(self._sources.topics if self._sources else ())

    async def prepare(self, batch: Iterable[ConsumerRecord]) -> None:
        """Fetch the schemas that a batch needs, off the event loop, before it is read.

        Raises:
            UnavailableError: a registry stayed away.
        """
        if self._deserializers:
            await self._deserializers.prepare(batch)

    def read(self, raw: ConsumerRecord) -> MappedMessage | None:
        """Read a message of a source's topic.

        None is one of a topic of our own that no source takes: it is read as any other there.

        Raises:
            DecodeError: it cannot be read.
        """
        document = self.decode(raw)
        sources = self._sources.list_for_topic(raw.topic) if self._sources else ()
        # Where the broker does not say when it arrived, its producer's time of sending stands in.
        sent = int(raw.timestamp) if raw.timestamp >= 0 else None
        mapped = map_document(sources, document, self._nobody, sent)
        if raw.topic in self._own and Anomaly.UNMAPPED in mapped.left_out:
            return None
        origin = MappedOrigin(raw.topic, raw.partition, raw.offset, find_arrival(raw))
        fault = mapped.faults[0] if mapped.faults else None
        message = MappedMessage(origin, {}, fault, Counter(mapped.left_out))
        for kind, event in mapped.events:
            self._add(message, kind, event)
        return message

    def _add(self, message: MappedMessage, kind: int, event: Event) -> None:
        """Add an event to those of its customer, unless it is nobody's."""
        if event.customer_id in self._nobody:
            message.anomalies[Anomaly.NOBODY] += 1
            return
        if kind == ASSIGNMENT:  # which is checked against the taxonomy
            event = decode_for_taxonomy(kind, events.encode(event), self._taxonomy, self._nobody)
        if message.origin.arrived < 0:
            self._reader.bound_time(kind, get_event_time(event))
        message.events.setdefault(event.customer_id, []).append((kind, event))

    def decode(self, raw: ConsumerRecord) -> object:
        """Return a message's plain values; of a CloudEvent in headers, with these around it.

        Raises:
            DecodeError: it has none.
        """
        if raw.topic in self._deserializers:
            document = self._deserializers.decode(raw.topic, raw.value)
        else:
            document = decode_document(raw.value)
        if raw.topic in self._enveloped and raw.headers:
            return make_envelope(dict(raw.headers), document) or document
        return document
