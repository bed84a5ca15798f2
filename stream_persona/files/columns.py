"""Events in columns: CSV rows as the JSON of their events.

The header row names the fields. Columns of an item (``product_id``, ``category``, ``brand``,
``price``, ``quantity``, ``items.attributes.<key>``) make a purchase's items or a browse's product;
``attributes.<key>`` are the event's. Rows of one ``event_id`` (without such a column, of one
``order_id``) that stand together are one purchase, with an item of each row. An empty cell is a
field left out, but for an assignment's persona: there it is a withdrawal. ``items``, ``product``
and ``attributes`` may hold JSON. Behind ``;`` and tab a number may have a decimal comma.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from stream_persona.domain.events import (
    ASSIGNMENT,
    BROWSE,
    DELETION,
    ENGAGEMENT,
    PURCHASE,
)
from stream_persona.errors import DecodeError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DELIMITERS: Final = (",", ";", "\t")
#: Most characters of a column's name.
_LONGEST_NAME: Final = 64
#: The first line that names the delimiter to Excel.
_HINT = re.compile(r'"?sep=(.)"?')

_EVENT_FIELDS: Final = frozenset({
    "topic", "event_id", "customer_id", "occurred_at", "order_id", "action", "query", "channel",
    "campaign", "assignment_id", "persona", "source", "expires_at", "request_id", "requested_at",
    "items", "product", "attributes",
})  # fmt: skip
_ITEM_FIELDS: Final = frozenset({"product_id", "category", "brand", "price", "quantity"})
_NUMBERS: Final = frozenset({"price", "quantity"})
_TIMES: Final = frozenset({"occurred_at", "expires_at", "requested_at"})
_NESTED: Final = frozenset({"items", "product", "attributes"})
#: What an event of each kind must have, by kind.
REQUIRED: Final[Mapping[int, tuple[str, ...]]] = {
    PURCHASE: ("customer_id", "occurred_at"),
    BROWSE: ("event_id", "customer_id", "occurred_at", "action"),
    ENGAGEMENT: ("event_id", "customer_id", "occurred_at", "channel", "action"),
    ASSIGNMENT: ("assignment_id", "customer_id", "occurred_at", "persona"),
    DELETION: ("request_id", "customer_id", "requested_at"),
}
_ITEM_PREFIX = re.compile(r"(?:items\[\]|items|item|product)\.", re.IGNORECASE)
_ATTRIBUTES = re.compile(r"attributes\.", re.IGNORECASE)
_INTEGER = re.compile(r"-?\d{1,19}")
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")


def find_delimiter(head: str) -> str | None:
    """Return the delimiter of the columns of a text's beginning; None if it is no CSV."""
    lines = [line for line in head.splitlines() if line.strip()]
    if lines and (hint := _HINT.fullmatch(lines[0].strip())):
        return hint[1] if hint[1] in DELIMITERS else None
    best, most = None, 0
    for delimiter in DELIMITERS:
        cells = _split(lines[0], delimiter)
        known = sum(_find_place(cell) is not None for cell in cells)
        regular = len(cells) > 1 and all(len(cell) < _LONGEST_NAME for cell in cells)
        if regular and len(lines) > 1:
            regular = len(_split(lines[1], delimiter)) == len(cells)
        score = 1_000 * known + (len(cells) if regular else 0)
        if score > most:
            best, most = delimiter, score
    return best


def is_hint(cells: Sequence[str], delimiter: str) -> bool:
    """Whether a row is ``sep=;`` and no header."""
    return _HINT.fullmatch(delimiter.join(cells)) is not None or list(cells) == ["sep=", ""]


def _split(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter))
    except (csv.Error, StopIteration):
        return []


def _find_place(name: str) -> tuple[str, str] | None:
    """Return where a column's cells belong: to an item or to the event, and to which field."""
    name = name.strip()
    inner = _ITEM_PREFIX.match(name)
    if inner is not None:
        rest = name[inner.end() :]
        if own := _ATTRIBUTES.match(rest):
            return "item attribute", rest[own.end() :]
        return ("item", rest.casefold()) if rest.casefold() in _ITEM_FIELDS else None
    if own := _ATTRIBUTES.match(name):
        return "attribute", name[own.end() :]
    folded = name.casefold()
    if folded in _ITEM_FIELDS:
        return "item", folded
    return ("event", folded) if folded in _EVENT_FIELDS else None


class Columns:
    """The columns of a CSV file.

    Raises:
        DecodeError: two of them have one name, or are the same field.
    """

    def __init__(self, header: Sequence[str], delimiter: str) -> None:
        self.names = [name.strip() for name in header]
        self._has_decimal_comma = delimiter != ","
        self._places = [_find_place(name) for name in self.names]
        #: The fields that the columns hold.
        self.fields = frozenset(place[1] for place in self._places if place)
        self._check_different()

    def _check_different(self) -> None:
        """Refuse two columns that set the same field."""
        twice = [name for name, n in Counter(filter(None, self.names)).items() if n > 1]
        if twice:
            raise DecodeError("invalid_field", f"two columns are named {twice[0]!r}")
        known: dict[tuple[str, str], str] = {}
        for name, place in zip(self.names, self._places, strict=True):
            if place is not None and known.setdefault(place, name) != name:
                twice_as = f"{place[1]!r}, as {known[place]!r} and as {name!r}"
                raise DecodeError("invalid_field", f"two columns are named {twice_as}")

    def guess_kind(self) -> int:
        """Return the kind of event that has such columns."""
        if self.fields & {"requested_at", "request_id"}:
            return DELETION
        if self.fields & {"assignment_id", "persona"}:
            return ASSIGNMENT
        if self.fields & {"channel", "campaign"}:
            return ENGAGEMENT
        return BROWSE if self.fields & {"action", "query"} else PURCHASE

    def find_missing(self, kind: int) -> list[str]:
        """Return what an event of a kind must have and no column holds."""
        missing = [field for field in REQUIRED[kind] if field not in self.fields]
        if kind == PURCHASE and not self.fields & {"event_id", "order_id"}:
            missing.insert(0, "event_id")
        if kind == PURCHASE and not self.fields & {"items", "product_id"}:
            missing.append("product_id")
        return missing

    def find_topic(self, cells: Sequence[str]) -> str | None:
        """Return the topic that a row names, if any."""
        for place, cell in zip(self._places, cells, strict=False):
            if place == ("event", "topic"):
                return cell.strip()
        return None

    def read_row(self, cells: Sequence[str], kind: int | None) -> dict[str, Any]:
        """Return a row as the plain values of an event; unknown columns stay, as texts.

        Raises:
            DecodeError: the row has more or fewer cells than the header.
        """
        if len(cells) != len(self.names):
            detail = f"the row has {len(cells)} cells, the header {len(self.names)}"
            raise DecodeError("invalid_field", f"{detail}: is a text with the delimiter unquoted?")
        event: dict[str, Any] = {}
        item: dict[str, Any] = {}
        for name, place, cell in zip(self.names, self._places, cells, strict=True):
            if cell.strip():
                self._put(event, item, (name, place), cell)
            elif place == ("event", "persona"):
                event["persona"] = None
        return _assemble(event, item, kind)

    def _put(
        self,
        event: dict[str, Any],
        item: dict[str, Any],
        column: tuple[str, tuple[str, str] | None],
        cell: str,
    ) -> None:
        name, place = column
        if place is None:
            if name:
                event[name] = cell
            return
        where, field = place
        if where.endswith("attribute"):
            owner = event if where == "attribute" else item
            own = owner.setdefault("attributes", {})
            if isinstance(own, dict):
                own[field] = cell
        else:
            (event if where == "event" else item)[field] = self._convert(field, cell)

    def _convert(self, field: str, cell: str) -> object:
        text = cell.strip()
        if field in _NUMBERS:
            if self._has_decimal_comma and _DECIMAL_COMMA.fullmatch(text):
                text = text.replace(",", ".")
            return _parse_number(text)
        if field in _TIMES:
            return int(text) if _INTEGER.fullmatch(text) else _parse_number(text)
        if field in _NESTED and text[0] in "[{":
            try:
                return json.loads(text)
            except (ValueError, RecursionError):
                return cell
        return cell


def _parse_number(text: str) -> float | str:
    """Parse a finite number; anything else stays the text that it is."""
    number = float(text) if _NUMBER.fullmatch(text) else math.inf
    return number if math.isfinite(number) else text


def _assemble(event: dict[str, Any], item: dict[str, Any], kind: int | None) -> dict[str, Any]:
    """Put an item where an event of a kind has it."""
    if kind == PURCHASE:
        if item and "items" not in event:
            event["items"] = [item]
        if "event_id" not in event and "order_id" in event:
            event["event_id"] = event["order_id"]
        return event
    if kind == BROWSE:
        if item and "product" not in event:
            event["product"] = item
        return event
    return {**item, **event}
