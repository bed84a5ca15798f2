"""The rows of a file as messages for the topics of their kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream_persona.clocks import epoch_ms
from stream_persona.domain.anomaly import Anomaly
from stream_persona.domain.events import KINDS, decode_for_taxonomy, get_event_time
from stream_persona.domain.identity import NobodyIds
from stream_persona.errors import DecodeError
from stream_persona.files.formats import recognize
from stream_persona.files.row_reader import KIND_NAMES, RowReader
from stream_persona.files.unreadable import Unreadable
from stream_persona.kafka.arrivals import EventReader
from stream_persona.kafka.sender import Outgoing, check_topics, find_command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.files.csv_events import EventRow
    from stream_persona.files.formats import EventFile
    from stream_persona.settings import Settings

#: What a row gives: messages, what cannot be read, and what is ignored.
Found = Outgoing | Unreadable | Anomaly


class EventFiles:
    """Reads files, and refuses what a worker or a replay would refuse.

    Args:
        settings: names the topics.
        taxonomy: names the personas that assignments may have.
        kind: an index into ``events.KINDS``; None reads it from each row's ``topic``.
        now: gives epoch milliseconds; a time far ahead of it is not believed.
    """

    def __init__(
        self,
        settings: Settings,
        taxonomy: Taxonomy,
        kind: int | None,
        now: Callable[[], int] = epoch_ms,
    ) -> None:
        self.rows = RowReader(kind, settings.input_topics)
        self._kind = kind
        self._topics = settings.input_topics
        self._taxonomy = taxonomy
        self._nobody = NobodyIds(settings.nobody)
        self._times = EventReader(taxonomy, now, self._nobody)
        self._names = {
            topic: each.__name__.lower()
            for topic, each in zip(settings.input_topics, KINDS, strict=True)
        }

    @property
    def name(self) -> str:
        """What the notes on its files are kept by: the kind of all rows, or that it is any."""
        return "any" if self._kind is None else KIND_NAMES[self._kind]

    def name_kinds(self, message: Outgoing) -> list[str]:
        """Return the kinds of a message's events, as results name them; a link of ids has none."""
        return [self._names[topic] for topic, _ in message.events if topic in self._names]

    def open(self, path: Path) -> EventFile:
        """Return what a file is.

        Raises:
            InputError: it cannot be read, or lacks a column that its events must have.
        """
        file = recognize(path)
        self.rows.check_columns(file)
        return file

    async def check_topics(self, settings: Settings) -> None:
        """Check that the topics are there to which events may go.

        Raises:
            TopologyError: one is missing, or of another size.
            UnavailableError: no broker answers.
        """
        own = self._topics if self._kind is None else [self._topics[self._kind]]
        await check_topics(settings, own)

    def read(self, file: EventFile, first: int, last: int) -> Iterator[tuple[int, list[Found]]]:
        """Yield the number of each row from ``first`` to ``last``, and what it gives.

        Raises:
            InputError: the file is damaged, or is not of its format from some place on.
        """
        for row in self._read_rows(file):
            if row.number > last:
                return  # came while we read: it is for another time
            if row.number >= first:
                yield row.number, self._read_row(row, str(file.path))

    def _read_rows(self, file: EventFile) -> Iterator[EventRow]:
        return self.rows.read(file)

    def _read_row(self, row: EventRow, source: str) -> list[Found]:
        try:
            if row.error is not None:
                raise row.error
            return self._make_messages(row, source)
        except DecodeError as error:
            return [Unreadable(error.reason, error.detail, source, row.number, row.value)]

    def _make_messages(self, row: EventRow, source: str) -> list[Found]:  # noqa: ARG002 - for others
        """Return the messages of a row: of one in our shape, one with the row as it is.

        Raises:
            DecodeError: it cannot be read.
        """
        value = row.value.strip()
        kind = self.rows.find_kind(value)
        event = decode_for_taxonomy(kind, value, self._taxonomy, self._nobody)
        if event.customer_id in self._nobody:
            return [Anomaly.NOBODY]
        self._times.bound_time(kind, get_event_time(event))
        command = find_command(event)
        topic = self._topics[kind]
        return [Outgoing(topic, event.customer_id, value, row.number, command=command)]
