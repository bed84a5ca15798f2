"""The events of a file of any format, as JSON, and the kind of each.

A row's field ``topic`` names its topic, unless one kind is given for all rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from stream_persona.errors import DecodeError, InputError
from stream_persona.files.csv_events import EventRow, read_columns, read_events
from stream_persona.files.formats import EventFile, Format
from stream_persona.files.rows import read_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: The kinds of events by the names that people use, in the order of ``events.KINDS``.
KIND_NAMES: Final = ("purchases", "browses", "engagements", "assignments", "deletions")


class _Line(msgspec.Struct):
    topic: Any = None


_line_decoder = msgspec.json.Decoder(_Line)


class RowReader:
    """Reads the rows of files.

    Args:
        kind: an index into ``events.KINDS``; None reads it from each row's ``topic``.
        topics: the names of the input topics, in the order of ``events.KINDS``.
    """

    def __init__(self, kind: int | None, topics: Sequence[str]) -> None:
        self._kind = kind
        self._kinds = {name: each for each, name in enumerate(KIND_NAMES)}
        self._kinds |= {topic: each for each, topic in enumerate(topics)}

    def check_columns(self, file: EventFile) -> None:
        """Refuse CSV whose header row lacks what its events must have.

        Raises:
            InputError: names the columns that are missing.
        """
        if file.format is not Format.CSV:
            return
        columns = read_columns(file)
        if self._kind is None and "topic" not in columns.fields:
            message = f"{file.path}: the header row has no column topic, which names each row's"
            raise InputError(f"{message}: add it, or give --kind")
        missing = [] if self._kind is None else columns.find_missing(self._kind)
        if missing:
            found = ", ".join(columns.names)[:200]
            message = f"{file.path}: the header row has no column {' nor '.join(missing)} ({found})"
            raise InputError(f"{message}: name them so; stream-persona inspect says which they are")

    def read(self, file: EventFile) -> Iterator[EventRow]:
        """Yield number and JSON of each event; what is no event has an ``error``, or shows it.

        Raises:
            InputError: the file is damaged, or is not of its format from some place on.
            ConfigError: it is Parquet, and no package to read that is installed.
        """
        if file.format is Format.CSV:
            return read_events(file, self._kind, self._kinds)
        return (EventRow(number, value) for number, value in read_rows(file))

    def find_kind(self, line: bytes) -> int:
        """Return the kind of all rows, or the one that a row's ``topic`` names.

        Raises:
            DecodeError: it names none.
        """
        if self._kind is not None:
            return self._kind
        try:
            topic = _line_decoder.decode(line).topic
        except msgspec.ValidationError as error:
            raise DecodeError("invalid_field", str(error)) from None
        except UnicodeDecodeError as error:
            raise DecodeError("not_utf8", str(error)[:200]) from None
        except msgspec.DecodeError as error:
            raise DecodeError("not_json", str(error)) from None
        except RecursionError:
            raise DecodeError("too_deep", "nested deeper than can be read") from None
        if not isinstance(topic, str) or topic not in self._kinds:
            known = ", ".join(self._kinds)
            detail = f"expected one of {known} in the field topic (or --kind), got {topic!r:.80}"
            raise DecodeError("invalid_field", detail)
        return self._kinds[topic]
