"""Processing a batch: the whole journey of events, as one pure function.

``process_batch`` takes events with their positions, the records of their customers and the model's
weights, and returns the new records, what to publish and what the model learns. Live workers,
replay and tests call the same one; it does no input or output and reads no clock.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from stream_persona.domain.due import advance_all
from stream_persona.domain.record_codec import with_change
from stream_persona.pipeline.apply import ApplyRules, RecordDraft, apply_all, fold_all
from stream_persona.pipeline.decision import Cause
from stream_persona.pipeline.late_deletions import find_late_deletions
from stream_persona.pipeline.messages import encode_messages
from stream_persona.pipeline.scoring import Predictions, add_reasons, decide_all, predict
from stream_persona.pipeline.training import (
    derive_signed,
    derive_updates,
    find_label,
    is_training_example,
)
from stream_persona.pipeline.types import (
    Delivery,
    EventCounts,
    Histories,
    LateDeletion,
    ModelUpdate,
    Outcome,
    PrequentialTrial,
)

if TYPE_CHECKING:
    from stream_persona.domain.record import PublishedChange, Record
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.domain.tokenizer import Tokenizer
    from stream_persona.model.predictor import Predictor

_NO_HISTORIES: Histories = {}
_NO_EVENTS = EventCounts()


def process_batch(  # noqa: PLR0913 - a pure function takes all its inputs as arguments
    deliveries: Sequence[Delivery],
    records: Mapping[str, Record],
    predictor: Predictor,
    taxonomy: Taxonomy,
    tokenizer: Tokenizer,
    now: int,
    histories: Histories = _NO_HISTORIES,
    *,
    undecided: Collection[str] = (),
) -> Outcome:
    """Process a batch: its effect on the records, then the changes that follow from it.

    ``records`` holds the stored record of every known customer among the deliveries; ``now``
    (epoch milliseconds) dates changes, and what was due by then is done (``domain.due``): events
    of long ago must not name a persona that the next moment takes back. ``tokenizer`` must be of
    the same taxonomy, ``histories`` hold the events that ``find_late_deletions`` asks for. Of
    ``undecided`` customers nothing is published yet.
    """
    drafts, folded, updates, counts = _fold(
        deliveries, records, taxonomy, tokenizer, now, histories
    )
    predicted = predict(folded, predictor, taxonomy)
    decided = decide_all(predicted, predictor, taxonomy, now, Cause.BEHAVIOUR, undecided)
    changes = add_reasons(decided, predicted, predictor, taxonomy, tokenizer.names)
    trials = _find_trials(drafts, folded, predicted, taxonomy)
    return _conclude(folded, changes, drafts, updates, trials, counts)


def apply_events(
    deliveries: Sequence[Delivery],
    records: Mapping[str, Record],
    taxonomy: Taxonomy,
    tokenizer: Tokenizer,
    histories: Histories = _NO_HISTORIES,
    now: int = 0,
) -> Outcome:
    """Process a batch without predictions: nothing of it depends on what the model knows.

    The only messages are the tombstones of deleted customers. What was due by ``now`` (epoch
    milliseconds) is done; without it, the records are to be advanced later.
    """
    drafts, folded, updates, counts = _fold(
        deliveries, records, taxonomy, tokenizer, now, histories
    )
    return _conclude(folded, {}, drafts, updates, (), counts)


def rescore(
    records: Mapping[str, Record],
    predictor: Predictor,
    taxonomy: Taxonomy,
    tokenizer: Tokenizer,
    now: int,
    cause: Cause,
    undecided: Collection[str] = (),
) -> Outcome:
    """Predict customers again, without new events; the outcome holds the records that changed.

    What was due by ``now`` is done first, and the model unlearns the labels that ended. ``cause``
    is why they are predicted; a label that came or went is a cause of its own, and so is evidence
    that has faded. Of ``undecided`` customers nothing is published yet.
    """
    advanced = advance_all(records, now, taxonomy)
    ended = {name: each for name, each in advanced.items() if each is not records[name]}
    predicted = predict(advanced, predictor, taxonomy)
    decided = decide_all(predicted, predictor, taxonomy, now, cause, undecided)
    changes = add_reasons(decided, predicted, predictor, taxonomy, tokenizer.names)
    changed = ended | {name: advanced[name] for name in changes}
    return _conclude(changed, changes, (), _unlearn_ended(records, ended, taxonomy))


def _update_model(
    drafts: Sequence[RecordDraft], folded: Mapping[str, Record], taxonomy: Taxonomy
) -> list[ModelUpdate]:
    """Subtract what labelled customers added before, then add what they add now."""
    labelled = [each for each in drafts if each.applied and (each.label or each.before.label)]
    return derive_signed(
        [(draft.customer_id, draft.before, -1) for draft in labelled]
        + [(draft.customer_id, folded[draft.customer_id], 1) for draft in labelled],
        taxonomy,
    )


def _unlearn_ended(
    before: Mapping[str, Record], ended: Mapping[str, Record], taxonomy: Taxonomy
) -> list[ModelUpdate]:
    """Subtract the customers whose label has ended."""
    gone = {
        name: before[name]
        for name, each in ended.items()
        if each.find_active_label() != before[name].find_active_label()
    }
    return derive_updates(gone, taxonomy, -1)


def _fold(
    deliveries: Sequence[Delivery],
    records: Mapping[str, Record],
    taxonomy: Taxonomy,
    tokenizer: Tokenizer,
    now: int,
    histories: Histories,
) -> tuple[Sequence[RecordDraft], dict[str, Record], Sequence[ModelUpdate], EventCounts]:
    """Apply events to their drafts; return these, the records by ``now``, and what it changes."""
    drafts, applied = apply_all(deliveries, records, ApplyRules.of(taxonomy, tokenizer), histories)
    new, counts = fold_all(drafts, applied, taxonomy.features)
    folded = advance_all(new, now, taxonomy)
    return drafts, folded, _update_model(drafts, folded, taxonomy), counts


def _find_trials(
    drafts: Sequence[RecordDraft],
    folded: Mapping[str, Record],
    predicted: Predictions,
    taxonomy: Taxonomy,
) -> list[PrequentialTrial]:
    """Find the customers who were just assigned another persona, each with its prediction."""
    assigned = {
        draft.customer_id
        for draft in drafts
        if draft.applied and draft.label is not None
        and _is_new_example(draft.before, folded[draft.customer_id], taxonomy)
    }  # fmt: skip
    return [
        PrequentialTrial(
            name,
            find_label(predicted.records[row], taxonomy) or "",
            predicted.inputs.select_row(row),
            tuple(predicted.probabilities[row].tolist()),
        )
        for row, name in enumerate(predicted.customers if assigned else ())
        if name in assigned
    ]


def _is_new_example(before: Record, after: Record, taxonomy: Taxonomy) -> bool:
    changed = find_label(after, taxonomy) != find_label(before, taxonomy)
    return changed and is_training_example(after, taxonomy)


def _conclude(
    records: dict[str, Record],
    changes: Mapping[str, PublishedChange],
    drafts: Sequence[RecordDraft] = (),
    updates: Sequence[ModelUpdate] = (),
    trials: Sequence[PrequentialTrial] = (),
    counts: EventCounts = _NO_EVENTS,
) -> Outcome:
    """Put changes into their records, encode them after the tombstones, and sum everything up."""
    forgotten = [draft.customer_id for draft in drafts if draft.forgotten]
    published = {name: with_change(records[name], change) for name, change in changes.items()}
    encoded = {name: encode_messages(name, record) for name, record in published.items()}
    tombstones: list[tuple[str, bytes | None]] = [(name, None) for name in forgotten]
    deleted: dict[str, bytes | None] = dict.fromkeys(forgotten)
    return Outcome(
        records | published,
        tombstones + [(name, message) for name, (message, _) in encoded.items()],
        deleted | {name: public for name, (_, public) in encoded.items()},
        updates,
        [change.cause for change in changes.values()],
        trials,
        *counts,
        carried={draft.customer_id: draft.carried for draft in drafts if draft.carried},
    )


__all__ = [
    "Delivery",
    "Histories",
    "LateDeletion",
    "ModelUpdate",
    "Outcome",
    "PrequentialTrial",
    "apply_events",
    "find_late_deletions",
    "process_batch",
    "rescore",
]  # fmt: skip
