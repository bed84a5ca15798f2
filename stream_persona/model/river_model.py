"""Any River classifier as the model: weights with the surface of our own.

River's classifiers can't unlearn and have no parts to add up. So there is nothing to keep in
step: the whole classifier is a function of all labelled customers' profiles, learned in an order
of its own, and every process that folds them gets the same. Whoever leaves is gone with the next
fold.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from stream_persona.errors import SettingsError
from stream_persona.model.classifier import PersonaClassifier
from stream_persona.model.estimator import derive
from stream_persona.model.river_adapter import Learner, classifier, in_order, refolded
from stream_persona.model.statistics import contribution
from stream_persona.model.weights import Weights

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from stream_persona.domain.features import Profiles
    from stream_persona.model.river_adapter import Example

    Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignWeights(Weights):
    """A River classifier that has learned, where predictions expect our own weights.

    No token has a weight of its own, so a reason is the prior and one factor for all the rest.
    """

    specification: str
    learner: Learner

    def probabilities(self, profiles: Profiles) -> Floats:
        """Posterior over ``classes``, (rows, classes); each row sums to 1, row by row.

        Raises:
            SettingsError: the classifier failed; no other model is put in its place in silence.
        """
        try:
            rows = [self.learner.probabilities(profiles.row(i)) for i in range(len(profiles))]
        except Exception as error:
            raise _failed(self.specification, "predict", error) from error
        return np.array(rows, np.float64).reshape(len(rows), len(self.classes))

    def logits(self, profiles: Profiles) -> Floats:
        """The logarithms of the probabilities."""
        return np.asarray(np.log(np.maximum(self.probabilities(profiles), 1e-300)))


def fit(specification: str, examples: Iterable[Example], personas: Sequence[str]) -> ForeignWeights:
    """The classifier of a specification, folded from all labelled customers.

    A pure function of the set of examples; the version is a hash of it.

    Raises:
        SettingsError: there is no such classifier, or it can't learn them.
    """
    known = in_order(examples)
    fresh = Learner(classifier(specification), personas)
    try:
        learner = refolded(fresh, known)
    except Exception as error:
        raise _failed(specification, "learn", error) from error
    number = Counter(example.persona for example in known)
    counts = np.array([number[persona] for persona in personas], np.float64)
    weightless = derive(PersonaClassifier(), personas)
    inherited = {each.name: getattr(weightless, each.name) for each in fields(Weights)}
    inherited |= {
        "log_prior": np.log((counts + 1) / (counts.sum() + len(counts))),
        "customers": len(known),
        "version": _version(specification, known),
    }
    return ForeignWeights(**inherited, specification=specification, learner=learner)


def _version(specification: str, examples: Sequence[Example]) -> str:
    digest = hashlib.blake2b(specification.encode(), digest_size=6)
    for example in examples:
        part = contribution(example.profile)
        digest.update(f"{example.customer_id}\0{example.persona}\0{part.events}\0".encode())
        digest.update(part.slots.astype("<i8").tobytes() + part.moments.astype("<i8").tobytes())
    return digest.hexdigest()


def _failed(specification: str, what: str, error: Exception) -> SettingsError:
    told = " ".join(str(error).split()) or type(error).__name__
    return SettingsError(f"the model {specification} failed to {what}: {told}")
