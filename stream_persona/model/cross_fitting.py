"""Cross-fitting: labelled customers' histories, each scored by sums that do not include it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from stream_persona.model.calibration_panel import concatenate, draw_histories
from stream_persona.model.estimator import derive_from
from stream_persona.model.statistics import FOLDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from stream_persona.model.calibration_panel import Member
    from stream_persona.model.discriminant import Spread
    from stream_persona.model.statistics import Stacked, Sums
    from stream_persona.model.weights import Weights

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

#: The part of a customer's weight that is on its whole profile; the rest is shared out evenly
#: among this and its pseudo-histories. A shop's records are whole, and confidence shall hold there
#: most of all.
_WHOLE_SHARE: Final = 0.5


@dataclass(slots=True)
class CrossFit:
    """Scores of the panel's histories by models that do not include their customers.

    ``views`` (3, R, C), ``events`` (R,), ``labels`` (R,: columns); ``whole`` (R,) marks the rows
    that are a customer's whole profile. ``weights`` (R,) sum to 1 for each customer, so that none
    counts more than another.
    """

    views: Floats
    events: Floats
    labels: Ints
    whole: NDArray[np.bool_]
    weights: Floats


def cross_fit(
    panel: Sequence[Member],
    sums: Stacked,
    classes: Sequence[Any],
    prior: Sums | None = None,
    spread: Spread | None = None,
) -> CrossFit:
    """Score the panel's histories, each by the sums without its customer's fold."""
    parts = []
    for fold in range(FOLDS):
        members = [m for m in panel if m.fold == fold and m.label in classes]
        if members:
            parts.append(_score(members, derive_from(sums, classes, prior, fold, spread)))
    return CrossFit(
        np.concatenate([part.views for part in parts], axis=1),
        np.concatenate([part.events for part in parts]),
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.whole for part in parts]),
        np.concatenate([part.weights for part in parts]),
    )


def _score(members: Sequence[Member], weights: Weights) -> CrossFit:
    drawn = [draw_histories(member) for member in members]
    sizes = np.array([len(part) for part in drawn])
    rows = concatenate(drawn)
    labels = np.array([weights.classes.index(member.label) for member in members])
    whole = np.zeros(sizes.sum(), bool)
    whole[np.cumsum(sizes) - 1] = True
    each = np.repeat((1.0 - _WHOLE_SHARE) / sizes, sizes)
    each[whole] += _WHOLE_SHARE
    return CrossFit(weights.compute_views(rows), rows.events, np.repeat(labels, sizes), whole, each)
