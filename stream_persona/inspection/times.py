"""Times: their units, how far clocks are off, how late events come."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from stream_persona.inspection.fields import walk
from stream_persona.inspection.lookalikes import TIMES
from stream_persona.inspection.sample import compute_percentiles

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stream_persona.inspection.mapping import Names
    from stream_persona.inspection.sample import Reading

#: Numbers below are of this unit; what one is in milliseconds.
_UNITS: Final = (
    (1e11, "epoch seconds", 1_000.0), (1e14, "epoch milliseconds", 1.0),
    (1e17, "epoch microseconds", 1e-3), (float("inf"), "epoch nanoseconds", 1e-6),
)  # fmt: skip
RFC3339: Final = "RFC 3339"
LOCAL: Final = "local time without a zone"
DATE: Final = "date without a time"
TEXT_NUMBER: Final = "epoch number in a text"
OTHER: Final = "no time"
_NUMBER: Final = re.compile(r"\d{9,19}(?:\.\d+)?")
#: 2000-01-01; clocks that are ahead by less are in order.
_Y2K: Final = 946_684_800_000
_TOLERANCE_MS: Final = 60_000
_HOUR_MS: Final = 3_600_000


def read_time(value: object) -> tuple[str, int | None]:
    """Return how a time is written, and its epoch milliseconds, if that can be known.

    A time without a zone is taken for UTC, to know about when it is.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return OTHER, None
    if isinstance(value, int | float):
        return _read_number(value)
    text = value.strip()
    if _NUMBER.fullmatch(text):
        return TEXT_NUMBER, _read_number(float(text))[1]
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return OTHER, None
    if time.tzinfo is not None:
        return RFC3339, round(time.timestamp() * 1_000)
    unit = DATE if len(text) <= len("2025-01-01") else LOCAL
    return unit, round(time.replace(tzinfo=UTC).timestamp() * 1_000)


def _read_number(value: float) -> tuple[str, int | None]:
    if not 0 <= value < float("inf"):
        return OTHER, None
    return next((unit, int(value * scale)) for end, unit, scale in _UNITS if value < end)


def describe_times(
    readings: Sequence[Reading], mapped: Sequence[Reading], names: Names, now: int
) -> dict[str, Any]:
    """Return, by field, how its times are written, and how far those of events are off.

    ``mapped`` are the same messages with the fields of ``names`` under ours.
    """
    units: dict[str, Counter[str]] = defaultdict(Counter)
    examples: dict[str, dict[str, str]] = defaultdict(dict)
    for reading in readings:
        for path, value in walk(reading.fields):
            if path in TIMES or names.get(reading.kind, {}).get(path) in TIMES:
                unit, _ = read_time(value)
                units[path][unit] += 1
                examples[path].setdefault(unit, f"{value} ({reading.message.position})"[:80])
    events = [(each, at) for each in mapped if (at := estimate_event_time(each)) is not None]
    return {
        "fields": {
            path: {"units": dict(counts.most_common()), "examples": examples[path]}
            for path, counts in units.items()
        },
        "before_2000": _count(events, lambda at: at < _Y2K),
        "in_the_future": _count(events, lambda at: at > now + _TOLERANCE_MS),
        "first": min((at for _, at in events), default=None),
        "last": max((at for _, at in events), default=None),
        "behind_arrival_ms": _describe_skew(events),
        "late_ms": compute_percentiles(late := _find_lateness(events)),
        "late_by_hours": sum(ms > _HOUR_MS for ms in late),
    }


def estimate_event_time(reading: Reading) -> int | None:
    """Return about when an event happened, whatever the unit is, in epoch milliseconds."""
    fields = reading.fields
    value = fields.get("requested_at" if "requested_at" in fields else "occurred_at")
    return None if value is None else read_time(value)[1]


def _count(events: Sequence[tuple[Reading, int]], is_odd: Callable[[int], bool]) -> dict[str, Any]:
    odd = [each for each, at in events if is_odd(at)]
    return {"messages": len(odd), "example": odd[0].message.position if odd else None}


def _describe_skew(events: Sequence[tuple[Reading, int]]) -> dict[str, Any]:
    """Return how long after its event each message came in, by the broker's clock."""
    skews = [
        each.message.arrived_at - at for each, at in events if each.message.arrived_at is not None
    ]
    ahead = sum(skew < -_TOLERANCE_MS for skew in skews)
    return {"messages": len(skews), "ahead": ahead, **compute_percentiles(skews)}


def _find_lateness(events: Sequence[tuple[Reading, int]]) -> list[int]:
    """Find how much older events are than the newest one before them in their partition."""
    newest: dict[int, int] = {}
    late = []
    for each, at in events:
        partition = each.message.partition
        late.append(max(0, newest.get(partition, at) - at))
        newest[partition] = max(newest.get(partition, at), at)
    return late
