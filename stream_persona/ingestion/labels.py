"""A row of a label file as an assignment, or as a mistake that says what was expected.

A file is edited by people and made by programs that write a failed look-up as an empty cell. So a
row that a worker would take is still a mistake here if it is hardly what somebody means: an empty
persona that nobody asked to be a withdrawal, an end before the beginning.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

import msgspec

from stream_persona.domain.decode_errors import explain, show_apart
from stream_persona.domain.events import (
    ASSIGNMENT,
    Assignment,
    check_id,
    decode_for_taxonomy,
    encode,
    get_event_time,
)
from stream_persona.domain.identity import NobodyIds
from stream_persona.domain.message_size import check_size
from stream_persona.domain.time import to_milliseconds
from stream_persona.errors import DecodeError
from stream_persona.kafka.arrivals import EventReader

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.files.csv_events import EventRow

FIELDS: Final = (
    "customer_id", "persona", "occurred_at", "expires_at", "source", "assignment_id",
)  # fmt: skip
#: What a row may have besides: it was read to find the row's kind.
_TOPIC: Final = "topic"
_PLACE: Final = re.compile(r"\$\.(\w+)")
#: Most characters of a value that are shown.
_MOST_SHOWN: Final = 100


class Mistake(NamedTuple):
    """What is wrong with a row: a ``reason`` to count by, the field and value, and a sentence."""

    line: int
    reason: str
    field: str
    value: str
    detail: str


@dataclass(slots=True)
class MistakeError(Exception):
    """A row is no assignment."""

    reason: str
    field: str
    value: object
    detail: str

    def make_mistake(self, line: int) -> Mistake:
        """Return the mistake of a line."""
        return Mistake(line, self.reason, self.field, quote_value(self.value), self.detail)


class LabelRow(NamedTuple):
    """The assignment of a row, and where it stands.

    ``at`` is the time that the row gives, in epoch milliseconds; None: when it is sent.
    """

    line: int
    event: Assignment
    at: int | None

    @property
    def moment(self) -> tuple[str, int | None]:
        """The customer and the time: of one there can be one persona."""
        return self.event.customer_id, self.at

    @property
    def content(self) -> tuple[str | None, int | None]:
        """What holds from then on."""
        return self.event.persona, _to_milliseconds(self.event.expires_at)


class LabelReader:
    """Reads rows.

    Args:
        taxonomy: has the personas, in any spelling and by their former names.
        nobody: ids that stand for nobody.
        source: of rows without one.
        now: epoch milliseconds; the time of rows without one.
        withdraw_empty: whether an empty persona withdraws an assignment.
    """

    def __init__(
        self, taxonomy: Taxonomy, nobody: NobodyIds, source: str, now: int, *, withdraw_empty: bool
    ) -> None:
        self._taxonomy = taxonomy
        self._nobody = nobody
        self._source = source
        self._now = now
        self._withdraw_empty = withdraw_empty
        self._times = EventReader(taxonomy, lambda: now, nobody)

    def read(self, row: EventRow) -> tuple[LabelRow | Mistake, list[str]]:
        """Return a row's label, or its mistake, and the names of fields that nobody reads."""
        ignored: list[str] = []
        try:
            fields = _decode(row)
            ignored = [name for name in fields if name not in FIELDS and name != _TOPIC]
            return self._make_label(row.number, fields), ignored
        except MistakeError as mistake:
            return mistake.make_mistake(row.number), ignored

    def _make_label(self, line: int, fields: Mapping[str, Any]) -> LabelRow:
        customer = self._check_customer(fields.get("customer_id"))
        given = {name: fields[name] for name in FIELDS if not _is_empty(fields.get(name))}
        given["persona"] = self._check_persona(fields)
        given.setdefault("source", self._source)
        given.setdefault("occurred_at", self._now)
        given.setdefault("assignment_id", "-")
        try:
            event = decode_for_taxonomy(ASSIGNMENT, encode(given), self._taxonomy, self._nobody)
            self._times.bound_time(ASSIGNMENT, get_event_time(event))
        except DecodeError as error:
            place = _PLACE.search(error.detail)
            field = place[1] if place else _find_field(error.reason)
            raise MistakeError(error.reason, field, fields.get(field), error.detail) from None
        label = cast("Assignment", event)
        _check_end(label, fields)
        at = None if _is_empty(fields.get("occurred_at")) else get_event_time(label)
        if _is_empty(fields.get("assignment_id")):
            own = make_id(customer, label, at)
            label = msgspec.structs.replace(label, assignment_id=own)
        return LabelRow(line, label, at)

    def _check_customer(self, customer: object) -> str:
        """Return a customer id that can be one."""
        if _is_empty(customer):
            raise MistakeError("invalid_id", "customer_id", customer, "there is no customer_id")
        if not isinstance(customer, str):
            detail = "expected a text (in JSON, in quotes), as the events have it"
            raise MistakeError("invalid_id", "customer_id", customer, detail)
        if customer in self._nobody:
            detail = "the id stands for nobody (STREAM_PERSONA_NOBODY_IDS)"
            raise MistakeError("nobody", "customer_id", customer, detail)
        try:
            check_id(customer)
        except DecodeError as error:
            raise MistakeError(error.reason, "customer_id", customer, error.detail) from None
        return customer

    def _check_persona(self, fields: Mapping[str, Any]) -> str | None:
        """Return the taxonomy's spelling of a persona, or None for a withdrawal."""
        persona, known = fields.get("persona"), ", ".join(self._taxonomy.names)
        if "persona" not in fields:
            detail = f"there is no persona; expected one of {known}"
            raise MistakeError("empty_persona", "persona", None, detail)
        if _is_empty(persona):
            if self._withdraw_empty:
                return None
            detail = f"expected one of {known}; --withdraw-empty if it is to take one back"
            raise MistakeError("empty_persona", "persona", persona, detail)
        if not isinstance(persona, str):
            detail = f"expected one of {known}"
            raise MistakeError("unknown_persona", "persona", persona, detail)
        own = self._taxonomy.resolve(persona)
        if own is None:
            _, names = show_apart(persona, self._taxonomy.names)
            raise MistakeError("unknown_persona", "persona", persona, f"expected one of {names}")
        return own


def make_id(customer: str, event: Assignment, at: int | None) -> str:
    """Make the id of a row's assignment: of one content there is one, in any file, at any time."""
    content = customer, event.persona, at, _to_milliseconds(event.expires_at), event.source
    return hashlib.blake2b(encode(content), digest_size=16, person=b"label").hexdigest()


def quote_value(value: object) -> str:
    """Show a value in one line: a text in quotes, and in escapes if one may not see what it is."""
    if isinstance(value, str):
        return show_apart(value, ())[0]
    shown = "nothing" if value is None else repr(value)
    return shown if len(shown) <= _MOST_SHOWN else f"{shown[: _MOST_SHOWN - 3]}..."


def _decode(row: EventRow) -> dict[str, Any]:
    line = row.value.decode(errors="backslashreplace").strip()
    try:
        if row.error is not None:
            raise row.error
        check_size(row.value)
        fields = msgspec.json.decode(row.value)
    except DecodeError as error:
        raise MistakeError(error.reason, "", line, error.detail) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        found = explain(error, {})
        raise MistakeError(found.reason, "", line, found.detail) from None
    if not isinstance(fields, dict):
        raise MistakeError("not_json", "", line, 'expected an object, {"customer_id": ...}')
    return fields


def _check_end(event: Assignment, fields: Mapping[str, Any]) -> None:
    """Refuse an end that nobody means."""
    expires_at, given = _to_milliseconds(event.expires_at), fields.get("expires_at")
    if expires_at is None:
        return
    if event.persona is None:
        detail = "a withdrawal has no end: leave it out"
        raise MistakeError("invalid_field", "expires_at", given, detail)
    if expires_at <= get_event_time(event):
        began = fields.get("occurred_at")
        begins = "now" if _is_empty(began) else f"at {began}"
        detail = f"expected a time after the beginning, which is {begins}"
        raise MistakeError("invalid_field", "expires_at", given, detail)


def _find_field(reason: str) -> str:
    """Return the field that a reason is about where the sentence does not name one."""
    return {"future_time": "occurred_at", "unknown_persona": "persona"}.get(reason, "")


def _is_empty(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _to_milliseconds(time: Any) -> int | None:  # noqa: ANN401 - as events have it
    return None if time is None else to_milliseconds(time)
