"""Naming: from which confidence on personas are named, and which personas are candidates.

One threshold holds for all personas: the least confidence above which the mean confidence reaches
the target, less a quarter of its standard error. It is one half at least, since a name must not be
likelier wrong than right. It rests on calibrated confidence, and not on counts of right names: one
customer more or less moves a mean by little, while the least of many thresholds by count is the
luckiest one. Counts have a veto, persona by persona: where names at the threshold were right too
seldom, that persona needs more confidence, and where there were too few of them to tell, it is not
named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from typing import Any

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
#: Standard errors by which the mean confidence must exceed the target, and by which a persona's
#: share of right names must: of the second there are fewer, and the best of many cuts is chosen.
_STANDARD_ERRORS: Final = 0.25
_STANDARD_ERRORS_OF_PERSONA: Final = 0.5
#: Customers as which the stated confidence counts, beside those of a persona who were named.
_STATED_CUSTOMERS: Final = 10.0


def naming_threshold(confidence: Floats, precision: float) -> float:
    """Return the least confidence from which names are right in the target's share of the cases.

    ``confidence`` (R,) are calibrated probabilities of each customer's likeliest persona,
    ``precision`` is the target. ``NEVER`` when there is none.

    >>> naming_threshold(np.repeat([0.95, 0.75, 0.5], 100), precision=0.8)
    0.75
    >>> naming_threshold(np.repeat([0.95, 0.75, 0.5], 100), precision=0.9)
    0.95
    >>> naming_threshold(np.repeat(0.7, 100), precision=0.8)
    2.0
    """
    ordered = np.sort(confidence[confidence >= LEAST_CONFIDENCE])[::-1]
    number = np.arange(1, len(ordered) + 1)
    least = _lower(np.cumsum(ordered) / number, number, _STANDARD_ERRORS)
    return _last_from(ordered, (least >= precision) & (number >= MIN_NAMED))


def persona_thresholds(
    probabilities: Floats, labels: Ints, precision: float, threshold: float
) -> tuple[float, ...]:
    """Return the least confidence from which each persona is named, ``threshold`` or more.

    ``probabilities`` (R, C), ``labels`` (R,: columns), ``precision`` the share that shall be right.
    A persona's share of right names is estimated from those above a confidence, and from what was
    stated of them as if that were ten customers more. ``NEVER`` where it is too little throughout,
    or where too few customers were named to tell.
    """
    top, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    found = []
    for persona in range(probabilities.shape[1]):
        own = np.flatnonzero((top == persona) & (confidence >= threshold))
        own = own[np.argsort(-confidence[own], kind="stable")]
        stated, number = confidence[own], np.arange(1, len(own) + 1)
        right = np.cumsum(labels[own] == persona)
        mean = np.cumsum(stated) / number
        share = (right + _STATED_CUSTOMERS * mean) / (number + _STATED_CUSTOMERS)
        least = _lower(share, number + _STATED_CUSTOMERS, _STANDARD_ERRORS_OF_PERSONA)
        enough = number >= np.where(mean >= SURE, MIN_NAMED_SURELY, MIN_NAMED)
        cut = _last_from(stated, (least >= precision) & enough)
        found.append(threshold if len(own) and cut == stated[-1] else cut)
    return tuple(found)


def _lower(share: Floats, number: NDArray[Any], standard_errors: float) -> Floats:
    """Return shares of so many customers, less a part of their standard errors."""
    variance = np.maximum(share * (1.0 - share), 0.0)
    return np.asarray(share - standard_errors * np.sqrt(variance / number))


def _last_from(descending: Floats, enough: NDArray[np.bool_]) -> float:
    """Return the last of these confidences at which it is enough; ``NEVER`` when there is none.

    Customers of equal confidence are named together.
    """
    ends = np.append(descending[:-1] != descending[1:], True)[: len(descending)]
    chosen = np.flatnonzero(enough & ends)
    return float(descending[chosen[-1]]) if len(chosen) else NEVER


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
