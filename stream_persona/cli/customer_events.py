"""Assignments and deletions from the command line, as events for the workers."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any, Final

from stream_persona.domain.events import (
    ASSIGNMENT,
    DELETION,
    Assignment,
    Deletion,
    check_id,
    decode,
    encode,
    rfc3339,
)
from stream_persona.errors import DecodeError, QueryError
from stream_persona.kafka.publisher import KafkaPublisher, Message

if TYPE_CHECKING:
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.settings import Settings

#: Seconds to wait for a broker that does not answer: a person waits at a terminal.
_PATIENCE: Final = 10.0


async def send_assignment(
    settings: Settings,
    taxonomy: Taxonomy,
    customer_id: str,
    persona: str | None,
    source: str,
) -> dict[str, Any]:
    """Send an assignment (None withdraws it); return the receipt once the broker has it.

    Raises:
        DecodeError: the id is malformed.
        QueryError: the taxonomy has no such persona.
        UnavailableError: the broker does not answer.
    """
    check_id(customer_id)
    _check_persona(taxonomy, persona)
    now = _now()
    event = Assignment(uuid.uuid4().hex, customer_id, now, persona, source)
    await _send(settings, ASSIGNMENT, event)
    return {
        "assignment_id": event.assignment_id,
        "customer_id": customer_id,
        "persona": persona,
        "source": source,
        "occurred_at": rfc3339(now),
        "topic": settings.topic_assignments,
    }


async def send_deletion(settings: Settings, customer_id: str) -> dict[str, Any]:
    """Send a deletion; return the receipt once the broker has it.

    Raises:
        DecodeError: the id is malformed.
        UnavailableError: the broker does not answer.
    """
    check_id(customer_id)
    now = _now()
    event = Deletion(uuid.uuid4().hex, customer_id, now)
    await _send(settings, DELETION, event)
    return {
        "request_id": event.request_id,
        "customer_id": customer_id,
        "requested_at": rfc3339(now),
        "topic": settings.topic_deletions,
    }


def _check_persona(taxonomy: Taxonomy, persona: str | None) -> None:
    if persona is not None and persona not in taxonomy.names:
        known = ", ".join(taxonomy.names)
        raise QueryError(f"persona {persona!r} is not of the taxonomy; expected one of {known}")


async def _send(settings: Settings, kind: int, event: Assignment | Deletion) -> None:
    try:
        value = encode(event)
        decode(kind, value)  # as a worker will
    except UnicodeEncodeError as error:
        raise DecodeError("not_utf8", str(error)) from None
    patience = min(_PATIENCE, settings.retry_seconds)
    publisher = KafkaPublisher(settings.model_copy(update={"retry_seconds": patience}))
    await publisher.start()
    try:
        key = event.customer_id.encode()
        await publisher.publish([Message(settings.input_topics[kind], key, value)])
    finally:
        await publisher.stop()


def _now() -> int:
    return time.time_ns() // 1_000_000
