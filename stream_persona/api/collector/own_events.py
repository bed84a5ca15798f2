"""Events of our own shapes: which kind one is, and what it may leave to us."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, Final, get_args

from stream_persona.api.collector.bodies import decode_object
from stream_persona.domain.decode_errors import show_apart
from stream_persona.domain.events import (
    BROWSE,
    ENGAGEMENT,
    PURCHASE,
    Action,
    decode_event,
    encode,
)
from stream_persona.errors import DecodeError

if TYPE_CHECKING:
    import msgspec

    from stream_persona.domain.events import Event
    from stream_persona.domain.identity import NobodyIds

#: What ``type`` may say.
TYPES: Final = {"purchase": PURCHASE, "browse": BROWSE, "engagement": ENGAGEMENT}
_LOOKS: Final = frozenset(get_args(Action))
#: Fields that show what an event of no such kind is, and where that is to be sent.
_COMMANDS: Final = {
    "assignment_id": "PUT /v1/customers/{id}/assignment",
    "persona": "PUT /v1/customers/{id}/assignment",
    "request_id": "DELETE /v1/customers/{id}",
    "requested_at": "DELETE /v1/customers/{id}",
}
_BY_TYPE: Final = {
    "assignment": _COMMANDS["assignment_id"], "deletion": _COMMANDS["request_id"]
}  # fmt: skip
_HINT: Final = 'say which it is: `"type"` may be `purchase`, `browse` or `engagement`'


def read_own_event(raw: msgspec.Raw, at: int, nobody: NobodyIds) -> tuple[int, Event]:
    """Read an event of ours; return its kind and the event.

    ``at``, in epoch milliseconds, is when it happened if it does not say so. Without an id it gets
    one, so that a second time it is another event.

    Raises:
        DecodeError: it is none, or may be of more than one kind, or is no event of behaviour.
    """
    document = decode_object(raw)
    kind = find_named_kind(document)
    document.pop("type", None)
    document.setdefault("event_id", str(uuid.uuid4()))
    document.setdefault("occurred_at", at)
    try:
        value = encode(document)
    except UnicodeEncodeError as error:
        raise DecodeError("not_utf8", str(error)) from None
    return kind, decode_event(kind, value, nobody)


def find_named_kind(document: dict[str, Any]) -> int:
    """Find the kind of behaviour that an event's ``type``, or else its shape, names.

    >>> documents = {"items": []}, {"action": "view"}, {"channel": "email"}
    >>> [find_named_kind(each) for each in documents]
    [0, 1, 2]

    Raises:
        DecodeError: it names none, or several.
    """
    if "type" in document:
        return _find_named(document["type"])
    kinds = _find_shapes(document)
    if len(kinds) == 1:
        return kinds[0]
    if kinds:
        fields = ", ".join(
            f"`{name}`" for name in ("items", "action", "channel") if name in document
        )
        raise DecodeError("invalid_field", f"an event with {fields} may be of two kinds; {_HINT}")
    for field, route in _COMMANDS.items():
        if field in document:
            raise DecodeError("invalid_field", f"an event with `{field}` is for {route}")
    detail = "an event has `items` (a purchase), `action` (a browse) or `channel` (an engagement)"
    raise DecodeError("invalid_field", f"{detail}; {_HINT}")


def _find_named(name: object) -> int:
    if isinstance(name, str) and name in TYPES:
        return TYPES[name]
    if isinstance(name, str) and name in _BY_TYPE:
        raise DecodeError("invalid_field", f"an event of type {name} is for {_BY_TYPE[name]}")
    shown = show_apart(name, TYPES)[0] if isinstance(name, str) else type(name).__name__
    detail = f"expected one of {', '.join(TYPES)}, got {shown} - at `$.type`"
    raise DecodeError("invalid_field", detail)


def _find_shapes(document: dict[str, Any]) -> list[int]:
    """Find each kind that an event may be of: a reaction has an action too, but not one of ours."""
    kinds = [PURCHASE] if "items" in document else []
    if "channel" in document:
        kinds.append(ENGAGEMENT)
    action = document.get("action")
    is_look = isinstance(action, str) and action in _LOOKS
    if "action" in document and ("channel" not in document or is_look):
        kinds.append(BROWSE)
    return kinds
