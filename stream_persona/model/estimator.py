"""Derives weights from additive sums: the formulas, pure functions.

The multinomial's log-ratios are shrunken towards none (James and Stein, 1961); ``discriminant`` has
the other two views.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from stream_persona.domain.features import SCALE
from stream_persona.domain.slots import COARSE_SLOTS, SLOTS
from stream_persona.model.discriminant import fit_discriminant
from stream_persona.model.gains import Gains
from stream_persona.model.lifts import shrink_log_lifts
from stream_persona.model.naming import NEVER
from stream_persona.model.statistics import COUNT, E2, E, Stacked, Sums
from stream_persona.model.weights import Weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from stream_persona.model.discriminant import Spread

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

#: Labelled customers that must have a token before it gets a weight.
MIN_SUPPORT: Final = 3
_SMOOTHING: Final = 20.0
#: Labelled customers at which uncalibrated evidence has half its weight. A few dozen customers
#: prove next to nothing: n of them give it n^2 / (n^2 + 150^2).
_HALF_WEIGHT_LABELS: Final = 150.0
#: Labelled customers as which all seeds together count in that.
_SEED_LABELS: Final = 300.0


def derive(
    model: Sums,
    classes: Sequence[Any],
    prior: Sums | None = None,
) -> Weights:
    """Derive weights over ``classes`` from a model's sums, with a hash of these as the version.

    ``prior`` adds the pseudo-counts of seeds.
    """
    weights = derive_from(model.stack(classes), classes, prior)
    version = hashlib.blake2b(model.encode_canonically(), digest_size=6).hexdigest()
    return replace(weights, version=version)


def derive_from(
    sums: Stacked,
    classes: Sequence[Any],
    prior: Sums | None = None,
    without_fold: int | None = None,
    spread: Spread | None = None,
) -> Weights:
    """Derive weights from stacked sums; ``without_fold`` leaves a fold's customers out."""
    totals = _add_seeds(_sum_totals(sums, without_fold), prior, classes)
    active = totals.support >= MIN_SUPPORT
    slots = totals.slots[active]
    exposure, seen = totals.exposure[:, active], totals.shares[:, :, active]
    shares = _fit_multinomial(totals.seeded_customers, exposure, seen / SCALE)
    discriminant = fit_discriminant(
        totals.customers,
        totals.moments[:, :, active] / SCALE,
        slots < COARSE_SLOTS,
        _select_coarse_residuals(spread, slots, without_fold),
    )
    return Weights(
        classes=tuple(classes),
        index=_index_slots(slots),
        shares_w=_to_fixed_point(shares),
        lifts_w=_to_fixed_point(shrink_log_lifts(exposure, seen, totals.imagined[active])),
        logs_w=_to_fixed_point(discriminant.weights),
        offsets=discriminant.offsets,
        log_prior=_compute_log_prior(totals.seeded_customers),
        common=_compute_common_shares(totals)[active],
        customers=int(totals.customers.sum()),
        gains=Gains.default(len(classes)),
        thresholds=tuple(None if known else NEVER for known in totals.seeded_customers),
        evidence_scale=_compute_uncalibrated_scale(totals),
    )


@dataclass(slots=True)
class _Totals:
    """What weights are derived from: C classes, A tokens.

    ``customers`` and ``events`` (C,), ``slots`` and ``support`` (A,: labelled customers of all
    folds that have the token), ``moments`` (5, C, A). ``shares`` (3, C, A) are the moments of the
    shares and ``exposure`` (C, A) the events in which a token could have been seen: both, and
    ``seeded_customers``, include the seeds. ``imagined`` (A,) are such events of the classes of
    which nothing is known, beside the seeds of others.
    """

    customers: Floats
    events: Floats
    slots: Ints
    support: Ints
    moments: Ints
    shares: Ints
    exposure: Floats
    seeded_customers: Floats
    imagined: Floats
    has_seeds: bool = False


def _sum_totals(sums: Stacked, without_fold: int | None = None) -> _Totals:
    """Add up all folds but one."""
    customers, events = sums.customers.sum(axis=0), sums.events.sum(axis=0)
    moments = sums.moments.sum(axis=1)
    if without_fold is not None:
        customers = customers - sums.customers[without_fold]
        events = events - sums.events[without_fold]
        moments = moments - sums.moments[:, without_fold]
    number, exposed = customers.astype(np.float64), events / SCALE
    return _Totals(
        customers=number,
        events=exposed,
        slots=sums.slots,
        support=sums.moments[COUNT].sum(axis=(0, 1)),
        moments=moments,
        shares=moments[: E2 + 1],
        exposure=np.repeat(exposed[:, None], len(sums.slots), axis=1),
        seeded_customers=number,
        imagined=np.zeros(len(sums.slots)),
    )


def _add_seeds(totals: _Totals, prior: Sums | None, classes: Sequence[Any]) -> _Totals:
    """Widen totals to the seeds' tokens as well, and add the seeds' pseudo-counts.

    Seeds are pseudo-counts of the shares: they never enter the discriminants, since nothing is
    known of their spread, and their events count only for tokens that could have been seeded. A
    weekday that is in no seed is not one on which seeded personas never shop. A seeded token has
    support enough.
    """
    if prior is None or not prior.count_labels():
        return totals
    seeds = _sum_totals(prior.stack(classes))
    slots = np.union1d(totals.slots, seeds.slots)
    own, seeded = np.searchsorted(slots, totals.slots), np.searchsorted(slots, seeds.slots)
    support = np.zeros(len(slots), np.int64)
    support[own] = totals.support
    support[seeded] += MIN_SUPPORT * seeds.moments[COUNT].sum(axis=0)
    moments = np.zeros((*totals.moments.shape[:2], len(slots)), np.int64)
    moments[:, :, own] = totals.moments
    shares = moments[: E2 + 1].copy()
    shares[:, :, seeded] += seeds.shares
    exposure = np.repeat(totals.events[:, None], len(slots), axis=1)
    exposure[:, seeded] += seeds.events[:, None]
    customers = totals.customers + seeds.customers
    imagined = np.zeros(len(slots))
    imagined[seeded] = seeds.events.sum() / np.count_nonzero(seeds.events) * (customers == 0).sum()
    return replace(
        totals,
        slots=slots,
        support=support,
        moments=moments,
        shares=shares,
        exposure=exposure,
        seeded_customers=customers,
        imagined=imagined,
        has_seeds=True,
    )


def _compute_uncalibrated_scale(totals: _Totals) -> float:
    known = float(totals.customers.sum()) + (_SEED_LABELS if totals.has_seeds else 0.0)
    return known**2 / (known**2 + _HALF_WEIGHT_LABELS**2)


def _compute_log_prior(customers: Floats) -> Floats:
    return np.asarray(np.log((customers + 1) / (customers.sum() + max(len(customers), 1))))


def _index_slots(slots: Ints) -> NDArray[np.int32]:
    """Return the row of each slot's weights, -1 where it has none."""
    index = np.full(SLOTS, -1, np.int32)
    index[slots] = np.arange(len(slots), dtype=np.int32)
    return index


def _to_fixed_point(weights: Floats) -> Ints:
    """Return (tokens, C) whole multiples of 2**-20."""
    return np.ascontiguousarray(np.rint(weights.T * SCALE))


def _fit_multinomial(customers: Floats, exposure: Floats, moments: Floats) -> Floats:
    """Return shrunken log-ratios of each class's smoothed share to the common one, (C, tokens).

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


def _compute_common_shares(totals: _Totals) -> Floats:
    """Return the share of events with each token, without seeds: what customers have shown."""
    shown = totals.moments[E].sum(axis=0) / SCALE
    return np.asarray(shown / max(float(totals.events.sum()), 1.0))


def _select_coarse_residuals(
    spread: Spread | None, slots: Ints, without_fold: int | None
) -> Floats | None:
    """Return the residuals of the coarse ones of ``slots``; None if there are none."""
    if spread is None:
        return None
    residuals = spread.compute_residuals(slots[slots < COARSE_SLOTS], without_fold)
    return residuals if residuals.size else None
