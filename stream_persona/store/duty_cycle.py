"""Keeps repeated work below a share of the time."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def find_rest(seconds: float, share: float) -> float:
    """Find the seconds to rest after work, so that it takes a share of the time at most."""
    return seconds * (1 / share - 1)


class DutyCycle:
    """Decides when work is due again, so that it takes at most a share of the time.

    After work of ``t`` seconds the next is due ``t * (1 / share - 1)`` seconds later, and not
    sooner than ``least_seconds`` after the end. ``clock`` gives seconds that never go back.

    >>> now = 100.0
    >>> cycle = DutyCycle(1 / 10, clock=lambda: now)
    >>> cycle.is_due()
    True
    >>> cycle.record(2.0)
    >>> now = 117.9
    >>> cycle.is_due()
    False
    >>> now = 118.0
    >>> cycle.is_due()
    True
    """

    def __init__(
        self, share: float, clock: Callable[[], float], least_seconds: float = 0.0
    ) -> None:
        if not 0 < share <= 1:
            raise ValueError(f"share: expected more than 0 and at most 1, got {share!r}")
        self._share = share
        self._clock = clock
        self._least_seconds = least_seconds
        self._due_at = clock()

    def is_due(self) -> bool:
        """Whether enough time has passed since the last work."""
        return self._clock() >= self._due_at

    def compute_seconds_left(self) -> float:
        """Return the seconds until work is due again; 0 when it is."""
        return max(0.0, self._due_at - self._clock())

    def record(self, seconds: float) -> None:
        """Record that work of so many seconds has ended just now."""
        self._due_at = self._clock() + max(self._least_seconds, find_rest(seconds, self._share))
