"""Any River classifier as the model.

River's classifiers can't unlearn, and there is nothing of them that partitions could add up. So
there is nothing to keep in step either: the whole classifier is a function of all labelled
customers' profiles, learned in an order of its own, and every process that folds them gets the
same. A deleted customer is gone with the next fold.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stream_persona.domain.features import SCALE
from stream_persona.domain.slots import SLOTS
from stream_persona.errors import SettingsError
from stream_persona.model.estimator import MIN_SUPPORT
from stream_persona.model.river_adapter import Learner, make_classifier, refold, sort_by_hash
from stream_persona.model.statistics import E, make_contribution

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from stream_persona.domain.features import Profiles
    from stream_persona.model.river_adapter import Example

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RiverPredictor:
    """A ``Predictor`` that asks a fitted River classifier.

    No token has a weight of its own, so a prediction's factors are the prior and one for all the
    rest. River's classifiers are not calibrated: ``threshold`` and ``candidate_floor`` are None.
    """

    specification: str
    learner: Learner
    classes: tuple[str, ...]
    log_prior: Floats
    customers: int
    version: str
    shares: tuple[Ints, Floats]
    threshold: float | None = None
    candidate_floor: float | None = None

    @property
    def thresholds(self) -> tuple[float | None, ...]:
        """No threshold is measured for any persona."""
        return (None,) * len(self.classes)

    @property
    def weighted_slots(self) -> Ints:
        """No slot has a weight."""
        return np.empty(0, np.int64)

    def predict_probabilities(self, profiles: Profiles) -> Floats:
        """Return the posterior over ``classes``, (rows, classes); each row sums to 1.

        Raises:
            SettingsError: the classifier failed; no other model silently takes its place.
        """
        try:
            rows = [
                self.learner.predict_probabilities(profiles.select_row(i))
                for i in range(len(profiles))
            ]
        except Exception as error:
            raise _make_error(self.specification, "predict", error) from error
        return np.array(rows, np.float64).reshape(len(rows), len(self.classes))

    def compute_logits(self, profiles: Profiles) -> Floats:
        """Return the logarithms of the probabilities, (rows, classes)."""
        return np.asarray(np.log(np.maximum(self.predict_probabilities(profiles), 1e-300)))

    def compute_contributions(self, profiles: Profiles) -> tuple[Ints, Ints, Floats]:  # noqa: ARG002
        """Return no token: see ``Predictor``."""
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, len(self.classes)))

    def predict_one(self, profile: Profiles) -> tuple[Floats, Ints, Floats]:
        """Return the posterior of one row, and no token."""
        return self.predict_probabilities(profile)[0], *self.compute_contributions(profile)[1:]

    def compute_share_log_ratios(self, slots: Ints) -> Floats:
        """Return zeros, (slots, classes)."""
        return np.zeros((len(slots), len(self.classes)))

    def list_common_shares(self) -> tuple[Ints, Floats]:
        """Return the slots of tokens that enough labelled customers have, and their shares."""
        return self.shares


def fit(specification: str, examples: Iterable[Example], personas: Sequence[str]) -> RiverPredictor:
    """Fit the classifier of a specification to all labelled customers.

    A pure function of the set of examples; the version is a hash of it.

    Raises:
        SettingsError: there is no such classifier, or it can't learn the examples.
    """
    known = sort_by_hash(examples)
    untrained = Learner(make_classifier(specification), personas)
    try:
        learner = refold(untrained, known)
    except Exception as error:
        raise _make_error(specification, "learn", error) from error
    return RiverPredictor(
        specification,
        learner,
        tuple(personas),
        _compute_log_prior(known, personas),
        len(known),
        _hash_version(specification, known),
        _compute_common_shares(known),
    )


def _compute_common_shares(examples: Sequence[Example]) -> tuple[Ints, Floats]:
    """Add up the examples' tokens; one that few of them have is left out."""
    shown, support, events = np.zeros(SLOTS, np.int64), np.zeros(SLOTS, np.int64), 0
    for example in examples:
        part = make_contribution(example.profile)
        shown[part.slots] += part.moments[E]
        support[part.slots] += 1
        events += part.events
    slots = np.flatnonzero((support >= MIN_SUPPORT) & (shown > 0))
    return slots, shown[slots] / max(events, SCALE)


def _compute_log_prior(examples: Sequence[Example], personas: Sequence[str]) -> Floats:
    number = Counter(example.persona for example in examples)
    counts = np.array([number[persona] for persona in personas], np.float64)
    return np.asarray(np.log((counts + 1) / (counts.sum() + len(counts))))


def _hash_version(specification: str, examples: Sequence[Example]) -> str:
    digest = hashlib.blake2b(specification.encode(), digest_size=6)
    for example in examples:
        part = make_contribution(example.profile)
        digest.update(f"{example.customer_id}\0{example.persona}\0{part.events}\0".encode())
        digest.update(part.slots.astype("<i8").tobytes() + part.moments.astype("<i8").tobytes())
    return digest.hexdigest()


def _make_error(specification: str, what: str, error: Exception) -> SettingsError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return SettingsError(f"the model {specification} failed to {what}: {reason}")
