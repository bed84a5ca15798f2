"""The last step of calibration: what the likeliest persona's probability is really worth.

Gains are fitted to all probabilities at once, and that of the likeliest persona may still be off at
the top, the more for personas of mixed behaviour. The step maps the log-odds of the likeliest
persona onto a line, by persona and by the number of events (Platt, "Probabilistic outputs for
support vector machines", 1999); the other probabilities keep their proportions. No slope is below
0, so more confidence never comes out as less, and the likeliest persona stays the likeliest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.special import expit

from stream_persona.model.gains import BIAS_EVENTS, saturate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

#: Penalties in nats: of squared distances of intercept, size and mean slope from the step that
#: changes nothing, and of a persona's slope from the mean slope.
_PENALTY: Final = 1.0
_PERSONA_PENALTY: Final = 5.0
#: No stated probability is nearer to 1: no panel is large enough to measure the difference.
MOST: Final = 0.999
_LEAST: Final = 1e-12


@dataclass(frozen=True, slots=True)
class ConfidenceStep:
    """The log-odds of the likeliest persona k: intercept + size * h + slopes[k] * before.

    h is n / (n + 20) - 1/2 after n events; no slope is below 0.
    """

    intercept: float
    size: float
    slopes: tuple[float, ...]

    def apply(self, probabilities: Floats, events: Floats) -> Floats:
        """Return probabilities (rows, C) with the likeliest one's replaced, rows still sum to 1."""
        each, top = np.arange(len(probabilities)), probabilities.argmax(axis=1)
        before = probabilities[each, top]
        line = self.intercept + self.size * _compute_size(events)
        line += np.array(self.slopes)[top] * _log_odds(before)
        others = np.maximum(probabilities, _LEAST)  # so that there is a proportion of noughts too
        others[each, top] = 0.0
        rest, second = others.sum(axis=1), others.max(axis=1)
        # At least as much as makes it equal to the second: the order stays.
        after = np.maximum(np.minimum(expit(line), MOST), second / (rest + second))
        found = others * ((1.0 - after) / rest)[:, None]
        found[each, top] = after
        return np.asarray(found)

    def apply_to_one(self, probabilities: Floats, events: float) -> Floats:
        """As ``apply``, for the probabilities (C,) of one row: single numbers need no arrays."""
        top = int(probabilities.argmax())
        before = float(probabilities[top])
        line = self.intercept + self.size * (events / (events + BIAS_EVENTS) - 0.5)
        line += self.slopes[top] * float(np.log(before / max(1.0 - before, _LEAST)))
        others = np.maximum(probabilities, _LEAST)
        others[top] = 0.0
        rest, second = float(others.sum()), float(others.max())
        after = max(min(float(expit(line)), MOST), second / (rest + second))
        others *= (1.0 - after) / rest
        others[top] = after
        return np.asarray(others)


def _compute_size(events: Floats) -> Floats:
    return saturate(events, BIAS_EVENTS) - 0.5


def _log_odds(probabilities: Floats) -> Floats:
    return np.asarray(np.log(probabilities / np.maximum(1.0 - probabilities, _LEAST)))


def fit_confidence(
    probabilities: Floats, events: Floats, labels: Ints, weights: Floats
) -> ConfidenceStep:
    """Fit the step of least penalised log-loss of "the likeliest persona is the true one".

    ``probabilities`` (R, C) are cross-fitted; ``events``, ``labels`` (columns) and ``weights``
    (R,). The loss is convex; a search that does not converge gives its best point, which is no
    worse than its start, the step that changes nothing.
    """
    each, top = np.arange(len(probabilities)), probabilities.argmax(axis=1)
    before, size = _log_odds(probabilities[each, top]), _compute_size(events)
    right = (top == labels).astype(np.float64)
    classes = probabilities.shape[1]

    def compute_loss(x: Floats) -> tuple[float, Floats]:
        intercept, by_size, slopes = x[0], x[1], x[2:]
        mean = slopes.mean()
        line = intercept + by_size * size + slopes[top] * before
        error = weights * (expit(line) - right)
        value = float((weights * (np.logaddexp(0.0, line) - right * line)).sum())
        value += _PENALTY * float(intercept**2 + by_size**2 + (mean - 1.0) ** 2)
        value += _PERSONA_PENALTY * float(((slopes - mean) ** 2).sum())
        slope = np.bincount(top, error * before, classes)
        slope += 2 * _PERSONA_PENALTY * (slopes - mean) + 2 * _PENALTY * (mean - 1.0) / classes
        first = error.sum() + 2 * _PENALTY * intercept
        second = (error * size).sum() + 2 * _PENALTY * by_size
        return value, np.concatenate([[first, second], slope])

    start = np.concatenate([[0.0, 0.0], np.ones(classes)])
    bounds = [(None, None)] * 2 + [(0.0, None)] * classes
    from scipy.optimize import minimize  # noqa: PLC0415 - slow: only labelled customers need it

    found = minimize(compute_loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return ConfidenceStep(float(found[0]), float(found[1]), tuple(found[2:].tolist()))
