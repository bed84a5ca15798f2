"""The shoppers whose label would change the model most: the queue of those to label next. Pure.

The measure is the *expected gradient length* (Settles, Craven, Ray, "Multiple-instance active
learning", NIPS 20, 2008). A softmax model of probabilities p that learns label k moves along
(e_k - p) times the shopper's features, so the expected length of the step is the sum over k of
p_k * |e_k - p|, times the length of the features. That grows with the evidence, as
log(1 + evidence), since more of the same adds less and less.
"""

from __future__ import annotations

import math
from collections import defaultdict
from itertools import chain
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: Most shoppers in an answer whose two likeliest personas are the same: one confusion is not to
#: fill it. Some more are kept, since labelled shoppers leave at once.
ALIKE: Final = 4
_SPARE: Final = 2 * ALIKE


class LabelCandidate(Struct, frozen=True, gc=False):
    """A shopper worth labelling; ``updated_at`` is RFC 3339."""

    customer_id: str
    information: float
    evidence: float
    distribution: dict[str, float]
    candidates: list[str]
    updated_at: str


def compute_information(probabilities: Iterable[float], evidence: float) -> float:
    """Return a label's expected gradient length; 0 if the model is certain, or has no evidence.

    >>> round(compute_information([0.5, 0.5], evidence=3), 3)
    0.98
    >>> compute_information([1.0, 0.0], evidence=3)
    0.0
    """
    shares = list(probabilities)
    squares = sum([p * p for p in shares])
    length = sum([p * math.sqrt(max(0.0, 1.0 - 2.0 * p + squares)) for p in shares])
    return length * math.log1p(max(0.0, evidence))


def find_likeliest_pair(distribution: Mapping[str, float]) -> frozenset[str]:
    """Return the two likeliest personas."""
    return frozenset(sorted(distribution, key=distribution.__getitem__)[-2:])


class CandidateQueue:
    """The most informative of the shoppers that were offered: a few of each pair of personas."""

    def __init__(self) -> None:
        self._alike: defaultdict[frozenset[str], dict[str, LabelCandidate]] = defaultdict(dict)
        self._least: dict[frozenset[str], float] = {}

    def has_room_for(self, alike: frozenset[str], worth: float) -> bool:
        """Return whether a shopper of this pair and information would be kept."""
        return worth > self._least.get(alike, -1.0)

    def offer(self, candidate: LabelCandidate) -> None:
        """Keep a shopper, unless there are enough more informative ones of the same pair."""
        self.drop(candidate.customer_id)  # a scan may return a shopper twice, and changed meanwhile
        key = find_likeliest_pair(candidate.distribution)
        alike = self._alike[key]
        alike[candidate.customer_id] = candidate
        if len(alike) > _SPARE:
            del alike[max(alike.values(), key=_rank).customer_id]
            self._least[key] = min(each.information for each in alike.values())

    def drop(self, customer_id: str) -> None:
        """Drop a shopper, queued or not."""
        for key, alike in self._alike.items():
            if alike.pop(customer_id, None) is not None:
                self._least.pop(key, None)

    def list_best(self, limit: int) -> list[LabelCandidate]:
        """Return the most informative first; at most ``ALIKE`` of each pair."""
        few = (sorted(alike.values(), key=_rank)[:ALIKE] for alike in self._alike.values())
        return sorted(chain.from_iterable(few), key=_rank)[:limit]


def _rank(candidate: LabelCandidate) -> tuple[float, str]:
    return -candidate.information, candidate.customer_id
