"""Assignments and deletions from the command line, and the receipts for them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from stream_persona.cli.agreement import OF_TAXONOMIES, check_before_sending
from stream_persona.cli.auditing import audit_block
from stream_persona.domain.decode_errors import show_apart
from stream_persona.domain.events import format_rfc3339
from stream_persona.domain.identity import NobodyIds
from stream_persona.errors import QueryError
from stream_persona.kafka.commands import check_somebody, make_assignment, make_deletion, send_once

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.settings import Settings


async def send_assignment(
    settings: Settings,
    taxonomy: Taxonomy,
    customer_id: str,
    persona: str | None,
    source: str,
    clock: Callable[[], int] = time.time_ns,
) -> dict[str, Any]:
    """Send an assignment (None withdraws it); return the receipt once the broker has it.

    ``clock`` gives epoch nanoseconds.

    Raises:
        DecodeError: the id or the source is malformed.
        QueryError: the taxonomy has no such persona, or the id stands for nobody.
        TopologyError: the workers are set otherwise.
        UnavailableError: the broker does not answer.
    """
    nobody = NobodyIds(settings.nobody)
    now = clock() // 1_000_000
    facts = {"customer_id": customer_id}
    with audit_block(settings, "assignment", facts):
        check_somebody(customer_id, nobody)
        if persona is not None and taxonomy.resolve(persona) is None:
            shown, known = show_apart(persona, taxonomy.names)
            raise QueryError(f"persona {shown} is not of the taxonomy; expected one of {known}")
        event = make_assignment(taxonomy, customer_id, persona, source, at=now, nobody=nobody)
        await check_before_sending(settings, taxonomy)
        facts["event_id"] = event.assignment_id
        await send_once(settings, event)
    return {
        "assignment_id": event.assignment_id,
        "customer_id": customer_id,
        "persona": event.persona,
        "source": source,
        "occurred_at": format_rfc3339(now),
        "topic": settings.topic_assignments,
    }


async def send_deletion(
    settings: Settings,
    taxonomy: Taxonomy,
    customer_id: str,
    clock: Callable[[], int] = time.time_ns,
) -> dict[str, Any]:
    """Send a deletion; return the receipt once the broker has it.

    Raises:
        QueryError: the id stands for nobody.
        DecodeError: the id is malformed.
        TopologyError: the workers are set otherwise.
        UnavailableError: the broker does not answer.
    """
    now = clock() // 1_000_000
    facts = {"customer_id": customer_id}
    with audit_block(settings, "deletion", facts):
        event = make_deletion(customer_id, at=now, nobody=NobodyIds(settings.nobody))
        await check_before_sending(settings, taxonomy, OF_TAXONOMIES)
        facts["event_id"] = event.request_id
        await send_once(settings, event)
    return {
        "request_id": event.request_id,
        "customer_id": customer_id,
        "requested_at": format_rfc3339(now),
        "topic": settings.topic_deletions,
    }
