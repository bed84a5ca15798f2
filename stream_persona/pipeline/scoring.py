"""From records to changes: predicts many customers, decides for each, explains the changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from msgspec.structs import replace

from stream_persona.domain.due import decay_evidence
from stream_persona.domain.features import Profiles, compute_profiles
from stream_persona.model.explain import find_reasons
from stream_persona.pipeline.decision import Belief, decide, to_millionths

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from numpy.typing import NDArray

    from stream_persona.domain.record import PublishedChange, Record
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.domain.token_names import TokenNames
    from stream_persona.model.predictor import Predictor
    from stream_persona.pipeline.decision import Cause


class Predictions(NamedTuple):
    """Customers and what the model makes of them, in rows.

    ``inputs`` are the profiles that were predicted, ``probabilities`` have (rows, personas).
    """

    customers: list[str]
    records: list[Record]
    inputs: Profiles
    probabilities: NDArray[np.float64]


def predict(records: Mapping[str, Record], predictor: Predictor, taxonomy: Taxonomy) -> Predictions:
    """Predict the customers who have behaviour or a label."""
    known = {
        name: record
        for name, record in records.items()
        if len(record.counts) or record.label is not None
    }
    found = list(known.values())
    seen = compute_profiles([record.counts for record in found], taxonomy.features)
    none = np.empty((0, len(taxonomy.names)))
    return Predictions(
        list(known), found, seen, predictor.predict_probabilities(seen) if found else none
    )


def decide_all(
    predicted: Predictions,
    predictor: Predictor,
    taxonomy: Taxonomy,
    now: int,
    cause: Cause,
    undecided: Collection[str] = (),
) -> dict[int, PublishedChange]:
    """Decide for each row what to publish; the changes, still without reasons, by row.

    Rows of ``undecided`` customers have none.
    """
    rows, evidence = to_millionths(predicted.probabilities), _find_evidence(predicted, taxonomy)
    version, thresholds = predictor.version, predictor.thresholds
    floor, changes = predictor.candidate_floor, {}
    for row, record in enumerate(predicted.records):
        belief = Belief(rows[row], evidence[row], version, thresholds, floor)
        if undecided and predicted.customers[row] in undecided:
            continue
        change = decide(record, belief, taxonomy, now, cause)
        if change is not None:
            changes[row] = change
    return changes


def _find_evidence(predicted: Predictions, taxonomy: Taxonomy) -> list[float]:
    """Find each row's effective number of events: as of its own clock, or of when it faded."""
    own: list[float] = predicted.inputs.events.tolist()
    for row, record in enumerate(predicted.records):
        if record.faded_at:
            own[row] = decay_evidence(record.counts, record.faded_at, taxonomy.features)
    return own


def add_reasons(
    changes: Mapping[int, PublishedChange],
    predicted: Predictions,
    predictor: Predictor,
    taxonomy: Taxonomy,
    names: TokenNames,
) -> dict[str, PublishedChange]:
    """Give the changes of rows their reasons, all at once; the changes by customer."""
    if not changes:
        return {}
    whys = find_reasons(
        predictor,
        predicted.inputs.select_rows(list(changes)),
        [change.current.find_likeliest(change.personas) for change in changes.values()],
        names.name_slot,
        taxonomy.policy.reasons,
    )
    return {
        predicted.customers[row]: replace(change, why=why)
        for (row, change), why in zip(changes.items(), whys, strict=True)
    }
