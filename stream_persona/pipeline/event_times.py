"""Rules for the times of events: which one counts, and which events a deletion reaches.

An event has a time of its own, which its producer's clock claims, and an arrival, which the
broker's clock has set. Nothing is known of the arrival of files' events, nor of a topic's whose
broker keeps its producers' times; it is None then.

=====================  =============================  ==========================================
                       with an arrival                without one
=====================  =============================  ==========================================
a time far ahead       counts as of the arrival       is left out where it is read, by the
(``max_future``)                                      reader's clock (``kafka.arrivals``)
had happened by        the earlier one of the two     its time, less ``tolerance``
a deletion reaches to  the later one of the two       its time
=====================  =============================  ==========================================

A deletion forgets what had happened by the moment to which it reaches. So with arrivals a fast
clock saves nobody's data, and a customer who comes back counts from the next event on. Without, a
clock that is ahead by more than the tolerance may save some, and what a customer who comes back
does within the tolerance is forgotten, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from stream_persona.domain.record import Label
    from stream_persona.domain.taxonomy import Policy
    from stream_persona.pipeline.types import Delivery


@dataclass(slots=True, frozen=True)
class TimeRules:
    """How far clocks are believed, in milliseconds: as above."""

    max_future: int
    tolerance: int

    @classmethod
    def of(cls, policy: Policy) -> Self:
        """Take the rules of a policy."""
        return cls(
            to_whole_milliseconds(policy.max_future_seconds),
            to_whole_milliseconds(policy.clock_tolerance_seconds),
        )

    def clamp(self, delivery: Delivery) -> int:
        """Return the time that counts: the arrival where the event claims to be far later.

        One bad clock must not age everything else that is known of a customer. A time that is so
        wrong is worth nothing: only shortened, its assignment would outlast later ones.
        """
        at, arrived = delivery.at, delivery.arrived_at
        return at if arrived is None or at <= arrived + self.max_future else arrived

    def find_latest(self, at: int, arrived_at: int | None) -> int:
        """Return the moment by which an event had happened."""
        return at - self.tolerance if arrived_at is None else min(at, arrived_at)

    def find_latest_of_label(self, label: Label) -> int:
        """Return the moment by which an assignment had happened."""
        return self.find_latest(label.at, None if label.arrived_at < 0 else label.arrived_at)

    def find_reach(self, deletion: Delivery) -> int:
        """Return the moment up to which a deletion forgets; 0 would stand for no deletion."""
        return max(self.clamp(deletion), deletion.arrived_at or 0, 1)


def to_whole_milliseconds(seconds: float) -> int:
    """Convert seconds of a policy to the unit of event times."""
    return round(seconds * 1_000)
