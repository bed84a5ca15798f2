"""Naming: from which confidence on personas are named, and which personas are candidates.

One threshold holds for all personas: the least confidence above which the mean confidence reaches
the target, less a quarter of its standard error. It is one half at least, since a name must not be
likelier wrong than right. It rests on calibrated confidence, and not on counts of right names: one
customer more or less moves a mean by little, while the least of many thresholds by count is the
luckiest one.

Counts have a veto, persona by persona. Where names at the threshold were right more seldom than was
stated, that persona's log-odds are lowered by as much, and what then reaches the target is named;
where there were too few names to judge by, the persona is not named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.special import expit, logit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

#: A threshold that no confidence reaches.
NEVER: Final = 2.0
#: No persona is named at less.
LEAST_CONFIDENCE: Final = 0.5
#: Fewer named customers than this, of all and of one persona, do not show how often names are
#: right; of a persona whose names were as good as certain, fewer do.
MIN_NAMED: Final = 10
MIN_NAMED_SURELY: Final = 5
SURE: Final = 0.95
#: Standard errors by which a mean confidence, and a persona's share of right names, must exceed the
#: target.
_STANDARD_ERRORS: Final = 0.25
#: Customers as which the stated confidence counts, beside those of a persona who were named.
_STATED_CUSTOMERS: Final = 20.0
#: Log-odds of stated confidence end here.
_MOST: Final = 0.9995


def find_naming_threshold(confidence: Floats, precision: float) -> float:
    """Return the least confidence from which names are right in the target's share of the cases.

    ``confidence`` (R,) are calibrated probabilities of each customer's likeliest persona,
    ``precision`` is the target. ``NEVER`` when there is none.

    >>> find_naming_threshold(np.repeat([0.95, 0.75, 0.5], 100), precision=0.8)
    0.75
    >>> find_naming_threshold(np.repeat([0.95, 0.75, 0.5], 100), precision=0.9)
    0.95
    >>> find_naming_threshold(np.repeat(0.7, 100), precision=0.8)
    2.0
    """
    ordered = np.sort(confidence[confidence >= LEAST_CONFIDENCE])[::-1]
    number = np.arange(1, len(ordered) + 1)
    mean = np.cumsum(ordered) / number
    least = mean - _STANDARD_ERRORS * np.sqrt(np.maximum(mean * (1.0 - mean), 0.0) / number)
    return _find_last(ordered, (least >= precision) & (number >= MIN_NAMED))


def find_persona_thresholds(
    probabilities: Floats, labels: Ints, precision: float, threshold: float
) -> tuple[float, ...]:
    """Return the least confidence from which each persona is named, ``threshold`` or more.

    ``probabilities`` (R, C), ``labels`` (R,: columns), ``precision`` the share that shall be right.
    A persona's share of right names is estimated from those at ``threshold`` or above, and from
    what was stated of them as if that were twenty customers more. ``NEVER`` where too few customers
    were named to judge by, or where no confidence is enough.
    """
    top, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    right = (labels == top).astype(np.float64)
    found = []
    for persona in range(probabilities.shape[1]):
        own = (top == persona) & (confidence >= threshold)
        found.append(_find_persona_threshold(confidence[own], right[own], precision, threshold))
    return tuple(found)


def _find_persona_threshold(
    confidence: Floats, right: Floats, precision: float, threshold: float
) -> float:
    """Find one persona's threshold, by the ``confidence`` and ``right`` (1 or 0) of its names."""
    number, stated = len(confidence), float(confidence.mean()) if len(confidence) else 0.0
    if number < (MIN_NAMED_SURELY if stated >= SURE else MIN_NAMED):
        return NEVER
    share = _estimate_right_share(right, stated, -_STANDARD_ERRORS)
    if share >= precision:
        return threshold
    ordered = np.sort(confidence)[::-1]
    lowered = expit(logit(np.minimum(ordered, _MOST)) - (logit(stated) - logit(share)))
    mean, each = np.cumsum(lowered) / np.arange(1, number + 1), np.arange(1, number + 1)
    cut = _find_last(ordered, (mean >= precision) & (each >= MIN_NAMED_SURELY))
    # Where more confidence does not mean more right names, lowering it was no remedy.
    kept = right[confidence >= cut]
    holds = len(kept) > 0 and _estimate_right_share(kept, precision, _STANDARD_ERRORS) >= precision
    return cut if holds else NEVER


def _estimate_right_share(right: Floats, stated: float, standard_errors: float) -> float:
    """Estimate the share of right names, shifted by ``standard_errors`` of its standard errors."""
    number = len(right) + _STATED_CUSTOMERS
    share = (float(right.sum()) + _STATED_CUSTOMERS * stated) / number
    return share + standard_errors * float(np.sqrt(share * (1.0 - share) / number))


def _find_last(descending: Floats, enough: NDArray[np.bool_]) -> float:
    """Return the last of these confidences at which it is enough; ``NEVER`` when there is none.

    Customers of equal confidence are named together.
    """
    ends = np.append(descending[:-1] != descending[1:], True)[: len(descending)]
    chosen = np.flatnonzero(enough & ends)
    return float(descending[chosen[-1]]) if len(chosen) else NEVER


def find_conformal_floor(probabilities: Floats, labels: Ints, coverage: float) -> float:
    """Return the probability that the true persona has at least in ``coverage`` of the cases.

    ``probabilities`` (R, C), ``labels`` (R,: columns). Split-conformal sets of least average size
    hold all personas of that probability or more (Sadinle, Lei, Wasserman, "Least Ambiguous
    Set-Valued Classifiers with Bounded Error Levels", JASA 2019).

    >>> true = np.arange(1, 10) / 10
    >>> probabilities, labels = np.stack([true, 1 - true], axis=1), np.repeat(0, 9)
    >>> [find_conformal_floor(probabilities, labels, coverage) for coverage in (0.5, 0.75, 0.99)]
    [0.5, 0.2, 0.0]
    """
    true = np.sort(probabilities[np.arange(len(labels)), labels])
    rank = int(np.floor((len(true) + 1) * (1.0 - coverage)))
    return float(true[rank - 1]) if rank else 0.0
