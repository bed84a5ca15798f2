"""Which deletions came after newer events of their customers had been applied.

A deletion begins a record anew. What it does not reach has to be folded again, and a record does
not distinguish its events: these are read once more, from where they came.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream_persona.domain.events import DELETION
from stream_persona.pipeline.event_times import TimeRules
from stream_persona.pipeline.types import LateDeletion

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from stream_persona.domain.record import Record
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.pipeline.types import Delivery


def find_late_deletions(
    deliveries: Iterable[Delivery], records: Mapping[str, Record], taxonomy: Taxonomy
) -> dict[str, LateDeletion]:
    """Find the customers whose earlier events a batch needs again."""
    times, found = TimeRules.of(taxonomy.policy), dict[str, LateDeletion]()
    for delivery in deliveries:
        if delivery.kind != DELETION:
            continue
        name = delivery.event.customer_id
        record = records.get(name)
        if record is None or record.positions.get(delivery.source, 0) > delivery.offset:
            continue
        reach = times.find_reach(delivery)
        if record.deleted_at < reach and _may_leave_some(record, reach, times):
            known = found.get(name)
            since = reach if known is None else min(reach, known.since)
            found[name] = LateDeletion(since, record.positions)
    return found


def _may_leave_some(record: Record, reach: int, times: TimeRules) -> bool:
    """Whether a record may hold events, or assignments besides its label, that a deletion spares.

    No event happened later than its own time, so those up to the reach are forgotten. An assignment
    of an earlier time than the label's may have arrived later, and be left where the label is not.
    """
    if reach < max(record.counts.clock, record.left_out_at):
        return True
    label = record.label
    return label is not None and times.find_latest_of_label(label) <= reach < label.at
