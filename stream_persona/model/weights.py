"""Predicts from weights of tokens, in three views whose evidence is weighted by gains.

Scores are integer sums over tokens, so a prediction does not depend on the order of anything, on
the split over workers or on the rows it is computed with.

The same tokens are read in three views: shares of all tokens against a smoothed multinomial with
shrunken log-ratios, and a linear discriminant with shrunken centroids on log(1 + 200 q), for
coarse and for fine tokens apart (``estimator`` and ``discriminant`` have the formulas). The *gain*
of a view's evidence depends on the persona and on the number of events (``gains``); ``calibration``
fits it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from scipy.sparse import csr_array

from stream_persona.domain.features import SCALE, Profiles
from stream_persona.domain.log_share import compute_log_share
from stream_persona.domain.slots import COARSE_SLOTS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stream_persona.model.confidence import ConfidenceStep
    from stream_persona.model.gains import Gains

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]
    Positions = NDArray[np.int32]


#: The unit of the products of two fixed-point numbers; a power of two, so that to divide by it
#: changes no bits.
_UNIT: Final = 1.0 / float(SCALE) ** 2


@dataclass(frozen=True, slots=True)
class Weights:
    """The package's own ``Predictor``, derived from a model's sums; immutable.

    ``lifts_w`` (tokens, classes) are the logarithms of lifts, for people and rankers: they predict
    nothing. They have the rows and the unit of the weights.

    ``index`` maps a slot to its row in ``shares_w`` and ``logs_w`` (tokens, classes; integers in
    2**-20), -1 where the token has no weight. ``offsets`` (2, classes) are the discriminants'
    constants for coarse and fine tokens, ``log_prior`` (classes,). ``common`` (tokens,) is the
    share of all labelled customers' events with a token, 0 where none has it. ``evidence_scale``
    (0 to 1) scales the evidence of all views: it is less than 1 where few labels support it.
    ``confidence`` is the last step of a measured calibration.
    """

    classes: tuple[str, ...]
    index: Positions
    shares_w: Ints
    lifts_w: Ints
    logs_w: Ints
    offsets: Floats
    log_prior: Floats
    common: Floats
    customers: int
    gains: Gains
    thresholds: tuple[float | None, ...]
    version: str = ""
    evidence_scale: float = 1.0
    confidence: ConfidenceStep | None = None
    threshold: float | None = None
    candidate_floor: float | None = None

    @property
    def weighted_slots(self) -> Ints:
        """The slots of the tokens that have a weight of their own, ascending."""
        return np.flatnonzero(self.index >= 0)

    def compute_logits(self, profiles: Profiles) -> Floats:
        """Return unnormalised log-probabilities before the last step, (rows, classes)."""
        evidence = self.gains.compute_bias(profiles.events)
        evidence += (self.gains.compute(profiles.events) * self.compute_views(profiles)).sum(axis=0)
        return np.asarray(self.log_prior + self.evidence_scale * evidence)

    def compute_views(self, profiles: Profiles) -> Floats:
        """Return the views' scores, (3, rows, classes), each summed in the order of its slots."""
        position = self.index[profiles.slots]
        kept = position >= 0
        before = np.concatenate(([0], np.cumsum(kept)))
        starts, middles = before[profiles.starts], before[profiles.middles]
        shares, position = profiles.shares[kept], position[kept]
        rows, unit = len(profiles), float(SCALE) ** 2
        halves = np.empty(2 * rows + 1, np.int64)
        halves[0::2], halves[1::2] = starts, middles
        q, p = np.rint(shares * SCALE), np.rint(compute_log_share(shares) * SCALE)
        first = _sum_rows(q, position, starts, self.shares_w)
        second = _sum_rows(p, position, halves, self.logs_w)
        coarse, fine = second[0::2] / unit, second[1::2] / unit
        return np.stack([first / unit, coarse + self.offsets[0], fine + self.offsets[1]])

    def predict_probabilities(self, profiles: Profiles) -> Floats:
        """Return the posterior over ``classes``, (rows, classes); each row sums to 1."""
        if len(profiles) == 1:
            return _predict_row(self, _read_row(self, profiles))[None]
        logits = self.compute_logits(profiles)
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        found = odds / odds.sum(axis=1, keepdims=True)
        return found if self.confidence is None else self.confidence.apply(found, profiles.events)

    def compute_contributions(self, profiles: Profiles) -> tuple[Ints, Ints, Floats]:
        """Return row and slot of each weighted token; what it adds to logits, (tokens, classes)."""
        if len(profiles) == 1:
            seen = _read_row(self, profiles)
            return np.zeros(len(seen.slots), np.int64), seen.slots, _weigh_row(self, seen)
        position = self.index[profiles.slots]
        kept = position >= 0
        rows = np.repeat(np.arange(len(profiles)), np.diff(profiles.starts))[kept]
        slots, shares, position = profiles.slots[kept], profiles.shares[kept], position[kept]
        first, second, third = self._compute_gain(profiles.events)
        unit = float(SCALE) ** 2
        q, p = np.rint(shares * SCALE), np.rint(compute_log_share(shares) * SCALE)
        # By a power of two before or after the product: the same bits, and fewer divisions. In
        # place, since there is a row of each array for each token.
        added, view = (
            first[rows],
            np.concatenate([second, third])[rows + _mark_fine(slots) * len(first)],
        )
        added *= (q / unit)[:, None]
        added *= self.shares_w[position]
        view *= (p / unit)[:, None]
        view *= self.logs_w[position]
        added += view
        return rows, slots, added

    def predict_one(self, profile: Profiles) -> tuple[Floats, Ints, Floats]:
        """Return the posterior of one row; its weighted tokens, and what each adds to logits."""
        seen = _read_row(self, profile)
        return _predict_row(self, seen), seen.slots, _weigh_row(self, seen)

    def compute_share_log_ratios(self, slots: Ints) -> Floats:
        """Return the log-lifts of weighted tokens under the classes, (slots, classes)."""
        return np.asarray(self.lifts_w[self.index[slots]] / SCALE)

    def list_common_shares(self) -> tuple[Ints, Floats]:
        """Return the slots of tokens that labelled customers have, and their common shares."""
        slots = self.weighted_slots
        shares = self.common[self.index[slots]]
        return slots[shares > 0], shares[shares > 0]

    def _compute_gain(self, events: Floats) -> Floats:
        return self.evidence_scale * self.gains.compute(events)


def _sum_rows(values: Floats, position: Positions, starts: Ints, weights: Ints) -> Floats:
    """Sum values times weights in each row, from each of ``starts`` to the next.

    They are whole numbers below 2**53, summed row by row in the order of slots.
    """
    shape = (len(starts) - 1, len(weights))
    return np.asarray(csr_array((values, position, starts), shape=shape) @ weights)


def _mark_fine(slots: Ints) -> Ints:
    """Return 1 for each slot of a fine token, 0 for a coarse one's."""
    return (slots >= COARSE_SLOTS).astype(np.int64)


class _Row(NamedTuple):
    """The weighted tokens of one shopper.

    The first ``coarse`` ones are coarse. ``shares`` and ``logs`` (tokens,) are what the views see
    of them, ``shares_w`` and ``logs_w`` (tokens, classes) their weights, all of them whole numbers.
    ``gains`` are (3, classes).
    """

    events: float
    slots: Ints
    coarse: int
    shares: Floats
    logs: Floats
    shares_w: Floats
    logs_w: Floats
    gains: Floats


def _read_row(weights: Weights, profile: Profiles) -> _Row:
    """Look up the tokens of a profile of one row.

    A request is about some dozen tokens, for which to call numpy takes longer than what it does
    then. So they are looked up once for the probabilities and for their reasons, there are no rows
    to keep apart, and what is one number is a number of Python's. Both together take 60 us instead
    of 160, to the same bits.
    """
    position = weights.index.take(profile.slots)
    kept = (position >= 0).nonzero()[0]
    position, shares = position.take(kept), profile.shares.take(kept)
    events = float(profile.events[0])
    return _Row(
        events,
        profile.slots.take(kept),
        int(kept.searchsorted(profile.middles[0])),
        np.rint(shares * SCALE),
        np.rint(compute_log_share(shares) * SCALE),
        weights.shares_w.take(position, axis=0).astype(np.float64),
        weights.logs_w.take(position, axis=0).astype(np.float64),
        weights.gains.compute_for_one(events),
    )


def _predict_row(weights: Weights, seen: _Row) -> Floats:
    """Return the posterior over ``classes``, (classes,)."""
    views, coarse = np.empty_like(seen.gains), seen.coarse
    # Sums of whole numbers below 2**53, which are exact in any order.
    np.matmul(seen.shares, seen.shares_w, out=views[0])
    np.matmul(seen.logs[:coarse], seen.logs_w[:coarse], out=views[1])
    np.matmul(seen.logs[coarse:], seen.logs_w[coarse:], out=views[2])
    views *= _UNIT
    views[1:] += weights.offsets
    views *= seen.gains
    evidence = weights.gains.compute_bias_for_one(seen.events)
    evidence += views.sum(axis=0)
    logits = weights.log_prior + weights.evidence_scale * evidence
    odds = np.exp(logits - logits.max())
    found: Floats = odds / odds.sum()
    step = weights.confidence
    return found if step is None else step.apply_to_one(found, seen.events)


def _weigh_row(weights: Weights, seen: _Row) -> Floats:
    """Return what each token adds to the logits, (tokens, classes)."""
    first, second, third = weights.evidence_scale * seen.gains
    coarse, logs = seen.coarse, (seen.logs * _UNIT)[:, None]
    added: Floats = first * (seen.shares * _UNIT)[:, None]
    added *= seen.shares_w
    view = np.empty_like(added)
    np.multiply(second, logs[:coarse], out=view[:coarse])
    np.multiply(third, logs[coarse:], out=view[coarse:])
    view *= seen.logs_w
    added += view
    return added
