"""Recommendations: the order and the figures of a ranking of the whole catalogue."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_persona.api.rank import as_dict
from stream_persona.api.shop import likings as module
from stream_persona.api.shop.catalogue import Catalogue
from stream_persona.api.shop.likings import NO_LIKINGS, Likings, choose
from stream_persona.api.shop.own_factors import OwnFactors
from stream_persona.api.shop.recommendations import Asked, OwnFactor, recommend
from stream_persona.client import ranking
from stream_persona.client.decision import BASELINE, MIXTURE, Choice, rank_for
from stream_persona.client.models import AMBIGUOUS, HOLDOUT, UNKNOWN, Shopper
from stream_persona.client.own_tastes import OFF, CommonShares, Own
from stream_persona.client.ranking import Affinities
from stream_persona.domain.common_tastes import CommonShare
from stream_persona.domain.taste_bytes import StoredTastes
from tests.support.catalogues import build, likings_of_personas, row, shop_rows

AFFINITIES: Final = likings_of_personas()
CATALOGUE: Final = build(shop_rows(600))
SHARES: Final = {"parent": 0.7, "pet_owner": 0.2, "student": 0.1}
PARENT: Final = Shopper("c", "parent", None, distribution=SHARES)


def likings_of(catalogue: Catalogue, affinities: Affinities = AFFINITIES) -> Likings:
    matrix = catalogue.features.compute_affinities(affinities)
    return Likings(("v", 1), catalogue, affinities, matrix)


def whole_ranking(
    catalogue: Catalogue, shares: Mapping[str, float], strength: float, exclude: tuple[str, ...]
) -> list[dict[str, Any]]:
    """What ``/v1/rank`` answers for all products, in the order of their popularity."""
    items = [catalogue.decode_item(position) for position in range(len(catalogue))]
    items = [item for item in items if item["product_id"] not in exclude]
    ranked = ranking.rank(items, shares, AFFINITIES, strength, catalogue.separator)
    return [as_dict(each) for each in ranked]


def found_items(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [dict(item) for item in answer["items"]]


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0, 2.5, 10.0])
@pytest.mark.parametrize("limit", [1, 10, 200, 599, 700])
def test_the_answer_is_the_beginning_of_a_ranking_of_all_products(
    strength: float, limit: int
) -> None:
    asked = Asked("c", limit, Choice(strength))
    found = recommend(CATALOGUE, likings_of(CATALOGUE), PARENT, asked)
    assert found_items(found) == whole_ranking(CATALOGUE, SHARES, strength, ())[:limit]
    assert (found["persona"], found["fallback"], found["group"]) == ("parent", None, "treatment")


@given(
    seed=st.integers(0, 10_000), size=st.integers(1, 60), limit=st.integers(1, 20),
    shares=st.lists(st.floats(0, 1), min_size=3, max_size=3),
    strength=st.sampled_from([0.5, 1.0, 3.0]), exclude=st.sets(st.integers(0, 70), max_size=30),
)  # fmt: skip
def test_the_answer_is_that_beginning_for_any_catalogue_shopper_and_exclusion(
    seed: int, size: int, limit: int, shares: list[float], strength: float, exclude: set[int]
) -> None:
    catalogue = build(shop_rows(size, seed))
    total = max(1.0, sum(shares))
    mixture = {name: share / total for name, share in zip(SHARES, shares, strict=True)}
    shopper = Shopper("c", "parent", None, distribution=mixture)
    names = tuple(f"P-{each}" for each in sorted(exclude))
    found = recommend(
        catalogue,
        likings_of(catalogue),
        shopper,
        Asked("c", limit, Choice(strength), exclude=names),
    )
    assert found_items(found) == whole_ranking(catalogue, mixture, strength, names)[:limit]


@pytest.mark.parametrize("popularity", [0, 1e100])
def test_the_greatest_factors_are_numbers(popularity: float) -> None:
    attributes = {str(n): "liked" for n in range(40)}
    lifts = Affinities({"parent": {f"attributes.{n}:liked": 20.0 for n in range(40)}})
    catalogue = build([row(1), row(2, attributes=attributes, popularity=popularity), row(3)])
    shopper = PARENT._replace(distribution={"parent": 1.0})
    found = recommend(catalogue, likings_of(catalogue, lifts), shopper, Asked("c", 3, Choice(10.0)))
    items = [catalogue.decode_item(position) for position in range(3)]
    expected = ranking.rank(items, {"parent": 1.0}, lifts, 10.0, "/")
    assert [each["score"] for each in found["items"]] == [each.score for each in expected]
    assert expected[0].affinity > 1e8


def test_an_assigned_persona_counts_alone() -> None:
    assigned = PARENT._replace(persona="pet_owner", source="assigned")
    found = recommend(CATALOGUE, likings_of(CATALOGUE), assigned, Asked("c", 10, Choice(1.0)))
    assert found_items(found) == whole_ranking(CATALOGUE, {"pet_owner": 1.0}, 1.0, ())[:10]


def test_equal_scores_keep_the_order_of_popularity() -> None:
    catalogue = build([row(n, category="pets") for n in range(20, 2_020)])
    equal = build([row(n, category="pets", popularity=5) for n in range(20, 2_020)])
    for each in (catalogue, equal):
        found = recommend(each, likings_of(each), PARENT, Asked("c", 10, Choice(1.0)))
        assert [item["item"]["product_id"] for item in found["items"]] == [
            f"P-{n}" for n in range(20, 30)
        ]


@pytest.mark.parametrize(
    ("shopper", "likings", "fallback"),
    [
        (Shopper("c"), NO_LIKINGS, UNKNOWN),
        (Shopper("c", None, AMBIGUOUS, distribution=SHARES), NO_LIKINGS, AMBIGUOUS),
        (Shopper("c", fallback=HOLDOUT), NO_LIKINGS, HOLDOUT),
        (Shopper("c", None, "unreadable"), NO_LIKINGS, "unreadable"),
        (PARENT, likings_of(CATALOGUE, Affinities({})), "unreachable"),
        (PARENT._replace(distribution={"parent": "much"}), likings_of(CATALOGUE), "unreadable"),
    ],
)  # fmt: skip
def test_who_has_no_persona_gets_the_most_popular_products_and_the_reason(
    shopper: Shopper, likings: Likings, fallback: str
) -> None:
    exclude = (
        "P-1",
        CATALOGUE.decode_item(0)["product_id"],
        CATALOGUE.decode_item(2)["product_id"],
        "gone",
    )
    found = recommend(CATALOGUE, likings, shopper, Asked("c", 3, Choice(1.0), exclude=exclude))
    assert found["fallback"] == fallback
    assert found["group"] == ("holdout" if fallback == HOLDOUT else "treatment")
    popular = [CATALOGUE.decode_item(position) for position in range(10)]
    popular = [item for item in popular if item["product_id"] not in exclude][:3]
    assert found_items(found) == [
        {"item": item, "position": place, "score": item["score"], "affinity": 1.0, "why": [],
         "own": 1.0, "why_own": []}
        for place, item in enumerate(popular)
    ]  # fmt: skip


@pytest.mark.parametrize("shopper", [PARENT, Shopper("c")])
def test_nothing_is_left_where_everything_is_excluded(shopper: Shopper) -> None:
    catalogue = build([row(n) for n in range(3)])
    asked = Asked("c", 10, Choice(1.0), exclude=("P-0", "P-1", "P-2"))
    assert recommend(catalogue, likings_of(catalogue), shopper, asked)["items"] == []


def test_likings_are_those_of_a_ranking_by_each_persona_alone() -> None:
    matrix = CATALOGUE.features.compute_affinities(AFFINITIES)
    for column, persona in enumerate(AFFINITIES.personas):
        items = [CATALOGUE.decode_item(position) for position in range(len(CATALOGUE))]
        ranked = ranking.rank(items, {persona: 1.0}, AFFINITIES, 1.0, "/")
        expected = [each.affinity for each in sorted(ranked, key=lambda each: each.position)]
        assert matrix[:, column].tolist() == pytest.approx(expected, rel=1e-6)
    assert np.unique(matrix).size > 50


def test_products_without_features_are_liked_as_by_anybody() -> None:
    catalogue = build([row(n) for n in range(30, 33)])
    assert catalogue.features.compute_affinities(AFFINITIES).tolist() == [[1.0] * 3] * 3


def test_what_may_come_first_is_no_more_than_a_bound() -> None:
    scores = np.ones(50_000)
    chosen = choose(scores, np.ones(50_000), 10, np.array([0, 3], np.int32))
    assert len(chosen) == 10 + module._MOST_NEAR
    assert chosen[:4].tolist() == [1, 2, 4, 5]


def test_the_first_known_token_of_each_group_is_found_by_product() -> None:
    catalogue = build([
        row(1, category="Baby/Food", brand="Tiny"), row(2, category="baby"), row(3, brand="Rex"),
    ])  # fmt: skip
    known = {"category:baby": 7, "category:baby/food": 8, "brand:tiny": 9}
    products, numbers = catalogue.features.find_first(known)
    found = list(zip(products.tolist(), numbers.tolist(), strict=True))
    assert found == [(0, 8), (0, 9), (1, 7)]


TASTES: Final = StoredTastes("0" * 12, 20.0, {7: 0.4, 9: 0.3, 60_000: 0.25}, floor=0.001)
COMMON: Final = CommonShares({
    "category:pets": CommonShare(7, 0.1), "category:pets/cat": CommonShare(8, 0.05),
    "category:books": CommonShare(9, 0.2), "attributes.product_type:saw": CommonShare(60_000, 0.02),
}, "0" * 12)  # fmt: skip
AMBIGUOUS_SHOPPER: Final = Shopper("c", None, AMBIGUOUS, distribution=SHARES)


def rows_of_types(number: int, seed: int) -> list[dict[str, Any]]:
    """Rows of which some have a product type."""
    rng = np.random.default_rng(seed)
    return [
        {**each, "attributes": {"product_type": "saw"}} if rng.random() < 0.2 else each
        for each in shop_rows(number, seed)
    ]


@given(
    seed=st.integers(0, 10_000), size=st.integers(1, 60), limit=st.integers(1, 20),
    own=st.sampled_from([0.3, 0.7, 2.0]), strength=st.sampled_from([0.0, 1.0]),
    ambiguous=st.sampled_from([BASELINE, MIXTURE]),
    shopper=st.sampled_from([PARENT, AMBIGUOUS_SHOPPER, Shopper("c")]),
)  # fmt: skip
def test_own_tastes_and_the_mixture_move_products_as_in_a_ranking(
    seed: int, size: int, limit: int, own: float, strength: float, ambiguous: str, shopper: Shopper
) -> None:
    catalogue = build(rows_of_types(size, seed))
    tastes = Own(own, TASTES, COMMON)
    factors = asyncio.run(OwnFactors().find(catalogue, tastes))
    asked = Asked("c", limit, Choice(strength, own, ambiguous))
    likings = likings_of(catalogue)
    found = recommend(catalogue, likings, shopper, asked, OwnFactor(tastes, factors))
    items = [catalogue.decode_item(position) for position in range(size)]
    ranking_of_all = rank_for(
        shopper, items, AFFINITIES, strength, "/", own=tastes, ambiguous=ambiguous
    )
    assert found_items(found) == [as_dict(each) for each in ranking_of_all.items][:limit]
    assert (found["own"], found["fallback"]) == (own, ranking_of_all.fallback)


def test_the_tastes_of_products_are_found_anew_where_the_common_ones_are_others() -> None:
    factors, tastes = OwnFactors(), Own(1.0, TASTES, COMMON)
    fewer = CommonShares({"category:books": CommonShare(9, 0.2)}, "0" * 12)

    async def find() -> list[bool]:
        found = [await factors.find(CATALOGUE, each) for each in (tastes, Own(1.0, TASTES, fewer))]
        alone = await OwnFactors().find(CATALOGUE, Own(1.0, TASTES, fewer))
        return [np.array_equal(each, alone) for each in found if each is not None]

    assert asyncio.run(find()) == [False, True]


@pytest.mark.parametrize("own", [OFF, Own(0.0, TASTES, COMMON), Own(1.0, fallback=UNKNOWN)])
def test_tastes_that_are_off_or_not_known_move_no_product(own: Own) -> None:
    assert asyncio.run(OwnFactors().find(CATALOGUE, own)) is None
