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
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from stream_persona.domain.binning import canonical_token, levels, price_band
from stream_persona.domain.text import MAX_CACHED

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: How far the affinity moves a score, and the strength beyond which nothing is left of the score.
STRENGTH: Final = 1.0
MOST_STRENGTH: Final = 10.0
#: A lift beyond this, or below its inverse, counts as this.
MOST_LIFT: Final = 20.0
#: Most reasons of an item.
REASONS: Final = 3

#: Most attributes of an item that are read, as in events.
MOST_ATTRIBUTES: Final = 64

_MOST_LOG = math.log(MOST_LIFT)
#: Fields of an item that are features under another name.
_FIELDS: Final = {"product_id": "product", "brand": "brand"}


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
        self._logs: dict[str, list[float]] = {}
        for column, own in enumerate(lifts.values()):
            for shared, lift in own.items():
                for shown in {shared, *shared.split(" | ")}:  # two tokens of a slot share its lift
                    token = canonical_token(shown) or shown
                    if token != shown and token in own:
                        continue  # as an older version has counted it
                    row = self._logs.setdefault(token, [0.0] * len(self.personas))
                    row[column] = _clipped_log(lift)

    def __bool__(self) -> bool:
        return bool(self._logs)

    def find(self, groups: Sequence[Sequence[str]]) -> list[tuple[str, list[float]]]:
        """Return the first token with lifts of each group, and their logarithms by persona."""
        found = []
        for group in groups:
            for token in group:
                if logs := self._logs.get(token):
                    found.append((token, logs))
                    break
        return found


def tokenize_item(item: Mapping[str, Any], separator: str = "/") -> list[list[str]]:
    """Return the tokens of an item as in an event, in groups, the most specific of a group first.

    The levels of a category are one group, every other feature is a group of its own. Fields that
    are no features, or of another type than an event's, are left out. Tokens are canonical.

    >>> tokenize_item({"category": "Baby > Diapers", "price": 9.5})
    [['category:baby/diapers', 'category:baby'], ['price:8..16']]
    """
    found: list[Sequence[str]] = []
    item = _fields_of(item)
    category = item.get("category")
    if isinstance(category, str) and category:
        found.append(_levels_of(category, separator))
    for field, feature in _FIELDS.items():
        value = item.get(field)
        if isinstance(value, str) and value:
            found.append(_group(feature, value))
    price = item.get("price")
    if isinstance(price, int | float) and not isinstance(price, bool) and 0 <= price < math.inf:
        found.append([f"price:{price_band(price)}"])
    attributes = item.get("attributes")
    if isinstance(attributes, dict):
        found += [
            _group(f"attributes.{key}", value)
            for key, value in islice(attributes.items(), MOST_ATTRIBUTES)
            if isinstance(key, str) and isinstance(value, str)
        ]
    return [list(group) for group in found if group]


def _levels_of(category: str, separator: str) -> tuple[str, ...]:
    """Return the tokens of a category, the last level first."""
    is_short = len(category) <= MAX_CACHED
    return (_find_levels if is_short else _find_levels.__wrapped__)(category, separator)


def _group(feature: str, value: str) -> tuple[str, ...]:
    """Return the token of a value, or none."""
    is_short = len(feature) + len(value) <= MAX_CACHED
    return (_find_token if is_short else _find_token.__wrapped__)(feature, value)


# Catalogues repeat themselves: a spelling is worked out once.
@lru_cache(maxsize=8_192)
def _find_levels(category: str, separator: str) -> tuple[str, ...]:
    return tuple(f"category:{level}" for level in reversed(levels(category, separator)))


@lru_cache(maxsize=32_768)
def _find_token(feature: str, value: str) -> tuple[str, ...]:
    token = canonical_token(f"{feature}:{value}")
    return (token,) if token else ()


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
    shares = [distribution.get(persona, 0.0) for persona in affinities.personas]
    moved = [
        _move(item, position, shares, affinities.find(tokenize_item(item, separator)), strength)
        for position, item in enumerate(items)
    ]
    return sorted(moved, key=lambda each: -each.score)


def keep_order(items: Iterable[Mapping[str, Any]]) -> list[Ranked]:
    """Return the items in the caller's order, with the caller's scores."""
    return [
        Ranked(item, position, score_of(item, position), 1.0) for position, item in enumerate(items)
    ]


def score_of(item: Mapping[str, Any], position: int) -> float:
    """Return the caller's score, or the inverse of an item's place, counted from 1."""
    score = _fields_of(item).get("score")
    try:
        number = float(score) if isinstance(score, int | float) else math.nan
    except OverflowError:
        number = math.nan
    return number if math.isfinite(number) else 1.0 / (position + 1)


def _fields_of(item: object) -> Mapping[str, Any]:
    """Return an item that has fields as a mapping of them, anything else as an empty one."""
    if isinstance(item, dict | Mapping):
        return item
    if hasattr(item, "keys"):  # a row of a data frame is no Mapping; what else has some, who knows
        with suppress(Exception):
            return dict(cast("Mapping[str, Any]", item))
    return {}


def in_holdout(customer_id: str, share: float, salt: str = "") -> bool:
    """Whether a customer is in the share that keeps the baseline, for comparison.

    ``salt`` is the salt of the hash that draws the group: the same one draws the same customers on
    every machine, another one another group. A larger share holds all customers of a smaller one.
    """
    digest = hashlib.blake2b(f"{salt}\0{customer_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) < share * 2.0**64


def _move(
    item: Mapping[str, Any],
    position: int,
    shares: Sequence[float],
    found: Sequence[tuple[str, list[float]]],
    strength: float,
) -> Ranked:
    score = score_of(item, position)
    if not found or not strength:
        return Ranked(item, position, score, 1.0)
    root, rest = math.sqrt(len(found)), max(0.0, 1.0 - sum(shares))
    columns = zip(shares, *[logs for _, logs in found], strict=True)
    affinity = rest + sum(share * math.exp(sum(logs) / root) for share, *logs in columns)
    moved = affinity**strength
    return Ranked(
        item, position, score * moved if score >= 0 else score / moved, affinity,
        _explain(shares, rest, found),
    )  # fmt: skip


def _explain(
    shares: Sequence[float], rest: float, found: Sequence[tuple[str, list[float]]]
) -> tuple[Reason, ...]:
    """Return the lifts of the features that moved an item most; ``rest`` is the unknown share."""
    reasons = []
    for token, logs in found:
        lift = rest + sum(share * math.exp(log) for share, log in zip(shares, logs, strict=True))
        feature, _, value = token.partition(":")
        reasons.append(Reason(feature, value, lift))
    reasons.sort(key=lambda reason: -abs(math.log(reason.lift)))
    return tuple(reasons[:REASONS])


def _clipped_log(lift: float) -> float:
    return max(-_MOST_LOG, min(_MOST_LOG, math.log(lift))) if lift > 0 else -_MOST_LOG
