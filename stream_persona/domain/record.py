"""A customer's private record.

The *folded* part (counts, label, positions, recent event ids, deletion) is a pure function of the
set of events; the *published* part is the last change that was published.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
from msgspec import Struct, field

from stream_persona.domain.deduplication import Recent
from stream_persona.domain.features import Counts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]


class Label(Struct, frozen=True, array_like=True, gc=False):
    """A customer's newest assignment in event time; ``persona`` None is a withdrawal."""

    at: int
    assignment_id: str
    persona: str | None
    expires_at: int | None = None
    source: str | None = None


class PublishedPosterior(Struct, frozen=True, array_like=True, gc=False):
    """A customer's personas as published: probabilities in millionths, in the change's order."""

    persona: str | None
    confidence: int
    ambiguous: bool
    assigned: bool
    distribution: tuple[int, ...]

    def likeliest(self, personas: Sequence[str]) -> str:
        """The persona that is named; where none is, the likeliest one."""
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

    ``positions`` maps an input (kind << 16 | partition) to the next offset to apply, ``recent``
    hashes of event ids to their event times, ``deleted_at`` is the newest deletion (0: none).
    ``packed`` is a ``PublishedChange`` with its bytes: it stays through many events, and is
    encoded once.
    """

    counts: Counts = field(default_factory=Counts.empty)
    label: Label | None = None
    positions: dict[int, int] = field(default_factory=dict)
    recent: dict[int, Recent] = field(default_factory=dict)
    deleted_at: int = 0
    published: PublishedChange | None = None
    packed: tuple[PublishedChange, msgspec.Raw] | None = None

    @property
    def is_marker(self) -> bool:
        """Whether a record holds nothing but the time of a deletion."""
        return bool(self.deleted_at) and not len(self.counts) and self.label is None

    def active_label(self) -> str | None:
        """The persona assigned as of the record's own clock, if any."""
        label = self.label
        if label is None or (
            label.expires_at is not None and self.counts.clock >= label.expires_at
        ):
            return None
        return label.persona


#: Probabilities are stored and published in millionths.
MILLION = 1_000_000
