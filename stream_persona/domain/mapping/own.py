"""Which of our own kinds of event an object is, recognised by its fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from stream_persona.domain.events import ASSIGNMENT, BROWSE, DELETION, ENGAGEMENT, PURCHASE
from stream_persona.errors import DecodeError

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The field of the id that an event of a kind carries.
ID_FIELDS: Final = {ASSIGNMENT: "assignment_id", DELETION: "request_id"}
#: Fields that show an object to be one of ours.
_MARKS: Final = ("customer_id", "occurred_at", "requested_at", "assignment_id")


def is_own_event(fields: Mapping[str, Any]) -> bool:
    """Whether an object is an event of ours beyond doubt, whatever else it holds."""
    return "customer_id" in fields and ("occurred_at" in fields or "requested_at" in fields)


def recognize_kind(fields: Mapping[str, Any]) -> int | None:
    """Return the kind of an event of ours; None if the object is nothing of ours.

    Raises:
        DecodeError: it is one of ours, and could be of any kind.
    """
    if "items" in fields:
        return PURCHASE
    if "assignment_id" in fields:
        return ASSIGNMENT
    if "requested_at" in fields:
        return DELETION
    if "action" in fields:
        is_browse = "product" in fields or "query" in fields or "channel" not in fields
        return BROWSE if is_browse else ENGAGEMENT
    if "channel" in fields:
        return ENGAGEMENT
    if any(mark in fields for mark in _MARKS):
        detail = "an event of ours has items, channel, action, persona or requested_at - at `$`"
        raise DecodeError("invalid_field", detail)
    return None
