"""How items are ranked for a shopper: laws over random items, lifts and distributions."""

import math
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_persona.client.ranking import (
    MOST_LIFT,
    Affinities,
    is_held_out,
    keep_order,
    rank,
    score_of,
    tokenize_item,
)

TOKENS = [f"brand:{letter}" for letter in string.ascii_lowercase[:6]]
LIFTS = st.dictionaries(st.sampled_from(TOKENS), st.floats(0.01, 100), max_size=6)
SHOPS = st.dictionaries(st.sampled_from(["parent", "student", "gamer"]), LIFTS, min_size=1)
ITEMS = st.lists(
    st.fixed_dictionaries(
        {"brand": st.sampled_from(string.ascii_lowercase[:8])},
        optional={"score": st.floats(-100, 100)},
    ),
    max_size=20,
)
SHARES = st.dictionaries(st.sampled_from(["parent", "student", "gamer"]), st.floats(0.01, 1))

TOYS = Affinities({
    "parent": {"category:toys": 4.0, "category:toys/lego": 8.0, "brand:a | brand:b": 2.0},
    "student": {"category:toys": 0.5},
})  # fmt: skip


def normalise(shares: dict[str, float]) -> dict[str, float]:
    total = sum(shares.values())
    return {persona: share / total for persona, share in shares.items()}


@given(ITEMS, SHARES, SHOPS, st.floats(0, 10))
def test_a_ranking_holds_every_item_once_and_its_scores_fall(
    items: list[dict[str, object]],
    shares: dict[str, float],
    lifts: dict[str, dict[str, float]],
    strength: float,
) -> None:
    found = rank(items, normalise(shares) if shares else {}, Affinities(lifts), strength)
    assert sorted(each.position for each in found) == list(range(len(items)))
    assert all(items[each.position] is each.item for each in found)
    scores = [each.score for each in found]
    assert scores == sorted(scores, reverse=True)
    assert all(math.isfinite(each.score) and each.affinity > 0 for each in found)


@given(ITEMS, SHARES, SHOPS)
def test_a_strength_of_0_leaves_every_score(
    items: list[dict[str, object]], shares: dict[str, float], lifts: dict[str, dict[str, float]]
) -> None:
    for each in rank(items, shares, Affinities(lifts), 0.0):
        assert each.score == score_of(items[each.position], each.position)


@given(ITEMS, SHARES, SHOPS, st.floats(0, 10))
def test_the_item_of_more_affinity_comes_first_of_two_with_one_score(
    items: list[dict[str, object]],
    shares: dict[str, float],
    lifts: dict[str, dict[str, float]],
    strength: float,
) -> None:
    level = [{**item, "score": -1.5} for item in items]
    found = rank(level, normalise(shares) if shares else {}, Affinities(lifts), strength)
    if strength > 0.01:
        affinities = [each.affinity for each in found]
        assert affinities == pytest.approx(sorted(affinities, reverse=True))


def test_the_affinity_is_the_mean_lift_over_the_shoppers_distribution() -> None:
    (found,) = rank([{"category": "toys/cars", "score": 10}], {"parent": 0.6, "student": 0.4}, TOYS)
    assert found.affinity == pytest.approx(0.6 * 4.0 + 0.4 * 0.5)
    assert found.score == pytest.approx(26.0)
    ((feature, value, lift),) = found.why
    assert (feature, value, lift) == ("category", "toys", pytest.approx(2.6))


def test_features_that_agree_count_for_more_than_one_and_for_less_than_all() -> None:
    item = {"category": "toys/lego", "brand": "b", "price": 3}
    (found,) = rank([item], {"parent": 1.0}, TOYS)
    assert found.affinity == pytest.approx(math.exp((math.log(8) + math.log(2)) / math.sqrt(2)))
    assert [reason.value for reason in found.why] == ["toys/lego", "b"]


def test_a_feature_without_lifts_moves_nothing() -> None:
    items = [{"brand": "new", "score": 2.0}, {"score": 1.0}]
    assert rank(items, {"parent": 1.0}, TOYS) == keep_order(items)
    assert rank(items, {}, TOYS) == keep_order(items)


def test_a_single_lift_counts_only_so_far() -> None:
    wild = Affinities({"parent": {"brand:a": 1e9, "brand:b": 0.0}})
    most, least = rank([{"brand": "a"}, {"brand": "b"}], {"parent": 1.0}, wild)
    assert most.affinity == pytest.approx(MOST_LIFT)
    assert least.affinity == pytest.approx(1 / MOST_LIFT)


def test_the_features_of_an_item_are_those_of_an_event() -> None:
    item = {
        "product_id": "p1", "category": "baby/diapers", "brand": "x", "price": 9.5,
        "attributes": {"colour": "red"}, "stock": 7,
    }  # fmt: skip
    assert tokenize_item(item) == [
        ["category:baby/diapers", "category:baby"], ["product:p1"], ["brand:x"], ["price:8..16"],
        ["attributes.colour:red"],
    ]  # fmt: skip
    odd = {"product_id": 7, "category": None, "brand": "", "price": math.nan, "attributes": "red"}
    assert tokenize_item(odd) == []


@pytest.mark.parametrize("score", [None, "much", math.nan, math.inf, 10**400, True])
def test_an_item_without_a_number_for_a_score_is_scored_by_its_place(score: object) -> None:
    assert score_of({"score": score}, 3) == (1.0 if score is True else 0.25)


def test_the_held_out_customers_stay_the_same_and_are_about_as_many_as_asked_for() -> None:
    names = [f"CUST-{number:05d}" for number in range(10_000)]
    held = [name for name in names if is_held_out(name, 0.1)]
    assert 900 < len(held) < 1_100
    assert all(is_held_out(name, 0.2) for name in held)
    other = [name for name in names if is_held_out(name, 0.1, salt="next")]
    assert 50 < len(set(held) & set(other)) < 200
    assert not any(is_held_out(name, 0.0) for name in names)
    assert all(is_held_out(name, 1.0) for name in names)


SPELLED = {
    "product_id": " p1", "category": "Toys &gt; LEGO", "brand": "B ",
    "attributes": {"Colour": "RED", "size": " "},
}  # fmt: skip


def test_an_item_has_the_tokens_of_events_in_any_spelling() -> None:
    tokens = [
        ["category:toys/lego", "category:toys"], ["product:p1"], ["brand:b"],
        ["attributes.colour:red"],
    ]  # fmt: skip
    assert tokenize_item(SPELLED) == tokens == tokenize_item(SPELLED)
    assert tokenize_item({"category": " / ", "brand": " "}) == []
    assert tokenize_item({"brand": "Acme" * 500}) == [["brand:" + "acme" * 500]]
    assert tokenize_item({"category": "A|b > C"}, "|")[0][0] == "category:a|b|c"
    assert tokenize_item({"price": 10**400}) == [["price:2^1328..2^1329"]]


def test_a_spelling_does_not_change_a_rank() -> None:
    plain = {"category": "toys/lego", "brand": "b"}
    (spelled,), (found,) = (rank([item], {"parent": 1.0}, TOYS) for item in (SPELLED, plain))
    assert spelled.affinity == pytest.approx(found.affinity)
    assert spelled.why == found.why


def test_lifts_are_found_in_the_spelling_of_an_older_version_unless_there_are_newer_ones() -> None:
    older = Affinities({"parent": {"brand:ACME": 4.0}})
    assert rank([{"brand": "Acme"}], {"parent": 1.0}, older)[0].affinity == pytest.approx(4)
    both = Affinities({"parent": {"brand:acme": 2.0, "brand:ACME": 4.0}})
    assert rank([{"brand": "Acme"}], {"parent": 1.0}, both)[0].affinity == pytest.approx(2)
