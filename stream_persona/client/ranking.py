"""Ranks items for a shopper: the caller's own scores, moved by what the shopper's personas like.

**Formula.** An item's features are looked up in ``persona-affinity:*``, where the lift of a feature
f under persona k is P(f | k) / P(f). With the shopper's distribution p over the personas, the
item's *affinity* is ::

    A = sum over k of p(k) * exp(sum over f of log lift(f, k) / sqrt(number of f))

and its new score is ``score * A ** strength`` (``score / A ** strength`` below zero, so that more
affinity never means a lower rank). The distribution is mixed, and not its likeliest persona taken
alone, since the distribution is what is known of the shopper. The root lies between independent
features (their lifts multiply) and features that repeat each other (the mean of their logarithms
counts). Strength 0 leaves every score as it is.

When to rank at all is the subject of ``decision``. This module needs nothing but the standard
library.
"""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache
from itertools import repeat
from operator import add, attrgetter, mul, truediv
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from stream_persona.client.item_features import (
    list_features,
    list_key_features,
    make_key,
    read_fields,
    tokenize,
    tokenize_item,
)
from stream_persona.domain.binning import canonicalize_token

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from stream_persona.client.item_features import Feature, Key

#: How far the affinity moves a score, and the strength beyond which nothing is left of the score.
STRENGTH: Final = 1.0
MOST_STRENGTH: Final = 10.0
#: A lift beyond this, or below its inverse, counts as this.
MOST_LIFT: Final = 20.0
#: Most reasons of an item.
REASONS: Final = 3

_MOST_LOG = math.log(MOST_LIFT)
#: Two numbers are added in half the time that ``sum`` takes, to the same bits. Of three, newer
#: versions of Python round a sum only once.
_PAIR: Final = 2
#: A token, and the logarithms of its lifts by persona.
Found = tuple[str, list[float]]


class _Row(NamedTuple):
    """A token with lifts: its parts, and by persona the logarithms of its lifts and the lifts."""

    feature: str
    value: str
    logs: list[float]
    lifts: list[float]


class _Features(NamedTuple):
    """What is known of an item: tokens with lifts, and what they are."""

    tokens: tuple[str, ...] = ()
    rows: tuple[_Row, ...] = ()


class Reason(NamedTuple):
    """A feature, and how much likelier it is under the persona, or for the shopper, than at all."""

    feature: str
    value: str
    lift: float


class Ranked(NamedTuple):
    """An item in its new place.

    ``item`` is the caller's own, ``position`` was its place (from 0), ``score`` is the new one (the
    caller's where nothing was moved), ``why`` are the features that moved it most. ``own`` and
    ``why_own`` are the same of the shopper's own tastes (``own_tastes``): 1 and none while off.
    """

    item: Mapping[str, Any]
    position: int
    score: float
    affinity: float
    why: tuple[Reason, ...] = ()
    own: float = 1.0
    why_own: tuple[Reason, ...] = ()


class Affinities:
    """How likely each feature is under each persona, against how likely it is at all.

    ``lifts`` are those of ``persona-affinity:<persona>``: token -> lift, by persona. Tokens are
    compared in their canonical form.
    """

    def __init__(self, lifts: Mapping[str, Mapping[str, float]]) -> None:
        self.personas = tuple(lifts)
        self._liking = frozenset(persona for persona, own in lifts.items() if own)
        self._logs: dict[str, list[float]] = {}
        #: Those that were asked for: what does not depend on the shopper is worked out once.
        self._rows: dict[str, _Row] = {}
        #: Catalogues repeat themselves: what is found for an item is kept.
        self._find_cached = lru_cache(maxsize=16_384)(self._find_by_key)
        for column, own in enumerate(lifts.values()):
            for shared, lift in own.items():
                for shown in {shared, *shared.split(" | ")}:  # two tokens of a slot share its lift
                    token = canonicalize_token(shown) or shown
                    if token != shown and token in own:
                        continue  # as an older version has counted it
                    row = self._logs.setdefault(token, [0.0] * len(self.personas))
                    row[column] = _clip_log(lift)

    def __bool__(self) -> bool:
        return bool(self._logs)

    def has_any(self, personas: Iterable[str]) -> bool:
        """Whether there are lifts of any of these personas."""
        return not self._liking.isdisjoint(personas)

    def find(self, groups: Sequence[Sequence[str]]) -> list[Found]:
        """Return the first token with lifts of each group, and their logarithms by persona."""
        return [found for group in groups if (found := self._find_first(group)) is not None]

    def find_in(self, item: Mapping[str, Any], separator: str) -> _Features:
        """As ``find``, of the groups of an item, with all that rankings use."""
        key = make_key(item, separator)
        return (
            self._find_features(list_features(item, separator))
            if key is None
            else (self._find_cached(key))
        )

    def _find_first(self, group: Sequence[str]) -> Found | None:
        for token in group:
            if logs := self._logs.get(token):
                return token, logs
        return None

    def _find_features(self, features: Iterable[Feature]) -> _Features:
        found = self.find([tokenize(feature) for feature in features])
        rows = tuple([self._look_up(token, logs) for token, logs in found])
        return _Features(tuple([token for token, _ in found]), rows)

    def _look_up(self, token: str, logs: list[float]) -> _Row:
        row = self._rows.get(token)
        if row is None:
            feature, _, value = token.partition(":")
            row = self._rows[token] = _Row(feature, value, logs, list(map(math.exp, logs)))
        return row

    def _find_by_key(self, key: Key) -> _Features:
        return self._find_features(list_key_features(key))


def rank(
    items: Sequence[Mapping[str, Any]],
    distribution: Mapping[str, float],
    affinities: Affinities,
    strength: float = STRENGTH,
    separator: str = "/",
) -> list[Ranked]:
    """Order items by falling new score; equal ones stay in the caller's order.

    An item's ``score`` is any finite number; an item without one has the inverse of its place,
    counted from 1.
    """
    mixture = _Mixture([distribution.get(persona, 0.0) for persona in affinities.personas])
    moved = [
        _move(item, position, mixture, affinities.find_in(item, separator), strength)
        for position, item in enumerate(items)
    ]
    return sorted(moved, key=_SCORE, reverse=True)


def keep_order(items: Iterable[Mapping[str, Any]]) -> list[Ranked]:
    """Return the items in the caller's order, with the caller's scores."""
    return [
        Ranked(item, position, score_of(item, position), 1.0) for position, item in enumerate(items)
    ]


def score_of(item: Mapping[str, Any], position: int) -> float:
    """Return the caller's score, or the inverse of an item's place, counted from 1."""
    score = read_fields(item).get("score")
    if type(score) is float and math.isfinite(score):  # as nearly all
        return score
    try:
        number = float(score) if isinstance(score, int | float) else math.nan
    except OverflowError:
        number = math.nan
    return number if math.isfinite(number) else 1.0 / (position + 1)


def is_held_out(customer_id: str, share: float, salt: str = "") -> bool:
    """Whether a customer is in the share that keeps the baseline, for comparison.

    ``salt`` is the salt of the hash that draws the group: the same one draws the same customers on
    every machine, another one another group. A larger share holds all customers of a smaller one.
    """
    digest = hashlib.blake2b(f"{salt}\0{customer_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) < share * 2.0**64


class _Mixture:
    """A shopper's shares of personas, and what they make of tokens: each worked out once."""

    def __init__(self, shares: Sequence[float]) -> None:
        self._rest = max(0.0, 1.0 - sum(shares))  # unknown, and moves nothing
        self._columns = [column for column, share in enumerate(shares) if share]
        self._shares = [shares[column] for column in self._columns]
        self._has_all = len(self._shares) == len(shares)
        self._tokens: dict[str, _Token] = {}
        self._known: dict[tuple[str, ...], tuple[float, tuple[Reason, ...]]] = {}

    def explain(self, found: _Features) -> tuple[float, tuple[Reason, ...]]:
        """Return the affinity of an item with these tokens, and the features that move it most."""
        known = self._known.get(found.tokens)
        if known is None:
            known = self._known[found.tokens] = self._explain(found)
        return known

    def _explain(self, found: _Features) -> tuple[float, tuple[Reason, ...]]:
        own = list(map(self._look_up, found.tokens, found.rows))
        if len(own) == 1:  # to whose logarithms nothing is added
            return own[0].reason.lift, (own[0].reason,)
        # Functions of C over iterators: a loop of Python's takes longer than what is computed.
        logs = [each.logs for each in own]
        totals = map(add, *logs) if len(logs) == _PAIR else map(sum, zip(*logs, strict=True))
        lifts = map(math.exp, map(truediv, totals, repeat(math.sqrt(len(own)))))
        affinity = self._rest + sum(map(mul, self._shares, lifts))
        own.sort(key=_STILLNESS)
        return affinity, tuple([each.reason for each in own[:REASONS]])

    def _look_up(self, token: str, row: _Row) -> _Token:
        known = self._tokens.get(token)
        if known is None:
            feature, value, logs, lifts = row
            if not self._has_all:
                logs = [logs[column] for column in self._columns]
                lifts = [lifts[column] for column in self._columns]
            lift = self._rest + sum(map(mul, self._shares, lifts))
            known = _Token(logs, -abs(math.log(lift)), Reason(feature, value, lift))
            self._tokens[token] = known
        return known


class _Token(NamedTuple):
    """A token: logarithms by persona, the sort key (minus its effect), and the reason to show."""

    logs: list[float]
    stillness: float
    reason: Reason


_STILLNESS, _SCORE = attrgetter("stillness"), attrgetter("score")


def _move(
    item: Mapping[str, Any],
    position: int,
    mixture: _Mixture,
    found: _Features,
    strength: float,
) -> Ranked:
    score = score_of(item, position)
    if not found.rows or not strength:
        return Ranked(item, position, score, 1.0)
    affinity, why = mixture.explain(found)
    moved = affinity**strength
    return Ranked(
        item, position, score * moved if score >= 0 else score / moved, affinity, why
    )  # fmt: skip


def _clip_log(lift: float) -> float:
    return max(-_MOST_LOG, min(_MOST_LOG, math.log(lift))) if lift > 0 else -_MOST_LOG


__all__ = [
    "MOST_LIFT", "MOST_STRENGTH", "REASONS", "STRENGTH", "Affinities", "Ranked", "Reason",
    "is_held_out", "keep_order", "rank", "score_of", "tokenize_item",
]  # fmt: skip
