"""Messages of each kind of event, as senders may write them."""

from typing import Any

from stream_persona.domain import events
from stream_persona.domain.events import (
    REASONS,
    decode_event,
)
from stream_persona.errors import DecodeError
from tests.support.constants import NOW
from tests.support.events import (
    assignment,
    browse,
    deletion,
    engagement,
    purchase,
)

BASE: dict[str, Any] = {"event_id": "e", "customer_id": "c", "occurred_at": NOW}
VIEW = {**BASE, "action": "view"}
EXAMPLES = (purchase("p"), browse("b"), engagement("e"), assignment("a"), deletion("d"))


def read_or_refused(kind: int, blob: bytes) -> events.Event | None:
    """The event, or None where the bytes were refused with a known reason."""
    refusal = None
    try:
        return decode_event(kind, blob)
    except DecodeError as error:
        refusal = error.reason
    assert refusal in REASONS
    return None
