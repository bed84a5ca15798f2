"""What a shopper buys and looks at more than others do: a second factor of a ranking.

**Formula.** A shopper's record holds the decayed share q(t) of their events with each category and
product type t, and their effective number of events n. Against the common share p(t), that of all
labelled customers, the *lift* of t is shrunken by K events that are like anybody's ::

    lift(t) = (n * q(t) + K * p(t)) / ((n + K) * p(t))

An item has at most two such tokens, the most specific known level of its category and its
``attributes.product_type``. Its *own factor* is ::

    O = exp(sum over t of log lift(t) / sqrt(number of t)), between e**-3 and e**4

and its score is multiplied by ``O ** own`` (divided below zero), beside the persona's factor, and
never mixed with it. ``own`` 0 leaves every score as it is.

**Source.** Shrinkage towards the common share is the smoothing of a multinomial with a Dirichlet
prior of K events (Zhai, Lafferty, "A Study of Smoothing Methods for Language Models Applied to Ad
Hoc Information Retrieval", SIGIR 2001); the root lies between independent tokens and tokens that
repeat each other, as in ``ranking``. K and the strengths below were chosen on training households
(``make bench-rank ARGS=--strengths``): K makes little difference up to 20, which doubts short
histories most, and costs beyond. A strength of .7 is best for a search and for "for you". Beside
products in a basket it is less, .3, and at .7 worse than nothing: what goes with a basket is mostly
what everybody buys then. To leave out what is in the basket already gained nothing over that.

**Names.** Tokens that fewer than three shoppers have are no tastes. Of a slot that holds another
token as well nobody can say which of them a shopper has: it moves items, and is no reason.

A share that the stored tastes left out (they are bounded) is taken for common, or for the least
share that they have, whichever is less: what is merely not stored counts as disliked by nobody.

This module needs nothing but the standard library.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from stream_persona.client.models import UNKNOWN, UNREACHABLE, UNREADABLE
from stream_persona.client.ranking import REASONS, Ranked, Reason, tokenize_item
from stream_persona.domain.taste_bytes import FEATURES, StoredTastes, TastesError, decode_tastes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from stream_persona.domain.common_tastes import CommonShare

#: The strength for search and "for you", and the one beside a basket; and the greatest.
RECOMMENDED: Final = 0.7
BESIDE_BASKET: Final = 0.3
MOST_OWN: Final = 10.0
#: Events, like anybody's, that a shopper's own are added to.
PRIOR_EVENTS: Final = 20.0
#: Bounds of the logarithm of an item's factor.
LEAST_LOG: Final = -3.0
MOST_LOG: Final = 4.0

_BEGINNINGS: Final = tuple(f"{feature}:" for feature in FEATURES)


class CommonShares:
    """How common each category and product type is, by canonical token.

    ``taxonomy`` is the version of the taxonomy that the slots are of.
    """

    def __init__(self, shares: Mapping[str, CommonShare] | None = None, taxonomy: str = "") -> None:
        self._shares = shares or {}
        self.taxonomy = taxonomy

    def __bool__(self) -> bool:
        return bool(self._shares)

    @property
    def shares(self) -> Mapping[str, CommonShare]:
        """The share of each token."""
        return self._shares

    def find(self, item: Mapping[str, Any], separator: str) -> Iterator[tuple[str, CommonShare]]:
        """Yield the tokens of an item that are tastes, the most specific known of a group."""
        for group in tokenize_item(item, separator):
            if group[0].startswith(_BEGINNINGS):
                known = next((token for token in group if token in self._shares), None)
                if known is not None:
                    yield known, self._shares[known]


class Own(NamedTuple):
    """A shopper's own tastes, and how far they move scores; ``fallback`` is why they move none."""

    strength: float = 0.0
    tastes: StoredTastes | None = None
    common: CommonShares | None = None
    fallback: str | None = None


#: Own tastes that are switched off.
OFF: Final = Own()


def find_own(customer_id: str, blob: bytes | None, common: CommonShares, strength: float) -> Own:
    """Return a customer's own tastes as stored, None where there are none; no bytes raise."""
    if blob is None:
        return Own(strength, fallback=UNKNOWN)
    try:
        tastes = decode_tastes(customer_id, blob)
    except TastesError:
        return Own(strength, fallback=UNREADABLE)
    if not common:
        return Own(strength, fallback=UNREACHABLE)
    if tastes.taxonomy != common.taxonomy:  # nobody knows any more what its slots mean
        return Own(strength, fallback=UNREADABLE)
    return Own(strength, tastes, common)


def apply_own(ranked: Iterable[Ranked], own: Own, separator: str = "/") -> list[Ranked]:
    """Move ranked items by own tastes; equal scores stay in the caller's order."""
    in_order = sorted(ranked, key=lambda each: each.position)
    if own.tastes is not None and own.common is not None and own.strength:
        tastes, common, logs = own.tastes, own.common, dict[int, float]()
        in_order = [
            _move(each, _find_logs(common.find(each.item, separator), tastes, logs), own.strength)
            for each in in_order
        ]
    return sorted(in_order, key=lambda each: -each.score)


def log_lift(tastes: StoredTastes, slot: int, common: float) -> float:
    """Return the logarithm of a token's shrunken lift for a shopper."""
    share = tastes.shares.get(slot)
    if share is None:
        share = min(common, tastes.floor)
    events = tastes.events
    return math.log((events * share + PRIOR_EVENTS * common) / ((events + PRIOR_EVENTS) * common))


def _find_logs(
    found: Iterable[tuple[str, CommonShare]], tastes: StoredTastes, logs: dict[int, float]
) -> list[tuple[str | None, float]]:
    """Return the logarithms of lifts with their tokens, None of one that is no reason.

    ``logs`` are those known by slot.
    """
    of_item: list[tuple[str | None, float]] = []
    for token, (slot, common, is_reason) in found:
        log = logs.get(slot)
        if log is None:
            log = logs[slot] = log_lift(tastes, slot, common)
        of_item.append((token if is_reason else None, log))
    return of_item


def _move(ranked: Ranked, logs: Sequence[tuple[str | None, float]], strength: float) -> Ranked:
    if not logs:
        return ranked
    total = sum(log for _, log in logs) / math.sqrt(len(logs))
    factor = math.exp(max(LEAST_LOG, min(MOST_LOG, total)))
    moved, score = factor**strength, ranked.score
    return ranked._replace(
        score=score * moved if score >= 0 else score / moved, own=factor, why_own=_explain(logs)
    )


def _explain(logs: Sequence[tuple[str | None, float]]) -> tuple[Reason, ...]:
    """Return the lifts of an item's tokens that are reasons, those that moved it most first."""
    reasons = []
    for token, log in sorted(logs, key=lambda each: -abs(each[1])):
        if token is not None:
            feature, _, value = token.partition(":")
            reasons.append(Reason(feature, value, math.exp(log)))
    return tuple(reasons[:REASONS])
