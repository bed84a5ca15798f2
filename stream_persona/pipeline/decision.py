"""What to say of a customer, and whether it is worth saying again.

``decide`` is a pure function of what was said last, the posterior and the policy: hysteresis
and dwell keep a label from flapping, a step keeps small moves of confidence quiet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from msgspec import Struct

from stream_persona.domain.record import MILLION, Posterior, PublishedChange, Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from stream_persona.domain.taxonomy import Policy, Taxonomy

#: Why a change was published; a cause's index is stored.
CAUSES: Final = ("behaviour", "assignment", "model", "decay", "expiry")
BEHAVIOUR, ASSIGNMENT, MODEL, DECAY, EXPIRY = range(5)


class Belief(Struct, gc=False):
    """What the model makes of a record: probabilities in the taxonomy's order, and n."""

    distribution: tuple[int, ...]
    evidence: float
    model_version: str
    threshold: float | None = None
    candidate_floor: float | None = None


def millionths(rows: NDArray[np.float64]) -> list[tuple[int, ...]]:
    """Probabilities (rows, personas) as integers."""
    return [tuple(row) for row in np.rint(rows * MILLION).astype(np.int64).tolist()]


def decide(
    record: Record, belief: Belief, taxonomy: Taxonomy, now: int, cause: int = BEHAVIOUR
) -> PublishedChange | None:
    """The change to publish, or None when nothing shifted enough. ``now``: epoch milliseconds.

    It has no reasons yet: they are found for all of a batch at once.
    """
    published, at = record.published, record.counts.clock
    current = _current(record, belief, taxonomy)
    if published is not None and not _shifted(published, current, taxonomy):
        return None
    at = max(at, record.label.at if record.label else 0)
    return PublishedChange(
        revision=published.revision + 1 if published else 1,
        cause=_cause(published, current, record, taxonomy.names, cause),
        at=at,
        published_at=now,
        since=_since(published, current, at),
        evidence=round(belief.evidence * 1_000),
        candidate_floor=_floor(belief, taxonomy),
        personas=taxonomy.names,
        previous=_aligned(published, taxonomy.names) if published else None,
        current=current,
        why=(),
        model_version=belief.model_version,
        taxonomy_version=taxonomy.version,
    )


def _current(record: Record, belief: Belief, taxonomy: Taxonomy) -> Posterior:
    label, distribution, names = record.active_label(), belief.distribution, taxonomy.names
    if label is not None and label in names:
        return Posterior(label, MILLION, ambiguous=False, assigned=True, distribution=distribution)
    policy, published = taxonomy.policy, record.published
    threshold = policy.min_confidence if belief.threshold is None else belief.threshold
    most = confidence = max(distribution)
    persona = names[distribution.index(most)]
    held = published.current.persona if published and not published.current.assigned else None
    dwells = held != persona and _dwells(record, taxonomy)
    if held is not None and held != persona and held in names:
        own = distribution[names.index(held)]
        if dwells or most - own < policy.switch_margin * MILLION:
            persona, confidence, dwells = held, own, False
    named = persona == held
    ambiguous = dwells or is_ambiguous(confidence, belief.evidence, threshold, policy, named=named)
    if ambiguous:
        return Posterior(None, most, ambiguous=True, assigned=False, distribution=distribution)
    return Posterior(
        persona, confidence, ambiguous=False, assigned=False, distribution=distribution
    )


def _dwells(record: Record, taxonomy: Taxonomy) -> bool:
    """Whether the last name was given so lately that no other may follow, not even after none."""
    published = record.published
    if published is None or published.current.assigned:
        return False
    return record.counts.clock - published.since < taxonomy.policy.min_dwell_seconds * 1_000


def _since(published: PublishedChange | None, current: Posterior, at: int) -> int:
    """The event time of the last naming; 0 before the first."""
    if published is not None and current.persona in {None, published.current.persona}:
        return published.since
    return at if current.persona is not None else 0


def _floor(belief: Belief, taxonomy: Taxonomy) -> int:
    """In millionths; unmeasured: all that are left out add up to less than the share allowed."""
    measured = belief.candidate_floor
    if measured is None:
        measured = (1.0 - taxonomy.policy.candidate_coverage) / len(taxonomy.names)
    return round(MILLION * measured)


def _shifted(published: PublishedChange, current: Posterior, taxonomy: Taxonomy) -> bool:
    last = published.current
    return (
        last.persona != current.persona
        or last.ambiguous != current.ambiguous
        or last.assigned != current.assigned
        or abs(last.confidence - current.confidence) >= taxonomy.policy.confidence_step * MILLION
        or published.personas != taxonomy.names
    )


def _cause(
    published: PublishedChange | None,
    current: Posterior,
    record: Record,
    personas: tuple[str, ...],
    cause: int,
) -> int:
    if published is not None and published.personas != personas:
        return MODEL
    if current.assigned:
        return ASSIGNMENT
    if published is not None and published.current.assigned:
        label = record.label
        return EXPIRY if label is not None and label.persona is not None else ASSIGNMENT
    return cause


def _aligned(published: PublishedChange, personas: tuple[str, ...]) -> Posterior:
    """What was said last, with its distribution in the order of today's personas."""
    last = published.current
    if published.personas == personas:
        return last
    known = dict(zip(published.personas, last.distribution, strict=True))
    distribution = tuple(known.get(persona, 0) for persona in personas)
    return Posterior(last.persona, last.confidence, last.ambiguous, last.assigned, distribution)


def is_ambiguous(
    confidence: int, evidence: float, threshold: float, policy: Policy, *, named: bool
) -> bool:
    """Whether to fall back to the baseline: too little confidence, or too little evidence.

    ``confidence`` is in millionths. A shopper who is ``named`` already keeps the name until the
    confidence has fallen by the switch margin below the threshold, so that it does not flap.
    """
    least = threshold - (policy.switch_margin if named else 0.0)
    return confidence < least * MILLION or evidence < policy.min_evidence


def candidates(personas: Sequence[str], distribution: Sequence[int], floor: int) -> list[str]:
    """The personas of at least ``floor`` (in millionths); the likeliest always is one."""
    ranked = [(-share, persona) for share, persona in zip(distribution, personas, strict=True)]
    likely = [pair for pair in ranked if -pair[0] >= floor] or [min(ranked)]
    return [persona for _, persona in sorted(likely)]
