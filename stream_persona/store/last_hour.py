"""What workers read in the last hour, as it stands in their reports, and those of several added up.

The figures are those of the workers that run now: what one had counted goes when it ends.
"""

from __future__ import annotations

import heapq
from collections import Counter
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Most ids that are reported as the heaviest.
HEAVIEST: Final = 10


class LastHour(Struct):
    """One hour up to a report.

    ``read`` are events that were read for the first time, the unreadable ones and those of nobody
    included. ``anomalies`` counts by ``domain.anomaly``, ``letters`` dead letters by their reason.
    ``heaviest`` are the customers with far more events than most, and how many these were: personal
    data, which goes with the next report once a customer is deleted. ``rollbacks`` are the times
    (epoch ms) at which Redis had come back older, and how many events were read again.
    """

    read: int = 0
    anomalies: dict[str, int] = {}
    letters: dict[str, int] = {}
    heaviest: list[tuple[str, int]] = []
    rollbacks: list[tuple[int, int]] = []


def merge_hours(hours: Iterable[LastHour]) -> LastHour:
    """Add up the hours of several workers; order makes no difference."""
    anomalies, letters, heaviest = Counter[str](), Counter[str](), Counter[str]()
    read, rollbacks = 0, list[tuple[int, int]]()
    for hour in hours:
        read += hour.read
        anomalies.update(hour.anomalies)
        letters.update(hour.letters)
        heaviest.update(dict(hour.heaviest))  # a customer may have moved from one to another
        rollbacks += hour.rollbacks
    return LastHour(
        read, dict(anomalies), dict(letters), list_heaviest(heaviest), sorted(rollbacks)
    )


def list_heaviest(events: Counter[str]) -> list[tuple[str, int]]:
    """List the customers with the most events, at most ``HEAVIEST``; of equals the first by id.

    >>> list_heaviest(Counter({"b": 3, "a": 3, "c": 9}))
    [('c', 9), ('a', 3), ('b', 3)]
    """
    return heapq.nsmallest(HEAVIEST, events.items(), key=lambda each: (-each[1], each[0]))
