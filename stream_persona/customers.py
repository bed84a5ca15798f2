"""One customer, for the command line: what is stored, an assignment, a deletion."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from stream_persona import records
from stream_persona.events import (
    ASSIGNMENT,
    DELETION,
    Assignment,
    Deletion,
    check_id,
    encode,
    rfc3339,
)
from stream_persona.features import profiles
from stream_persona.publish import KafkaPublisher, Message
from stream_persona.tables import RedisTables

if TYPE_CHECKING:
    from stream_persona.records import Record
    from stream_persona.settings import Settings
    from stream_persona.taxonomy import Taxonomy

#: Seconds that a person at a terminal waits for a broker or a Redis that is away.
_PATIENCE: Final = 10.0
#: Sources of files begin here (``replay``); below are partitions of topics.
_FILES: Final = 1 << 15


@dataclass(frozen=True)
class Stored:
    """What is stored of a customer: the public record as it is, the private one as facts."""

    customer_id: str
    public: dict[str, Any] | None
    private: dict[str, Any] | None


async def find(
    settings: Settings, taxonomy: Taxonomy, customer_id: str, tokens: int
) -> Stored | None:
    """Everything stored of a customer, with the ``tokens`` heaviest tokens; None if unknown.

    Raises:
        DecodeError: nobody can have this id.
        UnavailableError: Redis does not answer.
    """
    check_id(customer_id)
    patience = min(_PATIENCE, settings.retry_seconds)
    tables = RedisTables.connect(settings.redis_url, settings.prefix, patience)
    try:
        public = await tables.public(customer_id)
        blob = (await tables.load([customer_id])).get(customer_id)
        names = await tables.names() if blob else []
    finally:
        await tables.close()
    if public is None and blob is None:
        return None
    private = _facts(blob, names, settings, taxonomy, tokens) if blob else None
    return Stored(customer_id, msgspec.json.decode(public) if public else None, private)


async def assign(
    settings: Settings,
    taxonomy: Taxonomy,
    customer_id: str,
    persona: str | None,
    source: str,
) -> dict[str, Any]:
    """Assign a persona (None withdraws it); the receipt, once the broker has it.

    Raises:
        DecodeError: the id is malformed.
        QueryError: the taxonomy has no such persona.
        UnavailableError: the broker does not answer.
    """
    check_id(customer_id)
    taxonomy_has(taxonomy, persona)
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


async def delete(settings: Settings, customer_id: str) -> dict[str, Any]:
    """Ask for a customer to be forgotten; the receipt, once the broker has it.

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
