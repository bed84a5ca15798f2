"""Shops made by a known rule: what each persona buys in one event, and what that allows to tell."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream_persona.domain.features import Profiles
from stream_persona.model.calibration import Calibration, fit_calibration
from stream_persona.model.calibration_panel import Member
from stream_persona.model.classifier import make_profile
from stream_persona.model.weights import Weights
from tests.support.panels import anew, summed

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_LEAST = 1e-300


@dataclass(frozen=True)
class GeneratedShop:
    """``shares`` (personas, tokens): how likely a token is in an event of a persona's customer."""

    shares: Floats

    @classmethod
    def separable(cls, personas: int, noise: float, tokens: int = 0) -> "GeneratedShop":
        """Each persona buys a category of its own, and with probability ``noise`` any."""
        tokens = tokens or personas
        own = np.eye(personas, tokens)
        return cls((1.0 - noise) * own + noise / tokens)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"persona-{i}" for i in range(len(self.shares)))

    def draw(self, rng: np.random.Generator, personas: Ints, events: int) -> Ints:
        """Draw how often customers of these personas buy each token, (customers, tokens)."""
        return np.array([rng.multinomial(events, self.shares[each]) for each in personas])

    def posterior(self, counts: Ints) -> Floats:
        """Return what the rule itself makes of these counts, for equally common personas."""
        logits = counts @ np.log(np.maximum(self.shares, _LEAST)).T
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(odds / odds.sum(axis=1, keepdims=True))

    def fit(
        self, rng: np.random.Generator, personas: Ints, events: int
    ) -> tuple[Weights, Calibration]:
        """Fit the model to labelled customers of these personas."""
        counts = self.draw(rng, personas, events)
        keys = rng.integers(0, 2**63, len(personas)).tolist()
        members = [
            Member(key, key % 5, self.names[persona], profile_of_counts(row))
            for key, persona, row in zip(keys, personas.tolist(), counts, strict=True)
        ]
        sums = summed(members).stack(self.names)
        calibration = fit_calibration(anew(members), sums, self.names)
        return calibration.derive_weights(sums, self.names), calibration


def profile_of_counts(row: Ints) -> Profiles:
    """A profile with one coarse token an event."""
    x: dict[object, float] = {token + 1: float(n) for token, n in enumerate(row.tolist()) if n}
    return make_profile({**x, "events": float(row.sum())})


def predict(weights: Weights, counts: Ints) -> Floats:
    """Predict customers by their counts, (customers, personas)."""
    return np.concatenate([weights.predict_probabilities(profile_of_counts(row)) for row in counts])


def log_loss(probabilities: Floats, personas: Ints) -> float:
    """Return the mean negative log-probability of the true persona."""
    return float(-np.log(probabilities[np.arange(len(personas)), personas] + _LEAST).mean())


def prior_log_loss(weights: Weights, personas: Ints) -> float:
    """Return the log-loss of always answering the shares of the labelled."""
    return float(-weights.log_prior[personas].mean())


def named(weights: Weights, probabilities: Floats) -> NDArray[np.bool_]:
    """Whether each customer's likeliest persona reaches its threshold; unmeasured ones do not."""
    least = np.array([2.0 if each is None else each for each in weights.thresholds])
    return np.asarray(probabilities.max(axis=1) >= least[probabilities.argmax(axis=1)])
