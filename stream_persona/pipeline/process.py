"""The walk: the whole journey of a batch, as one pure function.

``walk`` takes events with their positions, the records of their customers and the model's
weights, and gives the new records, what to publish and what the model learns. Live workers,
replay and tests call the same one; it does no I/O and reads no clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from stream_persona.domain.events import DELETION
from stream_persona.domain.features import Counts, Profiles, fold, profiles
from stream_persona.domain.record import Record
from stream_persona.domain.record_codec import with_change
from stream_persona.model.explain import reasons
from stream_persona.model.statistics import FOLDS, Contributions, customer_key
from stream_persona.pipeline.apply import Draft, Rules, clamped, draft_of, whole_milliseconds
from stream_persona.pipeline.decision import BEHAVIOUR, Belief, decide, millionths
from stream_persona.pipeline.messages import messages
from stream_persona.pipeline.types import (
    Delivery,
    Histories,
    LateDeletion,
    ModelUpdate,
    Outcome,
    Trial,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stream_persona.domain.record import PublishedChange
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.domain.tokenizer import Tokenizer
    from stream_persona.model.predictor import Predictor as Weights


_NONE: Histories = {}


def walk(
    deliveries: Sequence[Delivery],
    records: Mapping[str, Record],
    weights: Weights,
    taxonomy: Taxonomy,
    tokenizer: Tokenizer,
    now: int,
    histories: Histories = _NONE,
) -> Outcome:
    """The journey of one batch: what it does to the records, then what is said of them.

    ``records`` holds the stored record of every known customer among the deliveries; ``now``
    (epoch milliseconds) only dates what is said. ``tokenizer`` must be of the same taxonomy,
    ``histories`` hold what ``late_deletions`` asks for.
    """
    outcome = apply_events(deliveries, records, taxonomy, tokenizer, histories)
    score(outcome, weights, taxonomy, tokenizer, now)
    return outcome


def apply_events(
    deliveries: Sequence[Delivery],
    records: Mapping[str, Record],
    taxonomy: Taxonomy,
    tokenizer: Tokenizer,
    histories: Histories = _NONE,
) -> Outcome:
    """Apply each event once, fold, learn; nothing of it depends on what the model knows."""
    outcome, rules = Outcome(), Rules.of(taxonomy, tokenizer)
    drafts: dict[str, Draft] = {}
    for delivery in deliveries:
        name = delivery.event.customer_id
        draft = drafts.get(name)
        if draft is None:
            past = histories.get(name, ())
            draft = draft_of(len(drafts), name, records.get(name) or Record(), past)
            drafts[name] = draft
        draft.apply(delivery, rules, outcome)
    _fold(list(drafts.values()), taxonomy)
    changed = [draft for draft in drafts.values() if draft.applied]
    outcome.records = {draft.customer_id: draft.record for draft in changed}
    taught = [draft for draft in changed if draft.label or draft.before.label]
    outcome.model_updates = _model_updates(
        [(draft.customer_id, draft.before, -1) for draft in taught]
        + [(draft.customer_id, draft.record, 1) for draft in taught],
        taxonomy,
    )
    for draft in changed:
        if draft.forgotten:
            outcome.say(draft.customer_id, None, None)
        if draft.label is None:
            continue
        label = draft.record.active_label()
        if label != draft.before.active_label() and is_training_example(draft.record, taxonomy):
            outcome.assigned.add(draft.customer_id)
    return outcome


def late_deletions(
    deliveries: Iterable[Delivery], records: Mapping[str, Record], taxonomy: Taxonomy
) -> dict[str, LateDeletion]:
    """The customers of whom ``apply_events`` needs the events that were applied before."""
    found: dict[str, LateDeletion] = {}
    for delivery in deliveries:
        if delivery.kind != DELETION:
            continue
        record = records.get(delivery.event.customer_id)
        if record is None:
            continue
        at = clamped(delivery, whole_milliseconds(taxonomy.policy.max_future_seconds))
        known = found.get(delivery.event.customer_id)
        is_new = record.positions.get(delivery.source, 0) <= delivery.offset
        if is_new and record.deleted_at < at < record.counts.clock:
            since = at if known is None else min(at, known.since)
            found[delivery.event.customer_id] = LateDeletion(since, record.positions)
    return found


def score(
    outcome: Outcome,
    weights: Weights,
    taxonomy: Taxonomy,
    tokenizer: Tokenizer,
    now: int,
    cause: int = BEHAVIOUR,
) -> None:
    """Predict all customers of ``outcome.records`` at once; say what has shifted enough.

    ``cause`` is why they are looked at; a label that came or went is a cause of its own.
    """
    known = {
        name: record
        for name, record in outcome.records.items()
        if len(record.counts) or record.label is not None
    }
    if not known:
        return
    seen = profiles([record.counts for record in known.values()], taxonomy.features)
    probabilities = weights.probabilities(seen)
    whole, evidence = millionths(probabilities), seen.events.tolist()
    changed: list[tuple[int, str, PublishedChange]] = []
    for row, (name, record) in enumerate(known.items()):
        if name in outcome.assigned:
            persona = record.active_label() or ""
            trial = Trial(name, persona, seen.row(row), tuple(probabilities[row].tolist()))
            outcome.trials.append(trial)
        belief = Belief(
            whole[row], evidence[row], weights.version, weights.threshold, weights.candidate_floor
        )
        published = decide(record, belief, taxonomy, now, cause)
        if published is not None:
            changed.append((row, name, published))
    _say(outcome, changed, seen, weights, taxonomy, tokenizer)


def _say(
    outcome: Outcome,
    changed: Sequence[tuple[int, str, PublishedChange]],
    seen: Profiles,
    weights: Weights,
    taxonomy: Taxonomy,
    tokenizer: Tokenizer,
) -> None:
    """Give the changes of rows of ``seen`` their reasons, all at once, and say them."""
    if not changed:
        return
    whys = reasons(
        weights,
        seen.rows([row for row, _, _ in changed]),
        [published.current.likeliest(published.personas) for _, _, published in changed],
        tokenizer.name,
        taxonomy.policy.reasons,
    )
    for (_, name, published), why in zip(changed, whys, strict=True):
        record = with_change(outcome.records[name], replace(published, why=why))
        outcome.records[name] = record
        outcome.say(name, *messages(name, record))
        outcome.causes.append(published.cause)


def is_training_example(record: Record, taxonomy: Taxonomy) -> bool:
    """Whether a record contributes to the model: it has a label of the taxonomy and behaviour."""
    return (
        record.label is not None
        and len(record.counts) > 0
        and record.active_label() in taxonomy.names
    )


def model_updates(
    records: Mapping[str, Record], taxonomy: Taxonomy, sign: int = 1
) -> list[ModelUpdate]:
    """What the model learns from records, or unlearns."""
    return _model_updates([(name, record, sign) for name, record in records.items()], taxonomy)


def _model_updates(
    signed: Sequence[tuple[str, Record, int]], taxonomy: Taxonomy
) -> list[ModelUpdate]:
    """The lessons of customers' records with a sign each, all at once."""
    known = [each for each in signed if is_training_example(each[1], taxonomy)]
    if not known:
        return []
    keys = [customer_key(name) for name, _, _ in known]
    parts = contributed([record for _, record, _ in known], keys, taxonomy).apart()
    return [
        ModelUpdate(name, record.active_label() or "", part, sign)
        for (name, record, sign), part in zip(known, parts, strict=True)
    ]


def contributed(
    records: Sequence[Record], keys: Sequence[int], taxonomy: Taxonomy
) -> Contributions:
    """What records that teach add to the model; ``keys`` are their customers'."""
    seen = profiles([record.counts for record in records], taxonomy.features)
    return Contributions.of(seen, [key % FOLDS for key in keys])


def _fold(drafts: Sequence[Draft], taxonomy: Taxonomy) -> None:
    observed = [each for draft in drafts for each in draft.observed]
    counts: Sequence[Counts] = [draft.record.counts for draft in drafts]
    if observed:
        counts = fold(counts, observed, taxonomy.features)
    for draft, new in zip(drafts, counts, strict=True):
        if draft.applied:
            draft.finish(new)


__all__ = [
    "Delivery",
    "Histories",
    "LateDeletion",
    "ModelUpdate",
    "Outcome",
    "Trial",
    "apply_events",
    "contributed",
    "is_training_example",
    "late_deletions",
    "model_updates",
    "score",
    "walk",
]  # fmt: skip
