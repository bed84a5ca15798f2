"""A customer's private record.

The *folded* part (counts, label, positions, recent event ids, deletion) is a pure function of the
set of events; the *published* part is the last change that was published.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
from msgspec import Struct, field

from stream_persona.domain.deduplication import RecentIds
from stream_persona.domain.features import Counts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]


class Label(Struct, frozen=True, array_like=True, gc=False):
    """A customer's newest assignment in event time; ``persona`` None is a withdrawal.

    Of two with equal times the one that arrived later counts, then that of the greater partition
    and offset; ``arrived_at`` is -1 where it is not known. ``ended`` is set once ``expires_at`` has
    passed on the clock, whatever the customer does.
    """

    at: int
    assignment_id: str
    persona: str | None
    expires_at: int | None = None
    source: str | None = None
    arrived_at: int = -1
    partition: int = -1
    offset: int = -1
    ended: bool = False

    @property
    def order(self) -> tuple[int, int, int, int]:
        """Where it stands among a customer's assignments: the greatest one counts."""
        return self.at, self.arrived_at, self.partition, self.offset


class PublishedPosterior(Struct, frozen=True, array_like=True, gc=False):
    """A customer's personas as published: probabilities in millionths, in the change's order."""

    persona: str | None
    confidence: int
    ambiguous: bool
    assigned: bool
    distribution: tuple[int, ...]

    def find_likeliest(self, personas: Sequence[str]) -> str:
        """Return the persona that is named; where none is, the likeliest one."""
        return self.persona or personas[self.distribution.index(max(self.distribution))]


class PublishedChange(Struct, frozen=True, array_like=True, gc=False):
    """The last published change of a customer, complete enough to publish it again.

    Times are epoch milliseconds; ``since`` is the event time from which the persona holds.
    ``previous`` is ``current`` of the change before, as it was then; ``previous_personas`` are its
    personas, None where they are those of this change.
    """

    revision: int
    cause: int
    at: int
    published_at: int
    since: int
    evidence: int
    candidate_floor: int
    personas: tuple[str, ...]
    previous: PublishedPosterior | None
    current: PublishedPosterior
    why: tuple[tuple[str, str, int], ...]
    model_version: str
    taxonomy_version: str
    previous_personas: tuple[str, ...] | None = None


class Record(Struct, frozen=True, gc=False):
    """Everything known of one customer; a record is replaced, never changed in place.

    ``positions`` maps an input (kind << 16 | partition) to the next offset to apply, ``recent`` an
    input to its last ids, ``rates`` an input of many ids to the newest minute of event time in
    which its events were counted, and how many. ``deleted_at`` is up to when the newest deletion
    reaches (0: none). ``left_out_at`` is the newest time of a retry or the like, which a deletion
    may yet let count, where that is later than the clock (0: it is not).
    ``faded_at`` is the time, once it has passed, at which the evidence had become too little for a
    name (0: it has not). ``packed`` is a ``PublishedChange`` with its bytes: it stays through many
    events, and is encoded once.
    """

    counts: Counts = field(default_factory=Counts.empty)
    label: Label | None = None
    positions: dict[int, int] = field(default_factory=dict)
    recent: dict[int, RecentIds] = field(default_factory=dict)
    deleted_at: int = 0
    published: PublishedChange | None = None
    packed: tuple[PublishedChange, msgspec.Raw] | None = None
    rates: dict[int, tuple[int, int]] = field(default_factory=dict)
    faded_at: int = 0
    left_out_at: int = 0

    @property
    def is_marker(self) -> bool:
        """Whether a record holds nothing but the time of a deletion."""
        return bool(self.deleted_at) and not len(self.counts) and self.label is None

    def find_active_label(self) -> str | None:
        """Return the persona assigned as of the record's own clock, if any."""
        label = self.label
        if label is None or label.ended:
            return None
        if label.expires_at is not None and self.counts.clock >= label.expires_at:
            return None
        return label.persona


#: Probabilities are stored and published in millionths.
MILLION = 1_000_000
