"""Calibration: how strongly each view's evidence is weighted, fitted by cross-fitted log-loss.

The customers of the panel, and the pseudo-histories that are drawn from their records
(``calibration_panel``), are scored by the sums without the customer's own fold. The six numbers of
the gains minimise the log-loss of these scores; then all evidence is scaled by what it gained over
the prior (``shrinkage``). All of it is derived from stored records, so a deletion reaches the
calibration as it reaches the sums.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from scipy.optimize import minimize

from stream_persona.model.calibration_panel import concatenate, draw_histories, measure_spread
from stream_persona.model.estimator import derive_from
from stream_persona.model.statistics import FOLDS
from stream_persona.model.weights import DEFAULT_GAINS, gains_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from stream_persona.model.calibration_panel import Member
    from stream_persona.model.discriminant import Spread
    from stream_persona.model.statistics import Stacked, Sums
    from stream_persona.model.weights import Gains, Weights

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

#: Fewer labelled customers than this keep the default gains.
MIN_PANEL: Final = 30
#: Fewer named customers than this do not show how often a named persona is right.
MIN_NAMED: Final = 10
#: A threshold that no confidence reaches.
NEVER: Final = 2.0
#: Nats by which a fit is optimistic on its own data: taken off what it gained over the prior.
_OPTIMISM_NATS: Final = 1.0
_START: Final = (-1.0, 2.0)
_RIDGE: Final = 1e-4


@dataclass(slots=True)
class CrossFit:
    """Scores of the panel's histories by models that do not include their customers.

    ``views`` (3, R, C), ``events`` (R,), ``labels`` (R,: columns); ``whole`` (R,) marks the rows
    that are a customer's whole profile.
    """

    views: Floats
    events: Floats
    labels: Ints
    whole: NDArray[np.bool_]


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
    )


def _score(members: Sequence[Member], weights: Weights) -> CrossFit:
    drawn = [draw_histories(member) for member in members]
    sizes = np.array([len(part) for part in drawn])
    rows = concatenate(drawn)
    labels = np.array([weights.classes.index(member.label) for member in members])
    whole = np.zeros(sizes.sum(), bool)
    whole[np.cumsum(sizes) - 1] = True
    return CrossFit(weights.views(rows), rows.events, np.repeat(labels, sizes), whole)


def fit_gains(scores: CrossFit, log_prior: Floats) -> Gains:
    """Fit the gains of least log-loss over all rows (L-BFGS from a fixed start)."""
    rows, n = np.arange(len(scores.labels)), scores.events
    # Classes before rows: numpy adds up long columns, not many short rows, and in a third of the
    # time.
    views, prior = np.ascontiguousarray(scores.views.transpose(0, 2, 1)), log_prior[:, None]

    def loss(t: Floats) -> tuple[float, Floats]:
        a, k = np.exp(t[0::2])[:, None], np.exp(t[1::2])[:, None]
        gain = a * n / (n + k)
        logits = prior + np.einsum("vr,vcr->cr", gain, views)
        odds = np.exp(logits - logits.max(axis=0))
        error = odds / odds.sum(axis=0)  # the probabilities; below, less the truth
        right = error[scores.labels, rows]
        error[scores.labels, rows] -= 1.0
        slope = np.einsum("cr,vcr->vr", error, views) / len(rows)
        gradient = np.stack([(slope * gain).sum(1), -(slope * a * n * k / (n + k) ** 2).sum(1)], 1)
        value = -np.log(right + 1e-12).mean() + _RIDGE * (t**2).sum()
        return float(value), gradient.ravel() + 2 * _RIDGE * t

    start = np.array(_START * len(scores.views))
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 60}).x
    return tuple((float(a), float(b)) for a, b in found.reshape(-1, 2))


def shrinkage(scores: CrossFit, gains: Gains, log_prior: Floats) -> float:
    """Return the scale of all evidence, 0 to 1, by what it gained over the prior.

    The positive part of 1 - c / G (James and Stein, 1961): G is the log-likelihood gained on
    customers that the sums did not include, each counted once however many histories it has, and
    c is ``_OPTIMISM_NATS``. Labels that gain nothing leave the prior as it is; with many labels
    c is negligible.
    """
    each = np.arange(len(scores.labels))
    found = posterior(scores, gains, log_prior)[each, scores.labels]
    ratio = np.log(found + 1e-12) - log_prior[scores.labels]
    gained = float(ratio.mean() * scores.whole.sum())
    return max(0.0, 1.0 - _OPTIMISM_NATS / gained) if gained > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Calibration:
    """What is measured on labelled customers: how evidence is weighted, and what is named.

    ``gains``: how strongly each view's evidence is weighted. ``evidence_scale``: by what all
    evidence is scaled, 0 to 1. ``threshold``: the least confidence at which naming a persona is
    right in the target's share of the cases (more than 1 where it never is). ``candidate_floor``:
    the probability from which a persona is a candidate, so that the candidates hold the true one in
    the stated share. ``spread``: how coarse tokens vary together within a persona. All but the
    gains are None while there are too few labelled customers.
    """

    gains: Gains = DEFAULT_GAINS
    evidence_scale: float | None = None
    threshold: float | None = None
    candidate_floor: float | None = None
    spread: Spread | None = field(default=None, repr=False, compare=False)

    def weights(self, sums: Stacked, classes: Sequence[Any], prior: Sums | None = None) -> Weights:
        """Derive the weights of these sums, with this calibration."""
        derived = derive_from(sums, classes, prior, spread=self.spread)
        scale = self.evidence_scale
        return replace(
            derived,
            gains=self.gains,
            evidence_scale=derived.evidence_scale if scale is None else scale,
            threshold=self.threshold,
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
    scale = shrinkage(scores, gains, log_prior)
    # On whole profiles alone: pseudo-histories are of another mix of sizes than a shop's records.
    probabilities = posterior(scores, gains, log_prior, scale)[scores.whole]
    labels = scores.labels[scores.whole]
    return Calibration(
        gains,
        scale,
        naming_threshold(probabilities, labels, precision),
        conformal_floor(probabilities, labels, coverage),
        spread,
    )


def posterior(scores: CrossFit, gains: Gains, log_prior: Floats, scale: float = 1.0) -> Floats:
    """Return cross-fitted probabilities, (R, C)."""
    gain = scale * gains_at(gains, scores.events)[:, :, None]
    logits = log_prior + (gain * scores.views).sum(axis=0)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def naming_threshold(probabilities: Floats, labels: Ints, precision: float) -> float:
    """Return the least confidence from which the most likely persona is right often enough.

    ``probabilities`` (R, C), ``labels`` (R,: columns), ``precision`` the share that shall be right.
    The share is judged by a lower bound (Wilson, 1927, one standard error), since the least of many
    thresholds is the luckiest one. ``NEVER`` when there is none.

    >>> confidence = np.linspace(0.6, 0.99, 40)
    >>> probabilities = np.stack([confidence, 1 - confidence], axis=1)
    >>> labels = np.where(confidence < 0.795, 1, 0)  # right from 0.8 on, below never
    >>> round(naming_threshold(probabilities, labels, precision=0.8), 2)
    0.78
    >>> naming_threshold(probabilities[:20], labels[:20], precision=0.8)
    2.0
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    order = np.argsort(-confidence, kind="stable")
    n = np.arange(1, len(order) + 1)
    share = np.cumsum(right[order]) / n
    spread = np.sqrt(share * (1 - share) / n + 1 / (4 * n**2))
    least = (share + 1 / (2 * n) - spread) / (1 + 1 / n)
    enough = np.flatnonzero((least >= precision) & (n >= MIN_NAMED))
    return float(confidence[order[enough[-1]]]) if len(enough) else NEVER


def conformal_floor(probabilities: Floats, labels: Ints, coverage: float) -> float:
    """Return the probability that the true persona has at least in ``coverage`` of the cases.

    ``probabilities`` (R, C), ``labels`` (R,: columns). Split-conformal sets of least average size
    hold all personas of that probability or more (Sadinle, Lei, Wasserman, "Least Ambiguous
    Set-Valued Classifiers with Bounded Error Levels", JASA 2019).

    >>> true = np.arange(1, 10) / 10
    >>> probabilities, labels = np.stack([true, 1 - true], axis=1), np.repeat(0, 9)
    >>> [conformal_floor(probabilities, labels, coverage) for coverage in (0.5, 0.75, 0.99)]
    [0.5, 0.2, 0.0]
    """
    true = np.sort(probabilities[np.arange(len(labels)), labels])
    rank = int(np.floor((len(true) + 1) * (1.0 - coverage)))
    return float(true[rank - 1]) if rank else 0.0
