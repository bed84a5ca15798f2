"""Predicts for one shopper, with the same bits as ``weights`` for many.

A request is about some dozen tokens, for which to call numpy takes longer than what it does then.
So the tokens are looked up once for the probabilities and for their reasons, there are no rows to
keep apart, and what is one number is a number of Python's. Both together take a third of the time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from stream_persona.domain.features import SCALE
from stream_persona.domain.log_share import log_share

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stream_persona.domain.features import Profiles
    from stream_persona.model.weights import Weights

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

#: The unit of the products of two fixed-point numbers; a power of two, so that to divide by it
#: changes no bits.
_UNIT = 1.0 / float(SCALE) ** 2


class Reading(NamedTuple):
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


def read(weights: Weights, profile: Profiles) -> Reading:
    """Look up the tokens of a profile of one row."""
    position = weights.index.take(profile.slots)
    kept = (position >= 0).nonzero()[0]
    position, shares = position.take(kept), profile.shares.take(kept)
    events = float(profile.events[0])
    return Reading(
        events,
        profile.slots.take(kept),
        int(kept.searchsorted(profile.middles[0])),
        np.rint(shares * SCALE),
        np.rint(log_share(shares) * SCALE),
        weights.shares_w.take(position, axis=0).astype(np.float64),
        weights.logs_w.take(position, axis=0).astype(np.float64),
        weights.gains.at_one(events),
    )


def probabilities(weights: Weights, seen: Reading) -> Floats:
    """Return the posterior over ``classes``, (classes,)."""
    views, coarse = np.empty_like(seen.gains), seen.coarse
    # Sums of whole numbers below 2**53, which are exact in any order.
    np.matmul(seen.shares, seen.shares_w, out=views[0])
    np.matmul(seen.logs[:coarse], seen.logs_w[:coarse], out=views[1])
    np.matmul(seen.logs[coarse:], seen.logs_w[coarse:], out=views[2])
    views *= _UNIT
    views[1:] += weights.offsets
    views *= seen.gains
    evidence = weights.gains.bias_at_one(seen.events)
    evidence += views.sum(axis=0)
    logits = weights.log_prior + weights.evidence_scale * evidence
    odds = np.exp(logits - logits.max())
    found: Floats = odds / odds.sum()
    step = weights.confidence
    return found if step is None else step.apply_to_one(found, seen.events)


def evidence(weights: Weights, seen: Reading) -> Floats:
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
