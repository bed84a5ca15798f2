"""Calibration: what evidence is worth, and from which confidence on personas are named.

The customers of the panel, and the pseudo-histories that are drawn from their records
(``calibration_panel``), are scored by the sums without the customer's own fold (``cross_fitting``).
Gains are fitted on these scores (``gain_fitting``), all evidence is scaled by what it gained over
the prior (``shrinkage``), the stated confidence is mapped onto how often it was right
(``confidence``), and thresholds are measured (``naming``). All of it is derived from stored
records, so a deletion reaches the calibration as it reaches the sums.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from stream_persona.model.calibration_panel import measure_spread
from stream_persona.model.confidence import fit_confidence
from stream_persona.model.cross_fitting import cross_fit
from stream_persona.model.estimator import derive_from
from stream_persona.model.gain_fitting import fit_gains
from stream_persona.model.naming import (
    find_conformal_floor,
    find_naming_threshold,
    find_persona_thresholds,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from stream_persona.model.calibration_panel import Member
    from stream_persona.model.confidence import ConfidenceStep
    from stream_persona.model.cross_fitting import CrossFit
    from stream_persona.model.discriminant import Spread
    from stream_persona.model.gains import Gains
    from stream_persona.model.statistics import Stacked, Sums
    from stream_persona.model.weights import Weights

    Floats = NDArray[np.float64]

#: Fewer labelled customers than this keep the default gains.
MIN_PANEL: Final = 30
#: Nats by which a fit is optimistic on its own data: taken off what it gained over the prior.
_OPTIMISM_NATS: Final = 3.0


def fit_shrinkage(scores: CrossFit, gains: Gains, log_prior: Floats) -> float:
    """Return the scale of all evidence, 0 to 1, by what it gained over the prior.

    The positive part of 1 - c / G (James and Stein, 1961): G is the log-likelihood gained on
    customers that the sums did not include, each counted once however many histories it has, and
    c is ``_OPTIMISM_NATS``. Labels that gain nothing leave the prior as it is; with many labels
    c is negligible.
    """
    each = np.arange(len(scores.labels))
    found = compute_posterior(scores, gains, log_prior)[each, scores.labels]
    ratio = np.log(found + 1e-300) - log_prior[scores.labels]
    gained = float((scores.weights * ratio).sum())
    return max(0.0, 1.0 - _OPTIMISM_NATS / gained) if gained > 0 else 0.0


def compute_posterior(
    scores: CrossFit, gains: Gains, log_prior: Floats, scale: float = 1.0
) -> Floats:
    """Return cross-fitted probabilities, (R, C)."""
    evidence = gains.compute_bias(scores.events) + (
        gains.compute(scores.events) * scores.views
    ).sum(axis=0)
    logits = log_prior + scale * evidence
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


@dataclass(frozen=True, slots=True)
class Calibration:
    """What is measured on labelled customers: what evidence is worth, and what is named.

    ``gains``: how strongly each view's evidence counts. ``evidence_scale``: by what all evidence is
    scaled, 0 to 1. ``confidence``: the last step, for the likeliest persona. ``threshold``: the
    least confidence at which naming a persona is right in the target's share of the cases;
    ``thresholds`` are those of each persona, as high or higher (more than 1: never).
    ``candidate_floor``: the probability from which a persona is a candidate, so that the candidates
    hold the true one in the stated share. ``spread``: how coarse tokens vary together within a
    persona. All are None while there are too few labelled customers.
    """

    gains: Gains | None = None
    evidence_scale: float | None = None
    confidence: ConfidenceStep | None = None
    threshold: float | None = None
    thresholds: tuple[float, ...] | None = None
    candidate_floor: float | None = None
    spread: Spread | None = field(default=None, repr=False, compare=False)

    def derive_weights(
        self, sums: Stacked, classes: Sequence[Any], prior: Sums | None = None
    ) -> Weights:
        """Derive the weights of these sums, with this calibration."""
        derived = derive_from(sums, classes, prior, spread=self.spread)
        if self.gains is None or self.evidence_scale is None or self.thresholds is None:
            return derived
        return replace(
            derived,
            gains=self.gains,
            evidence_scale=self.evidence_scale,
            confidence=self.confidence,
            threshold=self.threshold,
            thresholds=self.thresholds,
            candidate_floor=self.candidate_floor,
        )


def fit_calibration(
    panel: Sequence[Member],
    sums: Stacked,
    classes: Sequence[Any],
    prior: Sums | None = None,
    *,
    precision: float = 0.8,
    coverage: float = 0.9,
) -> Calibration:
    """Measure the calibration of these sums; a pure function of them and of the panel's set.

    ``precision``: the share of named customers whose persona shall be right. ``coverage``: the
    share of customers whose true persona shall be among the candidates.
    """
    known = sorted((m for m in panel if m.label in classes), key=lambda member: member.key)
    if len(known) < MIN_PANEL or len({member.label for member in known}) < 2:  # noqa: PLR2004
        return Calibration()
    spread = measure_spread(known, classes)
    log_prior = derive_from(sums, classes, prior).log_prior
    scores = cross_fit(known, sums, classes, prior, spread)
    gains = fit_gains(scores, log_prior)
    scale = fit_shrinkage(scores, gains, log_prior)
    stated = compute_posterior(scores, gains, log_prior, scale)
    step = fit_confidence(stated, scores.events, scores.labels, scores.weights)
    # On whole profiles alone: pseudo-histories are of another mix of sizes than a shop's records.
    whole, labels = scores.whole, scores.labels[scores.whole]
    probabilities = step.apply(stated[whole], scores.events[whole])
    threshold = find_naming_threshold(probabilities.max(axis=1), precision)
    return Calibration(
        gains,
        scale,
        step,
        threshold,
        find_persona_thresholds(probabilities, labels, precision, threshold),
        find_conformal_floor(probabilities, labels, coverage),
        spread,
    )
