"""Derives lifts of tokens under each class, for people and for rankers.

A lift is how much likelier a token is in an event of this class than in any. It is shrunken to 1 as
the posterior mean of a gamma distribution: where n customers of the class have the token and c were
to be expected, it is ::

    (n + K) / (c + K)

That is (n_pf + k P(f)) / (n_p + k) over P(f), with a k of which K are to be expected. What three
customers have is then no persona's mark, and not impossible to all the others either; what hundreds
have is taken at its word. A customer's events are no independent witnesses, however many they are:
n and c count customers, as events times their (sum of e) / (sum of e^2), so that all of them
together are Kish's effective number (Kish, "Survey Sampling", 1965).

Predictions have weights of their own (``estimator``): these add up over all tokens of a shopper and
are held to account by the calibration. A lift is read alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from stream_persona.domain.features import SCALE
from stream_persona.model.statistics import COUNT, E2, E

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

#: K: the customers as which a lift of 1 counts. ``make bench-rank ARGS=--lifts`` tries others.
PRIOR_CUSTOMERS: Final = 5.0


def shrink_log_lifts(
    exposure: Floats,
    moments: Ints,
    imagined: Floats | float = 0.0,
    prior: float = PRIOR_CUSTOMERS,
) -> Floats:
    """Return the logarithm of each token's lift under each class, (C, tokens).

    ``exposure`` (C, tokens) are the events in which a token could have been seen, ``moments``
    (3, C, tokens) the first three sums of ``statistics``. ``imagined`` (tokens,) are events without
    the token, of the classes of which nothing is known: what the seeds of a single class say would
    be common to all otherwise. The lifts of a class without events are 1.
    """
    own, squares = moments[E] / SCALE, moments[E2].sum(axis=0) / SCALE
    events = own.sum(axis=0)
    # Squares of small shares are rounded to nothing; customers who are all alike have the least.
    squares = np.maximum(squares, events**2 / np.maximum(moments[COUNT].sum(axis=0), 1))
    per_event = events / np.where(squares > 0, squares, 1.0)
    expected = exposure * (events / np.maximum(exposure.sum(axis=0) + imagined, 1.0))
    return np.asarray(np.log((own * per_event + prior) / (expected * per_event + prior)))
