"""Finds repetitions: retries, ids that different events share, orders that were edited."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from stream_persona.domain.events import PURCHASE
from stream_persona.inspection.lookalikes import IDS
from stream_persona.inspection.sample import compute_percentiles

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_persona.inspection.sample import Reading

#: As many different events of one customer under one id are no retries any more.
_MANY: Final = 3
_SHOWN: Final = 5


def describe_repeats(readings: Sequence[Reading]) -> dict[str, Any]:
    """Describe the events that come more than once."""
    groups: dict[tuple[int, str, str], list[Reading]] = defaultdict(list)
    for reading in readings:
        own = find_event_id(reading)
        if own is not None and reading.customer_id is not None:
            groups[reading.kind, reading.customer_id, own].append(reading)
    repeated = [group for group in groups.values() if len(group) > 1]
    shared = [group for group in repeated if _count_contents(group) >= _MANY]
    retried = [group for group in repeated if _count_contents(group) < _MANY]
    return {
        "retries": {
            "messages": sum(len(group) - 1 for group in retried),
            "after_ms": compute_percentiles(_find_delays(retried)),
            "examples": _show_ids(retried),
        },
        "ids_of_many_events": {
            "ids": len(shared),
            "messages": sum(map(len, shared)),
            "examples": _show_ids(shared),
        },
        "edited_orders": _describe_orders(readings),
    }


def find_event_id(reading: Reading) -> str | None:
    """Return the id that a producer gave an event."""
    fields = reading.fields
    return next((fields[name] for name in IDS if isinstance(fields.get(name), str)), None)


def _count_contents(group: Sequence[Reading]) -> int:
    return len({reading.message.value for reading in group})


def _find_delays(groups: Sequence[Sequence[Reading]]) -> list[int]:
    """Find how long after the first one each repetition was sent."""
    return [
        again.message.sent_at - group[0].message.sent_at
        for group in groups
        for again in group[1:]
        if again.message.sent_at is not None and group[0].message.sent_at is not None
    ]


def _describe_orders(readings: Sequence[Reading]) -> dict[str, Any]:
    orders: dict[tuple[str, str], set[str]] = defaultdict(set)
    for reading in readings:
        order, own = reading.fields.get("order_id"), find_event_id(reading)
        is_named = isinstance(order, str) and own is not None and reading.customer_id is not None
        if reading.kind == PURCHASE and is_named:
            orders[str(reading.customer_id), str(order)].add(str(own))
    edited = {order: ids for (_, order), ids in orders.items() if len(ids) > 1}
    return {
        "orders": len(edited),
        "messages": sum(len(ids) for ids in edited.values()),
        "examples": list(edited)[:_SHOWN],
    }


def _show_ids(groups: Sequence[Sequence[Reading]]) -> list[str]:
    heaviest = sorted(groups, key=len, reverse=True)[:_SHOWN]
    return [find_event_id(group[0]) or "" for group in heaviest]
