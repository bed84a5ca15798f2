"""What is said of all shoppers, in numbers: each is added, none is kept. Pure."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final

import msgspec
from msgspec import Struct

#: Equal bins of confidence in which shoppers are counted.
BINS: Final = 20
#: Their edges, one more than there are bins.
EDGES: Final = tuple(number / BINS for number in range(BINS + 1))
_MILLION: Final = 1_000_000
_ASSIGNED: Final = "assigned"


class Posterior(Struct, gc=False):
    """What counting reads of a change's ``previous`` or ``current``."""

    persona: str | None
    confidence: float
    ambiguous: bool
    source: str

    @property
    def assigned(self) -> bool:
        """Whether somebody has told the persona, so that its confidence is nobody's guess."""
        return self.source == _ASSIGNED

    @property
    def open(self) -> bool:
        """Whether a label would tell the model something that nobody has told yet."""
        return self.ambiguous and not self.assigned


class Change(Struct, gc=False):
    """What counting reads of a change; ``previous`` is null for a shopper of whom it is the first.

    A deletion has no ``current``.
    """

    customer_id: str
    current: Posterior | None = None
    previous: Posterior | None = None
    deleted: bool = False

    def __post_init__(self) -> None:
        """Refuse what is neither a change nor a deletion.

        Raises:
            ValueError: nothing is said of the shopper.
        """
        if self.current is None and not self.deleted:
            raise ValueError("expected `current`, or a deletion")


class Standing(Posterior, gc=False):
    """What counting reads of a public record; the rest is decoded where it is needed at all."""

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

    def add(self, said: Posterior, sign: int) -> None:
        """Count a shopper of whom this is said; with ``sign`` -1 one less."""
        self.shoppers += sign
        if said.assigned:
            self.assigned += sign
            return
        self.confidence += sign * round(_MILLION * said.confidence)
        self.bins[min(int(BINS * said.confidence), BINS - 1)] += sign

    @property
    def predicted(self) -> int:
        """Those whose persona nobody has assigned."""
        return max(0, self.shoppers - self.assigned)

    @property
    def mean_confidence(self) -> float | None:
        """Of those that are not assigned; None without any."""
        if not self.predicted:
            return None
        return min(1.0, max(0.0, self.confidence / self.predicted / _MILLION))


class Tally:
    """The groups of all shoppers, by persona; that of the ambiguous ones is None.

    Sums that changes move can be a little off for a while, and are never shown below 0.
    """

    def __init__(self) -> None:
        self._groups: defaultdict[str | None, Group] = defaultdict(Group)

    def add(self, said: Posterior, sign: int = 1) -> None:
        """Count a shopper of whom this is said; with ``sign`` -1 one less."""
        self._groups[said.persona].add(said, sign)

    def move(self, change: Change) -> None:
        """Count a shopper where the change has brought them, and no longer where they were."""
        if change.previous is not None:
            self.add(change.previous, -1)
        if change.current is not None:
            self.add(change.current)

    def of(self, persona: str | None) -> Group:
        """A copy of a group that can be shown."""
        group = self._groups.get(persona) or Group()
        bins = [max(0, number) for number in group.bins]
        return Group(max(0, group.shoppers), max(0, group.assigned), group.confidence, bins)

    @property
    def shoppers(self) -> int:
        """All that are known."""
        return max(0, sum(group.shoppers for group in self._groups.values()))

    @property
    def assigned(self) -> int:
        """Those whose persona is assigned."""
        return max(0, sum(group.assigned for group in self._groups.values()))
