"""From additive sums to weights: a pure function.

The multinomial's log-ratios are shrunken towards none (James and Stein, 1961); the discriminants
are nearest shrunken centroids (Tibshirani, Hastie, Narasimhan, Chu, PNAS 2002), with the
covariance of coarse tokens that a panel of labelled customers shows, regularised.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from stream_persona.domain.features import SCALE
from stream_persona.domain.slots import COARSE_SLOTS, SLOTS
from stream_persona.model.statistics import COUNT, E2, P2, E, P, Stacked, Sums
from stream_persona.model.weights import DEFAULT_GAINS, Gains, Weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

#: A token counts once so many labelled customers have it.
MIN_SUPPORT: Final = 3
_SMOOTHING: Final = 20.0
#: Before there is a calibration, half of what so many labelled customers say is believed, and
#: next to nothing of what a few dozen do; what the team has seeded counts as so many.
_QUIET: Final = 150.0
_SEEDED: Final = 300.0
_MOST_WEIGHT: Final = 128.0
#: Of the correlations of coarse tokens, at most this share is believed, half of it when so many
#: customers of the panel speak; of the median variance, this much is added to every variance
#: (regularised discriminant analysis: Friedman, JASA 1989).
_CORRELATED: Final = 0.3
_HALF_BELIEVED: Final = 450.0
_RIDGE: Final = 0.5


@dataclass(frozen=True, slots=True)
class Spread:
    """How coarse tokens vary together within a persona, seen on the calibration panel.

    ``slots`` (A,), ``logs`` (members, A): log(1 + 200 q); ``personas`` and ``folds`` (members,).
    """

    slots: Ints
    logs: Floats
    personas: Ints
    folds: Ints

    def residuals(self, slots: Ints, without_fold: int | None) -> Floats:
        """Around each persona's mean, (members, slots); their squares sum to the variances."""
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


def derive(
    model: Sums,
    classes: Sequence[Any],
    prior: Sums | None = None,
    gains: Gains = DEFAULT_GAINS,
) -> Weights:
    """Weights over ``classes`` from a model's sums; ``prior`` adds pseudo-counts (``seeds``)."""
    weights = derive_from(model.stacked(classes), classes, prior)
    version = hashlib.blake2b(model.canonical(), digest_size=6).hexdigest()
    return replace(weights, gains=gains, version=version)


def derive_from(
    sums: Stacked,
    classes: Sequence[Any],
    prior: Sums | None = None,
    without_fold: int | None = None,
    spread: Spread | None = None,
) -> Weights:
    """Weights from stacked sums; ``without_fold`` leaves a fold's customers out."""
    support = sums.moments[COUNT].sum(axis=(0, 1))
    customers, events, moments = _reduced(sums, without_fold)
    shares, slots = moments[: E2 + 1], sums.slots
    total, exposure = customers, np.repeat(events[:, None], len(slots), axis=1)
    if prior is not None and prior.labels():
        wide = _Wide(prior.stacked(classes), slots)
        slots, support, moments = wide.slots, wide.support(support), wide.spread(moments)
        shares, exposure = wide.shares(moments), wide.exposure(events)
        total = customers + wide.customers
    active = support >= MIN_SUPPORT
    slots = slots[active]
    together = (
        None if spread is None else spread.residuals(slots[slots < COARSE_SLOTS], without_fold)
    )
    logs_w, offsets = _discriminants(customers, moments[:, :, active] / SCALE, slots, together)
    index = np.full(SLOTS, -1, np.int32)
    index[slots] = np.arange(len(slots), dtype=np.int32)
    return Weights(
        classes=tuple(classes),
        index=index,
        shares_w=_fixed(_multinomial(total, exposure[:, active], shares[:, :, active] / SCALE)),
        logs_w=_fixed(logs_w),
        offsets=offsets,
        log_prior=np.log((total + 1) / (total.sum() + max(len(total), 1))),
        customers=int(customers.sum()),
        loudness=_loudness(float(customers.sum()), seeded=total is not customers),
    )


def _loudness(customers: float, *, seeded: bool) -> float:
    known = customers + (_SEEDED if seeded else 0.0)
    return known**2 / (known**2 + _QUIET**2)


def _reduced(sums: Stacked, without_fold: int | None = None) -> tuple[Floats, Floats, Ints]:
    """Customers (C,), events (C,) and moments (5, C, A) over all folds but one."""
    customers, events = sums.customers.sum(axis=0), sums.events.sum(axis=0)
    moments = sums.moments.sum(axis=1)
    if without_fold is not None:
        customers = customers - sums.customers[without_fold]
        events = events - sums.events[without_fold]
        moments = moments - sums.moments[:, without_fold]
    return customers.astype(np.float64), events / SCALE, moments


class _Wide:
    """Sums and seeds over the tokens of both.

    Seeds are pseudo-counts of the shares: they never enter the discriminants, since they know
    nothing of spread, and their events count only where a seed could have been seen. A weekday
    that nobody seeded is no weekday that seeded personas never shop on.
    """

    def __init__(self, seeds: Stacked, slots: Ints) -> None:
        self.slots = np.union1d(slots, seeds.slots)
        self._own = np.searchsorted(self.slots, slots)
        self._seeded = np.searchsorted(self.slots, seeds.slots)
        self.customers, self._events, self._moments = _reduced(seeds)

    def support(self, support: Ints) -> Ints:
        """Labelled customers of each token; one that is seeded has enough of them."""
        wide = np.zeros(len(self.slots), np.int64)
        wide[self._own] = support
        wide[self._seeded] += MIN_SUPPORT * self._moments[COUNT].sum(axis=0)
        return wide

    def spread(self, moments: Ints) -> Ints:
        """Moments (5, C, tokens of both)."""
        wide = np.zeros((*moments.shape[:2], len(self.slots)), np.int64)
        wide[:, :, self._own] = moments
        return wide

    def shares(self, moments: Ints) -> Ints:
        """The moments of the shares, with the seeds'."""
        shares = moments[: E2 + 1].copy()
        shares[:, :, self._seeded] += self._moments[: E2 + 1]
        return shares

    def exposure(self, events: Floats) -> Floats:
        """Events (C, tokens) in which each token could have been seen."""
        wide = np.repeat(events[:, None], len(self.slots), axis=1)
        wide[:, self._seeded] += self._events[:, None]
        return wide


def _fixed(weights: Floats) -> Ints:
    return np.ascontiguousarray(np.rint(weights.T * SCALE))


def _multinomial(customers: Floats, exposure: Floats, moments: Floats) -> Floats:
    """Shrunken log-ratios of each class's smoothed share to the common one, (C, tokens).

    ``exposure`` (C, tokens): the events in which a token could have been seen.
    """
    e, e2 = moments[E], moments[E2]
    if not customers.sum():
        return np.zeros_like(e)
    common = (e.sum(axis=0) + 0.5) / (exposure.sum(axis=0) + 1.0)
    ratio = np.log((e + _SMOOTHING * common) / (exposure + _SMOOTHING) / common)
    number = np.maximum(customers, 1)[:, None]
    mean = e / number
    variance = np.maximum(e2 / number - mean**2, 1e-12)
    noise = variance / number / np.maximum(mean, 1e-6) ** 2
    shrunk = ratio * np.maximum(0.0, 1.0 - noise / np.maximum(ratio**2, 1e-9))
    return np.where(customers[:, None] > 0, shrunk, 0.0)


def _discriminants(
    customers: Floats, moments: Floats, slots: Ints, residuals: Floats | None = None
) -> tuple[Floats, Floats]:
    """Weights (C, tokens) and constants (2, C) of the linear discriminants on log(1 + 200 q)."""
    p, p2 = moments[P], moments[P2]
    total, classes = customers.sum(), int((customers > 0).sum())
    if total <= classes or classes < 2:  # noqa: PLR2004 - nothing to tell apart
        return np.zeros_like(p), np.zeros((2, len(customers)))
    number = np.maximum(customers, 1)[:, None]
    mean, centre = p.sum(axis=0) / total, p / number
    within = p2.sum(axis=0) - (number * centre**2).sum(axis=0)
    deviation = np.sqrt(np.maximum(within / (total - classes), 1e-5))
    spread = deviation.copy()
    coarse = slots < COARSE_SLOTS
    for view in (coarse, ~coarse):
        if view.any():
            spread[view] += 0.5 * np.median(deviation[view])
    standard_error = np.sqrt(np.maximum(1 / number - 1 / total, 1e-9)) * spread
    shift = centre - mean
    shift *= np.maximum(0.0, 1.0 - standard_error**2 / np.maximum(shift**2, 1e-18))
    shift[customers == 0] = 0.0
    # Bounded, so that integer scores can't overflow where a token never varies.
    weights = np.clip(shift / spread**2, -_MOST_WEIGHT, _MOST_WEIGHT)
    constant = weights * (mean + shift / 2)
    if residuals is not None and len(residuals) and coarse.any():
        noise = np.maximum(1 / number - 1 / total, 1e-9)
        distance = np.where(customers[:, None] > 0, (centre - mean)[:, coarse], 0.0)
        weights[:, coarse], constant[:, coarse] = _together(
            distance, mean[coarse], deviation[coarse] ** 2, noise, residuals
        )
    return weights, -np.stack([constant[:, view].sum(axis=1) for view in (coarse, ~coarse)])


def _together(
    distance: Floats, mean: Floats, variance: Floats, noise: Floats, residuals: Floats
) -> tuple[Floats, Floats]:
    """Weights and constants (C, tokens) against a covariance: correlations shrunk, variances up."""
    scale = np.sqrt(variance + _RIDGE * np.median(variance))
    shift = distance / scale
    shift = shift * np.maximum(0.0, 1.0 - noise / np.maximum(shift**2, 1e-18))
    believed = _CORRELATED / (1.0 + (_HALF_BELIEVED / len(residuals)) ** 2)
    z = residuals * (np.sqrt(believed) / scale)
    solved = solve(np.maximum(1.0 - (z**2).sum(axis=0), 0.5), z, shift)
    weights = np.clip(solved / scale, -_MOST_WEIGHT, _MOST_WEIGHT)
    return weights, weights * mean + shift * solved / 2


def solve(diagonal: Floats, z: Floats, right: Floats) -> Floats:
    """``x @ (diag(diagonal) + z.T @ z) = right``: rows of ``right`` and of x are solved each.

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
