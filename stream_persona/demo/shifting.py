"""Moves the events of a recorded year to the weeks before now.

Evidence fades with time, whether events come or not: shoppers of years ago would have no persona.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from stream_persona.domain.events import Deletion, Event, get_event_time

_WEEK: Final = 7 * 86_400_000


def find_shift(end: int, now: int) -> int:
    """Find the whole weeks (ms) by which what ended at ``end`` ends in the week before ``now``.

    Weekdays and hours stay what they were.

    >>> find_shift(end=0, now=30 * 86_400_000) // 86_400_000
    28
    """
    return (now - end) // _WEEK * _WEEK


def move(event: Event, shift: int) -> Event:
    """Return the event at a time that is ``shift`` milliseconds later."""
    at = get_event_time(event) + shift
    if isinstance(event, Deletion):
        return replace(event, requested_at=at)
    return replace(event, occurred_at=at)
