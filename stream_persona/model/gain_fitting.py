"""Fits gains: the convex problem of least penalised log-loss over cross-fitted scores.

Probabilities are log-linear in gains and biases, so there is one minimum: no evidence at all, each
view alone and equal gains for all personas are points that the search compares it with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from stream_persona.model.gains import BIAS_EVENTS, HALF_HEIGHTS, Gains, saturate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stream_persona.model.cross_fitting import CrossFit

    Floats = NDArray[np.float64]

#: Penalties in nats, of squared gains of views that were scaled to unit variance: of a gain's mean
#: over the personas, of a persona's distance from it, and of a bias. The mean is hardly held back;
#: a persona's own gain needs some dozens of customers' evidence.
_MEAN_PENALTY: Final = 3.0
_PERSONA_PENALTY: Final = 30.0
_BIAS_PENALTY: Final = 1.0
_MAX_ITERATIONS: Final = 500


def fit_gains(scores: CrossFit, log_prior: Floats) -> Gains:
    """Fit the gains and biases of least penalised log-loss, each customer counted once.

    The views are scaled to unit variance first: their scores may differ by orders of magnitude, and
    the penalties and the search (L-BFGS-B: Byrd, Lu, Nocedal, Zhu, SIAM J. Sci. Comput. 1995) want
    comparable columns. A search that does not converge gives its best point, which is no worse than
    its start: no evidence at all, the prior.
    """
    views, n = scores.views, scores.events
    number, rows, classes = views.shape
    curves = np.stack([saturate(n, half) for half in HALF_HEIGHTS])
    # Classes before rows: numpy adds up long columns, not many short rows.
    columns = (views[:, None] * curves[None, :, :, None]).reshape(-1, rows, classes)
    columns = np.ascontiguousarray(columns.transpose(0, 2, 1))
    scale = _compute_scale(columns, scores.weights)
    columns /= scale[:, None, None]
    from scipy.optimize import minimize  # noqa: PLC0415 - slow: only labelled customers need it

    problem = _Problem(columns, saturate(n, BIAS_EVENTS), scores, log_prior)
    size = len(columns) * classes
    found = minimize(
        problem.compute_loss,
        np.zeros(size + classes),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0.0, None)] * size + [(None, None)] * classes,
        options={"maxiter": _MAX_ITERATIONS},
    ).x
    heights = (found[:size].reshape(-1, classes) / scale[:, None]).reshape(number, -1, classes)
    return Gains(
        tuple(tuple(tuple(curve) for curve in view) for view in heights.tolist()),
        tuple(found[size:].tolist()),
    )


def _compute_scale(columns: Floats, weights: Floats) -> Floats:
    """Return the standard deviation of each column over all rows and classes; 1 where it is 0."""
    centred = columns - columns.mean(axis=1, keepdims=True)
    variance = (centred**2 * weights).sum(axis=2).mean(axis=1) / weights.sum()
    return np.where(variance > 0, np.sqrt(variance), 1.0)


class _Problem:
    """The penalised log-loss, per customer, of gains and biases in one vector."""

    def __init__(
        self, columns: Floats, bias_curve: Floats, scores: CrossFit, log_prior: Floats
    ) -> None:
        self._columns = columns  # (views and curves, C, rows)
        self._bias_curve = bias_curve
        self._labels, self._weights = scores.labels, scores.weights
        self._rows = np.arange(len(scores.labels))
        self._prior = log_prior[:, None]
        self._customers = float(scores.weights.sum())

    def compute_loss(self, x: Floats) -> tuple[float, Floats]:
        """Return the loss and its gradient."""
        classes = self._columns.shape[1]
        gains = x[:-classes].reshape(-1, classes)
        bias = x[-classes:]
        mean = gains.mean(axis=1, keepdims=True)
        logits = self._prior + bias[:, None] * self._bias_curve
        logits = logits + np.einsum("kc,kcr->cr", gains, self._columns)
        odds = np.exp(logits - logits.max(axis=0))
        error = odds / odds.sum(axis=0)  # the probabilities; below, less the truth
        right = error[self._labels, self._rows]
        error[self._labels, self._rows] -= 1.0
        error *= self._weights
        slope = np.einsum("cr,kcr->kc", error, self._columns)
        slope += 2 * _PERSONA_PENALTY * (gains - mean) + 2 * _MEAN_PENALTY / classes * mean
        bias_slope = (error * self._bias_curve).sum(axis=1) + 2 * _BIAS_PENALTY * bias
        value = -float((self._weights * np.log(right + 1e-300)).sum())
        value += _PERSONA_PENALTY * float(((gains - mean) ** 2).sum())
        value += _MEAN_PENALTY * float((mean**2).sum()) + _BIAS_PENALTY * float((bias**2).sum())
        gradient = np.concatenate([slope.ravel(), bias_slope])
        return value / self._customers, gradient / self._customers
