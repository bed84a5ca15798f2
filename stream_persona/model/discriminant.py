"""The linear discriminants on log(1 + 200 q), for coarse and for fine tokens apart.

They are nearest shrunken centroids (Tibshirani, Hastie, Narasimhan, Chu, PNAS 2002). Coarse tokens
are separated by their covariance as well, which is measured on a panel of labelled customers and
regularised.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from stream_persona.model.statistics import P2, P

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]

#: Bound of a discriminant's weight: integer scores can't overflow where a token never varies.
_MAX_WEIGHT: Final = 128.0
#: Least deviation of log(1 + 200 q) within a persona: a token that never varied among a few
#: customers varies among others, by about a fifth of what one event more of a hundred moves it by.
_LEAST_DEVIATION: Final = 0.2
#: Regularised discriminant analysis (Friedman, JASA 1989): the largest share of the measured
#: correlations of coarse tokens that is used, the panel's customers at which it is half of that,
#: and the share of the median variance that is added to every variance.
_MAX_CORRELATION: Final = 0.5
_HALF_CORRELATION_MEMBERS: Final = 450.0
_RIDGE: Final = 0.5


@dataclass(frozen=True, slots=True)
class Spread:
    """The coarse tokens of the calibration panel: how they vary together within a persona.

    ``slots`` (A,), ``logs`` (members, A): log(1 + 200 q); ``personas`` and ``folds`` (members,).
    """

    slots: Ints
    logs: Floats
    personas: Ints
    folds: Ints

    def compute_residuals(self, slots: Ints, without_fold: int | None) -> Floats:
        """Return deviations from each persona's mean, (members, slots).

        They are scaled so that their squares sum to the tokens' variances. A slot that no member
        has gets zeros; members of ``without_fold`` are left out.
        """
        chosen = self.folds != (-1 if without_fold is None else without_fold)
        logs, personas = self.logs[chosen], self.personas[chosen]
        found = np.zeros((len(logs), len(slots)))
        at = np.searchsorted(self.slots, slots)
        known = at < len(self.slots)
        known[known] = self.slots[at[known]] == slots[known]
        found[:, known] = logs[:, at[known]]
        for persona in np.unique(personas):
            found[personas == persona] -= found[personas == persona].mean(axis=0)
        return np.asarray(found / np.sqrt(max(len(found) - len(np.unique(personas)), 1)))


@dataclass(frozen=True, slots=True)
class Discriminant:
    """A linear discriminant on log(1 + 200 q), coarse and fine tokens apart.

    ``weights`` (C, tokens); ``offsets`` (2, C) are the constants for coarse and for fine tokens.
    """

    weights: Floats
    offsets: Floats


def fit_discriminant(
    customers: Floats, moments: Floats, coarse: Flags, residuals: Floats | None
) -> Discriminant:
    """Fit the discriminant: nearest shrunken centroids, coarse tokens with their covariance.

    ``coarse`` (tokens,) is True for coarse tokens; ``residuals`` (members, coarse tokens).
    """
    total, classes = customers.sum(), int((customers > 0).sum())
    if total <= classes or classes < 2:  # noqa: PLR2004 - nothing to separate
        return Discriminant(np.zeros_like(moments[P]), np.zeros((2, len(customers))))
    centroids = _compute_centroids(customers, moments)
    weights, constant = _fit_diagonal(centroids, coarse)
    if residuals is not None:
        weights[:, coarse], constant[:, coarse] = _fit_correlated(centroids, coarse, residuals)
    return Discriminant(
        weights, -np.stack([constant[:, view].sum(axis=1) for view in (coarse, ~coarse)])
    )


@dataclass(frozen=True, slots=True)
class _Centroids:
    """Where classes stand: ``shift`` (C, tokens) from the common ``mean`` (tokens,).

    ``noise`` (C, 1) is the variance of a class's centroid in units of ``deviation`` squared, the
    deviation within classes (tokens,). A class without customers has no shift.
    """

    mean: Floats
    shift: Floats
    deviation: Floats
    noise: Floats


def _compute_centroids(customers: Floats, moments: Floats) -> _Centroids:
    p, p2 = moments[P], moments[P2]
    total, number = customers.sum(), np.maximum(customers, 1)[:, None]
    mean, centre = p.sum(axis=0) / total, p / number
    within = p2.sum(axis=0) - (number * centre**2).sum(axis=0)
    variance = np.maximum(within / (total - int((customers > 0).sum())), 0.0)
    return _Centroids(
        mean=mean,
        shift=np.where(customers[:, None] > 0, centre - mean, 0.0),
        deviation=np.sqrt(variance + _LEAST_DEVIATION**2),
        noise=np.maximum(1 / number - 1 / total, 1e-9),
    )


def _fit_diagonal(centroids: _Centroids, coarse: Flags) -> tuple[Floats, Floats]:
    """Return weights and constants (C, tokens) of tokens that vary independently."""
    spread = centroids.deviation.copy()
    for view in (coarse, ~coarse):
        if view.any():
            spread[view] += 0.5 * np.median(centroids.deviation[view])
    standard_error = np.sqrt(centroids.noise) * spread
    shift = _shrink(centroids.shift, standard_error**2)
    weights = np.clip(shift / spread**2, -_MAX_WEIGHT, _MAX_WEIGHT)
    return weights, weights * (centroids.mean + shift / 2)


def _fit_correlated(
    centroids: _Centroids, coarse: Flags, residuals: Floats
) -> tuple[Floats, Floats]:
    """Return weights and constants (C, coarse tokens) against a regularised covariance."""
    variance = centroids.deviation[coarse] ** 2
    scale = np.sqrt(variance + _RIDGE * np.median(variance))
    shift = _shrink(centroids.shift[:, coarse] / scale, centroids.noise)
    used = _MAX_CORRELATION / (1.0 + (_HALF_CORRELATION_MEMBERS / len(residuals)) ** 2)
    z = residuals * (np.sqrt(used) / scale)
    solved = solve(np.maximum(1.0 - (z**2).sum(axis=0), 0.5), z, shift)
    weights = np.clip(solved / scale, -_MAX_WEIGHT, _MAX_WEIGHT)
    return weights, weights * centroids.mean[coarse] + shift * solved / 2


def _shrink(shift: Floats, noise: Floats) -> Floats:
    """Move shifts towards none by their noise: the positive part of 1 - noise / shift^2."""
    return np.asarray(shift * np.maximum(0.0, 1.0 - noise / np.maximum(shift**2, 1e-18)))


def solve(diagonal: Floats, z: Floats, right: Floats) -> Floats:
    """Solve ``x @ (diag(diagonal) + z.T @ z) = right`` for x, (rows, A).

    ``diagonal`` (A,), positive; ``z`` (members, A); ``right`` (rows, A). By Woodbury's identity
    where members are fewer than tokens: the smaller of the two matrices is what it costs.
    """
    members, tokens = z.shape
    if tokens <= members:
        return np.asarray(np.linalg.solve(np.diag(diagonal) + z.T @ z, right.T).T)
    root = np.sqrt(diagonal)
    z, right = z / root, right / root  # of a diagonal of ones
    inner = np.linalg.solve(np.eye(members) + z @ z.T, z @ right.T)
    return np.asarray((right - inner.T @ z) / root)
