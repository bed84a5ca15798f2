"""Counts of shoppers by persona: each shopper is added, none is kept. Pure."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

#: Equal bins of confidence in which shoppers are counted.
BINS: Final = 20
#: Their edges, one more than there are bins.
EDGES: Final = tuple(number / BINS for number in range(BINS + 1))
_MILLION: Final = 1_000_000
_ASSIGNED: Final = "assigned"


class CountedPosterior(Struct, gc=False):
    """The fields of a change's ``previous`` or ``current`` that are counted."""

    persona: str | None
    confidence: Annotated[float, Meta(ge=0.0, le=1.0)]
    ambiguous: bool
    source: str

    @property
    def assigned(self) -> bool:
        """Whether the persona was assigned, so that its confidence is not a prediction's."""
        return self.source == _ASSIGNED

    @property
    def needs_label(self) -> bool:
        """Whether a label would be new to the model: ambiguous, and not assigned."""
        return self.ambiguous and not self.assigned


class CountedChange(Struct, gc=False):
    """The fields of a change that are counted; ``previous`` is null in a shopper's first change.

    A deletion has no ``current``.
    """

    customer_id: str
    current: CountedPosterior | None = None
    previous: CountedPosterior | None = None
    deleted: bool = False
    published_at: datetime | None = None

    def __post_init__(self) -> None:
        """Refuse what is neither a change nor a deletion.

        Raises:
            ValueError: there is no ``current``, and it is no deletion.
        """
        if self.current is None and not self.deleted:
            raise ValueError("expected `current`, or a deletion")


class CountedRecord(CountedPosterior, gc=False):
    """The fields of a public record that are counted; the raw ones are decoded when needed."""

    customer_id: str
    evidence: float
    updated_at: str
    distribution: msgspec.Raw
    candidates: msgspec.Raw


@dataclass(slots=True)
class Group:
    """Shoppers of one persona, or all ambiguous ones.

    ``confidence`` is summed over those that are not assigned, in millionths, and ``bins`` counts
    the same ones: the confidence of an assignment is 1 and no prediction's.
    """

    shoppers: int = 0
    assigned: int = 0
    confidence: int = 0
    bins: list[int] = field(default_factory=lambda: [0] * BINS)

    def add(self, posterior: CountedPosterior, sign: int) -> None:
        """Count a shopper with this posterior; with ``sign`` -1 one less."""
        self.shoppers += sign
        if posterior.assigned:
            self.assigned += sign
            return
        self.confidence += sign * round(_MILLION * posterior.confidence)
        self.bins[min(int(BINS * posterior.confidence), BINS - 1)] += sign

    @property
    def predicted(self) -> int:
        """Shoppers whose persona was not assigned."""
        return max(0, self.shoppers - self.assigned)

    @property
    def mean_confidence(self) -> float | None:
        """The mean over the predicted ones; None without any."""
        if not self.predicted:
            return None
        return min(1.0, max(0.0, self.confidence / self.predicted / _MILLION))


class PersonaCounts:
    """The groups of all shoppers, by persona; that of the ambiguous ones is None.

    Sums that changes move can be a little off for a while; they are never shown below 0.
    """

    def __init__(self) -> None:
        self._groups: defaultdict[str | None, Group] = defaultdict(Group)

    def add(self, posterior: CountedPosterior, sign: int = 1) -> None:
        """Count a shopper with this posterior; with ``sign`` -1 one less."""
        self._groups[posterior.persona].add(posterior, sign)

    def move(self, change: CountedChange) -> None:
        """Move a shopper from the group of the previous posterior to that of the current one."""
        if change.previous is not None:
            self.add(change.previous, -1)
        if change.current is not None:
            self.add(change.current)

    def copy_group(self, persona: str | None) -> Group:
        """Return a copy of a group, without numbers below 0."""
        group = self._groups.get(persona) or Group()
        bins = [max(0, number) for number in group.bins]
        return Group(max(0, group.shoppers), max(0, group.assigned), group.confidence, bins)

    @property
    def shoppers(self) -> int:
        """The number of all shoppers."""
        return max(0, sum(group.shoppers for group in self._groups.values()))

    @property
    def assigned(self) -> int:
        """The number of shoppers whose persona is assigned."""
        return max(0, sum(group.assigned for group in self._groups.values()))
