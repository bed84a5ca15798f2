"""A ranking is, bit by bit, what the formula gives for each item by itself."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from stream_persona.client.item_features import tokenize_item
from stream_persona.client.ranking import REASONS, Affinities, Ranked, Reason, rank, score_of

PERSONAS = ("parent", "gamer", "pet", "deal")
TOKENS = [
    "category:baby", "category:baby/diapers", "category:pets", "product:p1", "product:p2",
    "brand:tiny", "brand:acme", "price:8..16", "price:1..2", "attributes.size:xl",
]  # fmt: skip
TEXTS = st.sampled_from(
    ["baby/diapers", "Baby > Diapers", "pets", "p1", "P1", "p2", "tiny", " ACME", "", "x" * 300]
)
VALUES = TEXTS | st.none() | st.sampled_from([True, 1, 1.0, 12, 9.5, -1, ["baby"], math.inf])
ITEMS = st.dictionaries(
    st.sampled_from(["product_id", "category", "brand", "price", "score", "colour"]), VALUES
)
SIZED = st.builds(
    lambda item, key, value: {**item, "attributes": {key: value}},
    ITEMS, st.sampled_from(["size", "Size", ""]), VALUES,
)  # fmt: skip
LIFTS = st.dictionaries(st.sampled_from(TOKENS), st.sampled_from([0.0, 0.04, 0.7, 1.0, 1.9, 60.0]))
SHARES = st.fixed_dictionaries(
    {}, optional={name: st.sampled_from([0, 0.0, 1e-6, 0.2, 0.3, 1.0]) for name in PERSONAS}
)


def rank_by_definition(
    items: Sequence[Mapping[str, Any]],
    distribution: Mapping[str, float],
    affinities: Affinities,
    strength: float,
    separator: str,
) -> list[Ranked]:
    shares = [distribution.get(persona, 0.0) for persona in affinities.personas]
    moved = [
        move(item, i, shares, affinities.find(tokenize_item(item, separator)), strength)
        for i, item in enumerate(items)
    ]
    return sorted(moved, key=lambda each: -each.score)


def move(
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
    reasons = []
    for token, logs in found:
        lift = rest + sum(share * math.exp(log) for share, log in zip(shares, logs, strict=True))
        feature, _, value = token.partition(":")
        reasons.append(Reason(feature, value, lift))
    reasons.sort(key=lambda reason: -abs(math.log(reason.lift)))
    new = score * moved if score >= 0 else score / moved
    return Ranked(item, position, new, affinity, tuple(reasons[:REASONS]))


@given(
    st.lists(ITEMS | SIZED, max_size=8),
    SHARES,
    st.fixed_dictionaries(dict.fromkeys(PERSONAS, LIFTS)),
    st.sampled_from([0.0, 0.5, 1.0, 10.0]),
    st.sampled_from(["/", "|"]),
)
def test_a_ranking_is_what_the_formula_gives_for_each_item(
    items: list[dict[str, Any]],
    distribution: dict[str, float],
    lifts: dict[str, dict[str, float]],
    strength: float,
    separator: str,
) -> None:
    affinities = Affinities(lifts)
    for _ in range(2):  # and again, when all that is kept of items is known
        found = rank(items, distribution, affinities, strength, separator)
        expected = rank_by_definition(items, distribution, affinities, strength, separator)
        assert repr(found) == repr(expected)


def test_a_price_that_is_no_number_is_not_taken_for_the_one_that_it_equals() -> None:
    affinities = Affinities({"parent": {"price:1..2": 3.0}})
    for price, moved in ((1, True), (True, False), (1.0, True), (True, False)):
        (ranked,) = rank([{"price": price}], {"parent": 1.0}, affinities)
        assert (ranked.affinity != 1.0) == moved
