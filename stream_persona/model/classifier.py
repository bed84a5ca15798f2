"""The classifier: additive sums as a River estimator, and sums made of a taxonomy's seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from river import base

from stream_persona.domain.binning import canonicalize_token
from stream_persona.domain.features import MAX_EVENTS, SCALE, Profiles
from stream_persona.domain.slots import COARSE_SLOTS, EVENTS, find_seed_slots, hash_to_slot
from stream_persona.model.estimator import derive
from stream_persona.model.statistics import Contribution, Sums, make_contribution

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.model.weights import Weights

_SEED_SHARE: Final = 0.1


class PersonaClassifier(Sums, base.MiniBatchClassifier):
    """The additive sums as a classifier over decayed token counts; a River estimator.

    ``x`` maps tokens (``field:value``) or slots to decayed counts; the key ``events`` holds the
    effective number of events (the largest count when it is missing). Of River's mini-batches,
    ``learn_many`` and ``predict_proba_many`` take DataFrames.

    >>> model = PersonaClassifier()
    >>> for _ in range(5):
    ...     model.learn_one({"events": 3, "category:baby": 3}, "parent")
    ...     model.learn_one({"events": 3, "category:tools": 2}, "builder")
    >>> model.predict_one({"events": 2, "category:baby": 1})
    'parent'
    >>> model.unlearn_one({"events": 3, "category:baby": 3}, "parent")
    """

    _multiclass = True

    def __init__(self) -> None:
        super().__init__()
        self._weights: Weights | None = None

    def learn_one(self, x: Mapping[Any, float], y: Any, **_: Any) -> None:
        """Add one customer."""
        self.add(make_contribution(make_profile(x)), y)

    def unlearn_one(self, x: Mapping[Any, float], y: Any) -> None:
        """Take one customer out again, exactly."""
        self.add(make_contribution(make_profile(x)), y, -1)

    def learn_many(self, X: Any, y: Any) -> None:  # noqa: N803 - River's name
        """Add the customers in the rows of a DataFrame."""
        for row, label in zip(X.to_dict("records"), y, strict=True):
            self.learn_one(row, label)

    def predict_proba_one(self, x: Mapping[Any, float], **_: Any) -> dict[Any, float]:
        """Return the posterior over the classes seen; empty before the first."""
        if self._weights is None or self._changed:
            self._weights, self._changed = derive(self, sorted(self.count_labels(), key=str)), False
        if not self._weights.classes:
            return {}
        row = self._weights.predict_probabilities(make_profile(x))[0]
        return dict(zip(self._weights.classes, row.tolist(), strict=True))

    def predict_proba_many(self, X: Any) -> Any:  # noqa: N803 - River's name
        """Return the posteriors of the rows of a DataFrame."""
        rows = [self.predict_proba_one(row) for row in X.to_dict("records")]
        return type(X)(rows, index=X.index)


def make_profile(x: Mapping[Any, float]) -> Profiles:
    """Make a profile of a mapping from tokens (text, read as coarse) or slots to counts."""
    counts: dict[int, float] = {}
    for key, value in x.items():
        if key != "events" and value > 0:
            slot = key if isinstance(key, int) else _find_coarse_slot(str(key))
            counts[slot] = counts.get(slot, 0.0) + float(value)
    events = max(float(x.get("events", max(counts.values(), default=0.0))), 1e-9)
    slots = np.array([EVENTS, *sorted(counts)], np.int64)
    shares = np.array([1.0, *(counts[slot] / events for slot in slots[1:].tolist())])
    middle = np.searchsorted(slots, [COARSE_SLOTS])
    return Profiles(np.array([0, len(slots)]), middle, slots, shares, np.array([events]))


def _find_coarse_slot(token: str) -> int:
    return hash_to_slot(canonicalize_token(token) or token, fine=False)


def make_seed_sums(taxonomy: Taxonomy) -> Sums:
    """Make the sums of a few imagined customers per seeded persona, so that a shop can start."""
    sums = Sums()
    for persona in taxonomy.personas:
        slots = find_seed_slots(persona, taxonomy.features)
        if not slots:
            continue
        e = round(MAX_EVENTS * _SEED_SHARE * SCALE)
        # Only in the multinomial view: nothing is known of the spread of seeds.
        moments = np.tile(np.array([[1], [e], [e * e // SCALE], [0], [0]]), len(slots))
        part = Contribution(0, round(MAX_EVENTS * SCALE), np.array(sorted(slots)), moments)
        for _ in range(taxonomy.policy.seed_customers):
            sums.add(part, persona.name)
    return sums
