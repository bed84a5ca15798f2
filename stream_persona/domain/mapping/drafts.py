"""What a preset finds in a document, and how a draft of an event becomes one that is checked."""

from __future__ import annotations

import math
import re
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import msgspec

from stream_persona.domain.anomaly import Anomaly
from stream_persona.domain.decode_errors import explain
from stream_persona.domain.events import (
    BROWSE,
    KINDS,
    KNOWN_VALUES,
    PURCHASE,
    Event,
    check_id,
    check_meaning,
    encode,
)
from stream_persona.domain.time import FORMS, as_field, to_milliseconds
from stream_persona.errors import DecodeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Literal

    from stream_persona.domain.identity import NobodyIds

#: The place of a fault, as msgspec's sentences and ours write it.
_PLACE: Final = re.compile(r"`\$\.(\w+)((?:\[[^`]*?\]|\.[^`.]*)*)`")
_MISSING: Final = re.compile(r"missing required field `(\w+)`$")
_Time: Final = Annotated[datetime, msgspec.Meta(tz=True)] | int | float
_LAST: Final = re.compile(r"\.(\w+)$")


class EventDraft(NamedTuple):
    """An event of ours as plain values, before it is checked.

    ``place`` is where the foreign event begins, and ``names`` are the foreign paths of our fields:
    from there, or from the document's beginning if they begin with ``$``. Those of items' fields
    begin with a dot; ``[]`` stands for the ``number`` of one.
    """

    kind: int
    fields: dict[str, Any]
    place: str = "$"
    names: Mapping[str, str] = {}
    number: int | None = None


class LinkDraft(NamedTuple):
    """Two ids of one customer as plain values, before they are checked."""

    kind: Literal["identify", "alias"]
    from_id: object
    into_id: object
    occurred_at: object
    message_id: object
    place: str = "$"


class IdentityLink(NamedTuple):
    """A tool's word that two ids are one customer; ``occurred_at`` is epoch milliseconds."""

    kind: Literal["identify", "alias"]
    from_id: str
    into_id: str
    occurred_at: int
    message_id: str


#: A preset yields what it finds: a reason stands for something that is left out, and an error for
#: one that is wrong among others.
Found = EventDraft | LinkDraft | Anomaly | DecodeError
if TYPE_CHECKING:
    Findings = Iterator[Found]


def finish(draft: EventDraft, nobody: NobodyIds) -> Event:
    """Return the event of a draft, checked as one of ours is.

    Raises:
        DecodeError: a field is wrong; the sentence names it as the foreign document does.
    """
    kind = draft.kind
    try:
        event: Event = msgspec.convert(draft.fields, KINDS[kind])
        check_meaning(kind, event, nobody)
        _check_values(event, kind)
        encode(event)  # refuses lone surrogates, which no decoder of ours lets pass
    except (msgspec.ValidationError, RecursionError, UnicodeError) as error:
        raise _translate(explain(error, KNOWN_VALUES[kind]), draft) from None
    except DecodeError as error:
        raise _translate(error, draft) from None
    return event


def finish_link(draft: LinkDraft, nobody: NobodyIds) -> IdentityLink | None:
    """Return a link that is checked; None if one of its ids stands for nobody.

    Raises:
        DecodeError: an id or the time is wrong.
    """
    from_id, into_id, message_id = draft.from_id, draft.into_id, draft.message_id
    if not (isinstance(from_id, str) and isinstance(into_id, str) and isinstance(message_id, str)):
        detail = f"Expected two ids, and one of the message, as texts - at `{draft.place}`"
        raise DecodeError("invalid_field", detail)
    if from_id in nobody or into_id in nobody:
        return None
    check_id(from_id)
    check_id(into_id)
    try:
        at = to_milliseconds(as_field(msgspec.convert(draft.occurred_at, _Time)))
    except (msgspec.ValidationError, ValueError):
        raise DecodeError("invalid_field", f"no time of `{draft.place}`: {FORMS}") from None
    return IdentityLink(draft.kind, from_id, into_id, at, message_id)


def _check_values(event: Any, kind: int) -> None:
    """Refuse numbers that no JSON has; other formats have them."""
    if kind == PURCHASE:
        items, place = event.items, "items[{}]"
    elif kind == BROWSE and event.product is not None:
        items, place = (event.product,), "product"
    else:
        return
    for index, item in enumerate(items):
        if not math.isfinite(item.quantity) or not math.isfinite(item.price or 0.0):
            where = f"$.{place.format(index)}"
            detail = f"Expected finite price and quantity - at `{where}`"
            raise DecodeError("invalid_field", detail)


def _translate(error: DecodeError, draft: EventDraft) -> DecodeError:
    """Return an error whose sentence names the place in the foreign document."""
    detail = error.detail
    if error.reason == "invalid_id":
        detail = f"{detail} - at `$.customer_id`"
    elif (missing := _MISSING.search(detail)) is not None:
        detail = f"{detail} - at `$.{missing[1]}`"
    return DecodeError(
        error.reason, _PLACE.sub(lambda found: _translate_place(found, draft), detail)
    )


def _translate_place(found: re.Match[str], draft: EventDraft) -> str:
    names = draft.names
    rest = _LAST.sub(lambda last: "." + names.get(f".{last[1]}", last[1]), found[2])
    path = names.get(found[1], found[1])
    if draft.number is not None:
        path = path.replace("[]", f"[{draft.number}]")
    return f"`{path}{rest}`" if path.startswith("$") else f"`{draft.place}.{path}{rest}`"
