"""The events of CSV files: rows that stand together are one purchase."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from stream_persona.domain.events import MAX_ITEMS, PURCHASE, encode
from stream_persona.errors import DecodeError, InputError
from stream_persona.files.columns import Columns
from stream_persona.files.rows import read_cells

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from stream_persona.files.formats import EventFile

#: The last purchases by whose ids it is noticed that rows of one stand apart.
_REMEMBERED: Final = 100_000
_TO_UTF8: Final = "not UTF-8: convert the file (iconv -f WINDOWS-1252 -t UTF-8)"


class EventRow(NamedTuple):
    """An event's number and JSON; ``error`` where its row cannot be read as one."""

    number: int
    value: bytes
    error: DecodeError | None = None


def read_columns(file: EventFile) -> Columns:
    """Return the columns of a CSV file.

    Raises:
        InputError: its header row cannot be read.
    """
    for _, header in read_cells(file):
        try:
            return Columns(header, file.delimiter)
        except DecodeError as error:
            raise InputError(f"{file.path}: {error.detail}") from None
    raise InputError(f"{file.path}: is empty: there is no header row")


def read_events(file: EventFile, kind: int | None, kinds: Mapping[str, int]) -> Iterator[EventRow]:
    """Yield the events of a CSV file.

    ``kind`` is that of all rows (None: what each row's ``topic`` names, by ``kinds``).
    """
    columns, purchases = read_columns(file), _Purchases()
    rows = read_cells(file)
    next(rows)
    for number, cells in rows:
        own = kinds.get(columns.find_topic(cells) or "") if kind is None else kind
        line = file.delimiter.join(cells).encode(errors="surrogateescape")
        try:
            line.decode()
            event = columns.read_row(cells, own)
        except UnicodeDecodeError as error:
            unreadable = DecodeError("not_utf8", f"{_TO_UTF8} ({error.reason})")
            yield from purchases.finish()
            yield EventRow(number, line, unreadable)
            continue
        except DecodeError as error:
            yield from purchases.finish()
            yield EventRow(number, line, error)
            continue
        if own == PURCHASE:
            yield from purchases.add(number, event)
        else:
            yield from purchases.finish()
            yield EventRow(number, encode(event))
    yield from purchases.finish()


class _Purchases:
    """Puts rows of one purchase together."""

    def __init__(self) -> None:
        self._number = 0
        self._event: dict[str, Any] | None = None
        self._key: tuple[Any, Any] = None, None
        self._last: OrderedDict[tuple[Any, Any], None] = OrderedDict()

    def add(self, number: int, event: dict[str, Any]) -> Iterator[EventRow]:
        """Add a row; yield the purchase before it, if it is of another one."""
        key = event.get("event_id"), event.get("customer_id")
        if self._event is not None and key == self._key and key[0] is not None:
            items, more = self._event.get("items"), event.get("items")
            if isinstance(items, list) and isinstance(more, list) and len(items) <= MAX_ITEMS:
                items += more
            return
        yield from self.finish()
        if key in self._last:
            detail = f"rows of event_id {key[0]!r:.80} came before, with others between"
            error = DecodeError("invalid_field", f"{detail}: sort the file by event_id")
            yield EventRow(number, encode(event), error)
            return
        self._number, self._event, self._key = number, event, key

    def finish(self) -> Iterator[EventRow]:
        """Yield the purchase whose rows have all been added."""
        if self._event is None:
            return
        yield EventRow(self._number, encode(self._event))
        self._event = None
        if self._key[0] is not None:
            self._last[self._key] = None
        if len(self._last) > _REMEMBERED:
            self._last.popitem(last=False)
