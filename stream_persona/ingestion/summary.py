"""What became of all rows of the files that were to be ingested."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from stream_persona.kafka.sender import SendCounts

if TYPE_CHECKING:
    from stream_persona.files.unreadable import Unreadable

#: Rows that cannot be read, at most, that are shown one by one.
SHOWN: Final = 20


@dataclass(slots=True)
class IngestSummary:
    """Counts; ``receipts`` by the files' names."""

    dry_run: bool = False
    events: Counter[str] = field(default_factory=Counter)
    #: Events that an earlier run has sent, and rows that it could not read.
    already_ingested: int = 0
    unreadable_before: int = 0
    unreadable: Counter[str] = field(default_factory=Counter)
    examples: list[Unreadable] = field(default_factory=list)
    nobody: int = 0
    #: What is no event of foreign documents, by its reason.
    left_out: Counter[str] = field(default_factory=Counter)
    receipts: dict[str, SendCounts] = field(default_factory=dict)
    seconds: float = 0.0

    def add_unreadable(self, found: Unreadable) -> None:
        """Count a row that is no event."""
        self.unreadable[found.reason] += 1
        if len(self.examples) < SHOWN:
            self.examples.append(found)

    @property
    def is_whole(self) -> bool:
        """Whether every row could be read, in this run and before."""
        return not self.unreadable and not self.unreadable_before

    def to_plain(self) -> dict[str, Any]:
        """Return plain values; ``read`` are the rows and events that this run has read."""
        receipts = self.receipts.values()
        return {
            "dry_run": self.dry_run,
            "read": self.events.total()
            + self.unreadable.total()
            + self.nobody
            + self.left_out.total(),
            "events": dict(self.events),
            "already_ingested": self.already_ingested,
            "unreadable": dict(self.unreadable),
            "unreadable_examples": [each.to_plain() for each in self.examples],
            "unreadable_before": self.unreadable_before,
            "nobody": self.nobody,
            "left_out": dict(self.left_out),
            "sent": sum(each.sent for each in receipts),
            "confirmed": sum(each.confirmed for each in receipts),
            "last_confirmed_line": {
                name: each.last_confirmed_line for name, each in self.receipts.items()
            },
            "seconds": round(self.seconds, 3),
        }
