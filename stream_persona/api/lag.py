"""How far the workers are behind, from the offsets that they have committed. Pure.

How long the oldest waiting event has waited is told from when we saw the log end where the group
has committed: between two looks, events are taken to have come evenly.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

#: Seconds in which nothing that waits was worked off, after which the stream stands still.
STALLED: Final = 10.0
#: Ends that are remembered of a partition; when there are more, every second old one is forgotten.
_MOST_ENDS: Final = 256


class _Ends:
    """Which ends a partition's log had, and when that was seen first and last."""

    def __init__(self) -> None:
        self._ends: list[int] = []
        self._first: list[float] = []
        self._last: list[float] = []

    def note(self, end: int, now: float) -> None:
        """The log ends there now."""
        if self._ends and end < self._ends[-1]:  # another log of the same name
            self._ends, self._first, self._last = [], [], []
        if self._ends and end == self._ends[-1]:
            self._last[-1] = now
            return
        if len(self._ends) > _MOST_ENDS:
            for each in (self._ends, self._first, self._last):
                del each[1:-1:2]
        self._ends.append(end)
        self._first.append(now)
        self._last.append(now)

    def came(self, offset: int) -> float:
        """When the event of this offset came; the first look, if it was there by then."""
        after = bisect_right(self._ends, offset)
        if not after:
            return self._first[0]
        low, high = self._ends[after - 1], self._ends[after]
        since, until = self._last[after - 1], self._first[after]
        return since + (until - since) * (offset + 1 - low) / (high - low)


class Lag:
    """What waits, over all partitions; times are seconds that never go back."""

    def __init__(self) -> None:
        self._ends: dict[Hashable, _Ends] = {}
        self._next: dict[Hashable, int] = {}
        self._moved = 0.0
        self.events = 0
        #: How long the oldest waiting event has waited, at least: it may have come before us.
        self.seconds = 0.0

    def take(
        self, following: Mapping[Hashable, int], ends: Mapping[Hashable, int], now: float
    ) -> None:
        """Take in, of every partition, which offset is worked on next and where its log ends."""
        waiting = {tp: end - following[tp] for tp, end in ends.items() if end > following[tp]}
        if not self.events or any(following[tp] != self._next.get(tp) for tp in following):
            self._moved = now
        for tp, end in ends.items():
            self._ends.setdefault(tp, _Ends()).note(end, now)
        self._next, self.events = dict(following), sum(waiting.values())
        since = min((self._ends[tp].came(following[tp]) for tp in waiting), default=now)
        self.seconds = now - since

    def idle(self, now: float) -> float:
        """Seconds in which nothing that waits was worked off; 0 while nothing waits."""
        return now - self._moved if self.events else 0.0
