"""What became of every event that a replay has read."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stream_persona.domain.anomaly import Anomaly
from stream_persona.domain.events import KINDS
from stream_persona.files.unreadable import Unreadable
from stream_persona.pipeline.process import Delivery

if TYPE_CHECKING:
    from stream_persona.pipeline.process import Outcome


#: What a source gives: events, what could not be read, and what is ignored.
Found = Delivery | Unreadable | Anomaly


@dataclass(slots=True)
class ReplaySummary:
    """Counts of what became of every event that was read."""

    applied: Counter[str] = field(default_factory=Counter)
    already_applied: int = 0
    duplicates: int = 0
    dropped_by_deletion: int = 0
    unreadable: Counter[str] = field(default_factory=Counter)
    #: The first that was unreadable for each reason.
    examples: dict[str, Unreadable] = field(default_factory=dict)
    #: What was left out, or counts for less than it says, by reason (``domain.anomaly``).
    anomalies: Counter[str] = field(default_factory=Counter)
    customers: int = 0
    changes: int = 0
    published: int = 0
    #: How long it took; set by ``run.backfill``.
    seconds: float = 0.0

    def add(self, outcome: Outcome) -> None:
        """Add the counts of a chunk."""
        for kind, number in zip(KINDS, outcome.applied, strict=True):
            if number:
                self.applied[kind.__name__.lower()] += number
        self.already_applied += outcome.redelivered
        self.duplicates += outcome.duplicates
        self.dropped_by_deletion += outcome.dropped
        self.anomalies.update(outcome.anomalies)

    def add_unreadable(self, found: Unreadable) -> None:
        """Count a line or message that is no event."""
        self.unreadable[found.reason] += 1
        self.examples.setdefault(found.reason, found)

    def to_plain(self) -> dict[str, Any]:
        """Return plain values; ``read`` is all that was applied, known, unreadable or nobody's."""
        others = self.unreadable.total() + self.anomalies[Anomaly.NOBODY]
        return {
            "read": self.applied.total() + self.already_applied + others,
            "applied": dict(self.applied),
            "already_applied": self.already_applied,
            "duplicates": self.duplicates,
            "dropped_by_deletion": self.dropped_by_deletion,
            "unreadable": dict(self.unreadable),
            "unreadable_examples": {
                reason: {"source": found.source, "line": found.line, "detail": found.detail}
                for reason, found in self.examples.items()
            },
            "anomalies": dict(+self.anomalies),
            "customers": self.customers,
            "changes": self.changes,
            "published": self.published,
            "seconds": round(self.seconds, 3),
        }

    def describe_unreadable(self) -> dict[str, str]:
        """Return, for each reason, how many could not be read, and where the first one is."""
        return {
            reason: f"{self.unreadable[reason]:,}, the first one in {found.source}, line "
            f"{found.line}: {found.detail}"
            for reason, found in self.examples.items()
        }


__all__ = ["Found", "ReplaySummary", "Unreadable"]
