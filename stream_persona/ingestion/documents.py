"""Files of other tools' documents: each is sent to its source's topic, as it is.

So its reader makes of it what it makes of any other there. What that is, is found out
here by the same reader first: a document that it could not read is not sent, nor is one of which
nothing comes. The reasons of what is left out are counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiokafka import ConsumerRecord

from stream_persona.clocks import epoch_ms
from stream_persona.domain.anomaly import Anomaly
from stream_persona.domain.identity import NobodyIds
from stream_persona.domain.mapping.configured import load_sources
from stream_persona.errors import InputError, SettingsError
from stream_persona.files.csv_events import EventRow
from stream_persona.files.formats import Format, recognize
from stream_persona.files.rows import read_rows
from stream_persona.files.unreadable import Unreadable
from stream_persona.ingestion.events import EventFiles
from stream_persona.kafka.arrivals import EventReader
from stream_persona.kafka.mapped_reroutes import make_reroute
from stream_persona.kafka.sender import Outgoing, check_topics
from stream_persona.kafka.source_reader import SourceReader
from stream_persona.kafka.source_topics import count_source_partitions
from stream_persona.kafka.topics import ask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.files.formats import EventFile
    from stream_persona.ingestion.events import Found
    from stream_persona.kafka.source_reader import MappedMessage
    from stream_persona.settings import Settings

#: A timestamp that its producer has set.
_BY_PRODUCER: Final = 0


class DocumentFiles(EventFiles):
    """Reads files of the documents of a topic that sources read.

    Raises:
        SettingsError: no source reads the topic.
        InputError: its documents are no JSON.
    """

    def __init__(
        self,
        settings: Settings,
        taxonomy: Taxonomy,
        topic: str,
        now: Callable[[], int] = epoch_ms,
    ) -> None:
        own = settings.input_topics
        super().__init__(settings, taxonomy, own.index(topic) if topic in own else None, now)
        _check_sources(settings, topic)
        self._topic = topic
        self._group = settings.group
        self._now = now
        nobody = NobodyIds(settings.nobody)
        self._reader = SourceReader(settings, taxonomy, EventReader(taxonomy, now, nobody), nobody)

    @property
    def name(self) -> str:
        """What the notes on its files are kept by: no kind is named so."""
        return f"source {self._topic}"

    def open(self, path: Path) -> EventFile:
        """Return what a file is; columns are no documents.

        Raises:
            InputError: it cannot be read, or is CSV.
        """
        file = recognize(path)
        if file.format is not Format.CSV:
            return file
        message = f"{path}: is CSV, and the documents of a source are objects"
        raise InputError(f"{message}: write JSON Lines, a JSON array or Parquet")

    async def check_topics(self, settings: Settings) -> None:
        """Check that the topic is there, whose size is not ours to choose.

        Raises:
            TopologyError: it is missing.
            UnavailableError: no broker answers.
        """
        if self._topic in settings.input_topics:
            await check_topics(settings, [self._topic])
        else:
            topics = (self._topic,)
            await ask(settings, lambda admin: count_source_partitions(admin, settings, topics))

    def _read_rows(self, file: EventFile) -> Iterator[EventRow]:
        return (EventRow(number, value) for number, value in read_rows(file))

    def _make_messages(self, row: EventRow, source: str) -> list[Found]:
        value = row.value.strip()
        now = self._now()
        size = len(value)
        record = ConsumerRecord(
            self._topic, 0, row.number, now, _BY_PRODUCER, None, value, None, 0, size, ()
        )
        mapped = self._reader.read(record)
        if mapped is None:  # our own shape, in a topic of ours
            return super()._make_messages(row, source)
        self._check_sizes(mapped)
        found: list[Found] = list(map(Anomaly, mapped.anomalies.elements()))
        if mapped.events or Anomaly.IDENTITY_LINK in mapped.anomalies:
            made: tuple[tuple[str, str], ...] = tuple(
                (self._topics[kind], customer)
                for customer, events in mapped.events.items() for kind, _ in events
            )  # fmt: skip
            key = next(iter(mapped.events), "")
            made = made or ((Anomaly.IDENTITY_LINK, key),)
            found.insert(0, Outgoing(self._topic, key, value, row.number, made))
        if mapped.fault is not None:
            fault = mapped.fault
            found.append(Unreadable(fault.reason, fault.detail, source, row.number, row.value))
        return found

    def _check_sizes(self, mapped: MappedMessage) -> None:
        """Refuse what its worker would refuse to forward.

        Raises:
            DecodeError: a customer has too many events in one document, or too large ones.
        """
        for events in mapped.events.values():
            make_reroute(self._topic, self._group, mapped.origin, events, 0)


def _check_sources(settings: Settings, topic: str) -> None:
    """Refuse a topic that no source reads, or whose documents are no JSON."""
    sources = load_sources(settings.sources)
    if sources is None:
        message = "a source is named, and STREAM_PERSONA_SOURCES names no file of them"
        raise SettingsError(f"{message}: set it as the workers have it")
    own = sources.list_for_topic(topic)
    if not own:
        known = ", ".join(sources.topics)
        message = f"no source of STREAM_PERSONA_SOURCES reads topic {topic!r}"
        raise SettingsError(f"{message}; there are {known}")
    if own[0].format != "json":
        message = f"the messages of {topic} are {own[0].format}, which needs a producer of its own"
        raise InputError(f"{message}: files are sent to topics of JSON")
