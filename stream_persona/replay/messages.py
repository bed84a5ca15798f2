"""Reads the messages of topics: for a replay by today's mapping, for a rebuild as mapped before.

A replay maps what is in the topics of sources by today's mapping: that is how a changed one reads
the past. A rebuild folds again what was, so it takes the events of sources from the reroutes, as
they were mapped when they came.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream_persona.clocks import epoch_ms
from stream_persona.domain import events
from stream_persona.domain.anomaly import Anomaly
from stream_persona.domain.identity import NobodyIds
from stream_persona.errors import DecodeError
from stream_persona.kafka.arrivals import EventReader
from stream_persona.kafka.mapped_reroutes import MappedEvents, deliver_mapped, read_reroute
from stream_persona.kafka.origins import Origins, check_origin, is_mapped
from stream_persona.kafka.source_reader import SourceReader
from stream_persona.replay.summary import Unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from aiokafka import ConsumerRecord

    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.kafka.origins import HasEnds, LogEnds
    from stream_persona.kafka.source_reader import MappedMessage
    from stream_persona.replay.summary import Found
    from stream_persona.settings import Settings


class TopicMessages:
    """Reads the messages of input topics, and of sources by today's mapping.

    ``now`` gives epoch milliseconds.
    """

    def __init__(
        self, settings: Settings, taxonomy: Taxonomy, now: Callable[[], int] = epoch_ms
    ) -> None:
        self._settings = settings
        self._taxonomy = taxonomy
        self._nobody = NobodyIds(settings.nobody)
        self._events = EventReader(taxonomy, now, self._nobody)
        self._sources = SourceReader(settings, taxonomy, self._events, self._nobody)
        self._kinds = {topic: kind for kind, topic in enumerate(settings.input_topics)}

    async def prepare(self, batch: Iterable[ConsumerRecord]) -> None:
        """Fetch the schemas that a batch needs.

        Raises:
            UnavailableError: a registry stayed away.
        """
        await self._sources.prepare(batch)

    def read(self, raw: ConsumerRecord) -> list[Found]:
        """Return what is in a message: events, or why it holds none."""
        try:
            return self._read(raw)
        except DecodeError as error:
            return [_make_unreadable(raw, error)]

    def _read(self, raw: ConsumerRecord) -> list[Found]:
        if raw.topic in self._sources.topics:
            mapped = self._sources.read(raw)
            if mapped is not None:
                return self._list_mapped(raw, mapped)
        delivery = self._events.read(self._kinds[raw.topic], raw)
        return [Anomaly.NOBODY if delivery.event.customer_id in self._nobody else delivery]

    def _list_mapped(self, raw: ConsumerRecord, mapped: MappedMessage) -> list[Found]:
        """List the events of a message as those of its reroutes are, and what was left out."""
        found: list[Found] = []
        for made in mapped.events.values():
            encoded = [(kind, events.encode(event)) for kind, event in made]
            found += self._deliver(MappedEvents(mapped.origin, self._settings.group, encoded))
        for reason, number in mapped.anomalies.items():
            found += [Anomaly(reason)] * number
        if mapped.fault is not None:
            found.append(_make_unreadable(raw, mapped.fault))
        return found

    def _deliver(self, held: MappedEvents) -> list[Found]:
        return [
            self._events.bound(each) for each in deliver_mapped(held, self._taxonomy, self._nobody)
        ]


class FormerMessages(TopicMessages):
    """Reads the same as they were mapped when they came: from the topic of reroutes.

    ``log`` knows where the inputs end, so that no more is taken than workers would take.
    """

    def __init__(self, settings: Settings, taxonomy: Taxonomy, log: HasEnds) -> None:
        super().__init__(settings, taxonomy)
        self._origins = Origins(settings, log)
        self._ends: LogEnds = {}

    async def prepare(self, batch: Iterable[ConsumerRecord]) -> None:
        """Fetch the schemas, and the ends of logs, that a batch needs.

        Raises:
            UnavailableError: a registry or the broker stayed away.
        """
        await super().prepare(batch)
        self._ends = await self._origins.find_ends(batch)

    def _read(self, raw: ConsumerRecord) -> list[Found]:
        if raw.topic != self._settings.topic_reroutes:
            return super()._read(raw)
        if not is_mapped(raw):
            return []  # it is read where it came in
        held = read_reroute(raw)
        if held.group != self._settings.group:
            return []
        check_origin(held.origin, raw, self._ends)
        return self._deliver(held)

    def _list_mapped(self, raw: ConsumerRecord, mapped: MappedMessage) -> list[Found]:  # noqa: ARG002
        return []


def _make_unreadable(raw: ConsumerRecord, error: DecodeError) -> Unreadable:
    source = f"{raw.topic}/{raw.partition}"
    return Unreadable(error.reason, error.detail, source, raw.offset, raw.value or b"")
