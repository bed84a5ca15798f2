"""Whether a customer's persona has changed enough to be published, and which one to name.

``decide`` is a pure function of the record, the belief and the policy. Which persona is named
depends on the last change, which may hold a predicted name A, and on the likeliest persona:

=========================  ==============================================  ====================
the last change            now                                             the name
=========================  ==============================================  ====================
any                        a label of the taxonomy is active               the label's, assigned
named A                    A is the likeliest                              A, kept
named A                    B is, in the dwell or by less than the margin   A, kept
named A                    B is, after the dwell and by the margin         B, given
named none of today's      in the dwell of the last name                   none
named none of today's      after it, or there was no name yet              the likeliest, given
=========================  ==============================================  ====================

A name needs ``min_evidence``, and a confidence: one that is given that of its persona's threshold,
one that is kept only that of the threshold less the switch margin. Otherwise no persona is named,
and the customer is ambiguous. A step of confidence keeps small moves quiet.

Time alone ends a name, too: an assignment at its end (cause ``expiry``), a predicted name once the
evidence has faded below ``min_evidence`` (cause ``decay``). What has ended is in the record
(``domain.due``), and such a change is of the instant at which it was due.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final

import numpy as np
from msgspec import Struct

from stream_persona.domain.record import MILLION, PublishedChange, PublishedPosterior, Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from stream_persona.domain.taxonomy import Policy, Taxonomy


class Cause(IntEnum):
    """Why a change was published; the number is stored."""

    BEHAVIOUR = 0
    ASSIGNMENT = 1
    MODEL = 2
    DECAY = 3
    EXPIRY = 4


#: The names of causes in changes, by number.
CAUSES: Final = tuple(cause.name.lower() for cause in Cause)


class Belief(Struct, gc=False):
    """The model's prediction for a record: probabilities in the taxonomy's order, and n.

    ``evidence`` is n as of the record's own clock; once it has faded, as of the time of that.
    ``thresholds`` are those of the personas, in the same order: None, or none at all, where the
    model has not measured them.
    """

    distribution: tuple[int, ...]
    evidence: float
    model_version: str
    thresholds: tuple[float | None, ...] = ()
    candidate_floor: float | None = None


def to_millionths(rows: NDArray[np.float64]) -> list[tuple[int, ...]]:
    """Convert probabilities (rows, personas) to integers; those of a row sum to a million."""
    return list(map(tuple, apportion(rows, MILLION).tolist()))


def apportion(rows: NDArray[np.float64], parts: int) -> NDArray[np.int64]:
    """Divide ``parts`` among the probabilities of each row, by the largest remainder (Hamilton).

    A row must sum to 1 within 1 / ``parts``; its integers, (rows, personas), sum to exactly
    ``parts``. None is off by a part, and none is less than that of a smaller probability; of equal
    probabilities the first is the one that is rounded up.

    >>> apportion(np.array([[1 / 3, 1 / 3, 1 / 3], [0.0, 0.44, 0.56]]), parts=10).tolist()
    [[4, 3, 3], [0, 4, 6]]
    """
    whole = np.floor(rows * parts)
    # Among probabilities of one whole part this difference is exact (Sterbenz); that of the
    # products is not, and may be the same for two of them.
    order = np.argsort(whole / parts - rows, axis=1, kind="stable")
    count, columns = rows.shape
    order += np.arange(0, count * columns, columns)[:, None]
    shares = whole.astype(np.int64)
    is_rounded_up = np.arange(columns) < (parts - shares.sum(axis=1))[:, None]
    shares.ravel()[order[is_rounded_up]] += 1
    return shares


def decide(
    record: Record, belief: Belief, taxonomy: Taxonomy, now: int, cause: Cause = Cause.BEHAVIOUR
) -> PublishedChange | None:
    """Return the change to publish, or None when nothing has moved enough.

    ``now`` is epoch milliseconds. The change has no reasons yet: they are computed for all of a
    batch at once.
    """
    published = record.published
    current = _choose_posterior(record, belief, taxonomy)
    if published is not None and not _has_moved(published, current, taxonomy):
        return None
    cause = _find_cause(published, current, record, taxonomy.names, cause)
    at = _find_time(record, cause)
    return PublishedChange(
        revision=published.revision + 1 if published else 1,
        cause=cause,
        at=at,
        published_at=now,
        since=_find_named_since(published, current, at, taxonomy),
        # Faded evidence is not rounded up to what a name would need.
        evidence=(int if record.faded_at else round)(belief.evidence * 1_000),
        candidate_floor=_find_candidate_floor(belief, taxonomy),
        personas=taxonomy.names,
        previous=published.current if published else None,
        current=current,
        why=(),
        model_version=belief.model_version,
        taxonomy_version=taxonomy.version,
        previous_personas=_find_former_names(published, taxonomy.names),
    )


def _choose_posterior(record: Record, belief: Belief, taxonomy: Taxonomy) -> PublishedPosterior:
    """Choose the label where one holds; else the name, if there is confidence enough for it."""
    label, policy = taxonomy.resolve(record.find_active_label()), taxonomy.policy
    distribution = belief.distribution
    if label is not None:
        return PublishedPosterior(
            label, MILLION, ambiguous=False, assigned=True, distribution=distribution
        )
    held = _find_held_name(record.published, taxonomy)
    dwells = _dwells(record, policy)
    name, confidence = _choose_name(distribution, taxonomy.names, held, policy, dwells=dwells)
    if name is None or is_ambiguous(
        confidence, belief.evidence, _find_threshold(name, belief, taxonomy), policy,
        named=name == held,
    ):  # fmt: skip
        confidence = max(distribution)
        return PublishedPosterior(
            None, confidence, ambiguous=True, assigned=False, distribution=distribution
        )
    return PublishedPosterior(
        name, confidence, ambiguous=False, assigned=False, distribution=distribution
    )


def _find_threshold(name: str, belief: Belief, taxonomy: Taxonomy) -> float:
    measured = belief.thresholds[taxonomy.names.index(name)] if belief.thresholds else None
    return taxonomy.policy.min_confidence if measured is None else measured


def _find_held_name(published: PublishedChange | None, taxonomy: Taxonomy) -> str | None:
    """Find the last change's predicted name as it is today, if it is one of today's personas."""
    if published is None or published.current.assigned:
        return None
    return taxonomy.resolve(published.current.persona)


def _dwells(record: Record, policy: Policy) -> bool:
    """Whether the last predicted name was given so lately that no other may follow yet."""
    published = record.published
    if published is None or published.current.assigned:
        return False
    return record.counts.clock - published.since < policy.min_dwell_seconds * 1_000


def _choose_name(
    distribution: tuple[int, ...],
    personas: tuple[str, ...],
    held: str | None,
    policy: Policy,
    *,
    dwells: bool,
) -> tuple[str | None, int]:
    """Choose the name by the table above; return it and its probability in millionths."""
    most = max(distribution)
    likeliest = personas[distribution.index(most)]
    if held == likeliest:
        return held, most
    if held is None:
        return None if dwells else likeliest, most
    own = distribution[personas.index(held)]
    keeps = dwells or most - own < policy.switch_margin * MILLION
    return (held, own) if keeps else (likeliest, most)


def is_ambiguous(
    confidence: int, evidence: float, threshold: float, policy: Policy, *, named: bool
) -> bool:
    """Whether to fall back to the baseline: too little confidence, or too little evidence.

    ``confidence`` is in millionths. A shopper who is ``named`` already keeps the name until the
    confidence has fallen by the switch margin below the threshold, so that it does not flap.
    """
    least = threshold - (policy.switch_margin if named else 0.0)
    return confidence < least * MILLION or evidence < policy.min_evidence


def _find_named_since(
    published: PublishedChange | None, current: PublishedPosterior, at: int, taxonomy: Taxonomy
) -> int:
    """Return the event time from which the last name holds; 0 before the first."""
    if published is not None and current.persona in {
        None, taxonomy.resolve(published.current.persona)
    }:  # fmt: skip
        return published.since
    return at if current.persona is not None else 0


def _find_candidate_floor(belief: Belief, taxonomy: Taxonomy) -> int:
    """Find it in millionths; unmeasured: such that the personas below sum to less than allowed."""
    measured = belief.candidate_floor
    if measured is None:
        measured = (1.0 - taxonomy.policy.candidate_coverage) / len(taxonomy.names)
    return round(MILLION * measured)


def _has_moved(published: PublishedChange, current: PublishedPosterior, taxonomy: Taxonomy) -> bool:
    """Whether another persona or state is to be published, or a step of confidence."""
    last = published.current
    return (
        last.persona != current.persona
        or last.ambiguous != current.ambiguous
        or last.assigned != current.assigned
        or abs(last.confidence - current.confidence) >= taxonomy.policy.confidence_step * MILLION
        or published.personas != taxonomy.names
    )


def _find_cause(
    published: PublishedChange | None,
    current: PublishedPosterior,
    record: Record,
    personas: tuple[str, ...],
    cause: Cause,
) -> Cause:
    """Return ``cause``, unless personas or an assignment came or went, or evidence has faded."""
    if published is not None and published.personas != personas:
        return Cause.MODEL
    if current.assigned:
        return Cause.ASSIGNMENT
    if published is not None and published.current.assigned:
        label = record.label
        expired = label is not None and label.persona is not None
        return Cause.EXPIRY if expired else Cause.ASSIGNMENT
    if record.faded_at and published is not None and _loses_name(published, current):
        return Cause.DECAY
    return cause


def _loses_name(published: PublishedChange, current: PublishedPosterior) -> bool:
    return published.current.persona is not None and current.persona is None


def _find_time(record: Record, cause: Cause) -> int:
    """Return the event time of a change: of the newest event, or of the instant that caused it."""
    label, due = record.label, 0
    if cause is Cause.DECAY:
        due = record.faded_at
    elif cause is Cause.EXPIRY and label is not None and label.ended:
        due = label.expires_at or 0
    return max(record.counts.clock, label.at if label is not None else 0, due)


def _find_former_names(
    published: PublishedChange | None, personas: tuple[str, ...]
) -> tuple[str, ...] | None:
    """Return the personas of the last change, where they are not those of today."""
    return published.personas if published and published.personas != personas else None


def find_candidates(personas: Sequence[str], distribution: Sequence[int], floor: int) -> list[str]:
    """Find the personas of at least ``floor`` (in millionths), likeliest first; never none.

    >>> find_candidates(("a", "b", "c"), (300_000, 600_000, 100_000), floor=200_000)
    ['b', 'a']
    """
    ranked = [(-share, persona) for share, persona in zip(distribution, personas, strict=True)]
    likely = [pair for pair in ranked if -pair[0] >= floor] or [min(ranked)]
    return [persona for _, persona in sorted(likely)]
