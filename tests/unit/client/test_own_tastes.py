"""Own tastes as a factor of ranking: its formula, its bounds, and what moves nothing."""

import math
from typing import Any

import pytest

from stream_persona.client import (
    AMBIGUOUS,
    HOLDOUT,
    UNKNOWN,
    UNREACHABLE,
    UNREADABLE,
    Options,
    Reason,
    Shopper,
)
from stream_persona.client.decision import MIXTURE, rank_for
from stream_persona.client.own_tastes import (
    OFF,
    PRIOR_EVENTS,
    CommonShares,
    Own,
    apply_own,
    find_own,
    log_lift,
)
from stream_persona.client.ranking import Affinities, keep_order, rank
from stream_persona.domain.common_tastes import CommonShare
from stream_persona.domain.taste_bytes import MOST_TASTES, StoredTastes, encode_tastes, find_level
from stream_persona.testing.client import StubPersonaClient

LIFTS = Affinities({"gamer": {"category:books": 5.0}, "parent": {"brand:b": 3.0}})
SHARES = {"gamer": 0.7, "parent": 0.1}
CAT_FOOD = "attributes.product_type:cat food"
COMMON = CommonShares(
    {
        "category:pets": CommonShare(7, 0.1),
        "category:pets/cat": CommonShare(8, 0.05),
        CAT_FOOD: CommonShare(60_000, 0.02),
    },
    "0" * 12,
)
#: Of 20 events 8 were of pets, 6 of cats, and 5 of cat food.
TASTES = StoredTastes("0" * 12, 20.0, {7: 0.4, 8: 0.3, 60_000: 0.25})
OWN = Own(0.5, TASTES, COMMON)
ITEMS: list[dict[str, Any]] = [
    {"product_id": "p1", "category": "books", "score": 1.0},
    {"product_id": "p2", "category": "Pets > Cat", "brand": "b", "score": 0.9,
     "attributes": {"Product_Type": "Cat Food"}},
    {"product_id": "p3", "category": "pets/dog", "score": 0.9},
]  # fmt: skip


def shopper(persona: str | None, **parts: Any) -> Shopper:
    fallback = AMBIGUOUS if persona is None else None
    return Shopper("c", persona, **{"fallback": fallback, "distribution": SHARES} | parts)


def lift(share: float, common: float, events: float = 20.0) -> float:
    return (events * share + PRIOR_EVENTS * common) / ((events + PRIOR_EVENTS) * common)


def bytes_of(customer: str, taxonomy: str = "0" * 12, slots: bytes = b"\0\7") -> bytes:
    return encode_tastes(customer, taxonomy, 20.0, slots, bytes([find_level(1_638)]))


def test_an_items_factor_is_that_of_its_category_and_its_type_by_the_root_of_two() -> None:
    found = {each.item["product_id"]: each for each in apply_own(keep_order(ITEMS), OWN)}
    logs = [math.log(lift(0.3, 0.05)), math.log(lift(0.25, 0.02))]
    factor = math.exp(sum(logs) / math.sqrt(2))
    assert found["p2"].own == pytest.approx(factor)
    assert found["p2"].score == pytest.approx(0.9 * math.sqrt(factor))
    assert [(why.feature, why.value) for why in found["p2"].why_own] == [
        ("attributes.product_type", "cat food"), ("category", "pets/cat")
    ]  # fmt: skip
    assert found["p2"].why_own[0].lift == pytest.approx(lift(0.25, 0.02))


def test_a_category_that_is_not_known_counts_as_the_level_above() -> None:
    (_, _, dog) = sorted(apply_own(keep_order(ITEMS), OWN), key=lambda each: each.position)
    assert dog.why_own == (Reason("category", "pets", pytest.approx(lift(0.4, 0.1))),)


def test_a_token_whose_slot_holds_another_one_moves_an_item_and_is_no_reason() -> None:
    shared = CommonShares({"category:pets/cat": CommonShare(8, 0.05, is_reason=False)}, "0" * 12)
    (_, cat, _) = sorted(
        apply_own(keep_order(ITEMS), Own(0.5, TASTES, shared)), key=lambda each: each.position
    )
    assert (cat.own, cat.why_own) == (pytest.approx(lift(0.3, 0.05)), ())


def test_an_item_without_known_tastes_keeps_its_score() -> None:
    books = apply_own(keep_order(ITEMS[:1]), OWN)
    assert books == keep_order(ITEMS[:1])


def test_a_personas_figures_stay_the_personas() -> None:
    by_persona = rank(ITEMS, SHARES, LIFTS)
    both = {each.position: each for each in apply_own(by_persona, OWN)}
    for each in by_persona:
        assert both[each.position].affinity == each.affinity
        assert both[each.position].why == each.why
        assert both[each.position].score == pytest.approx(
            each.score * both[each.position].own ** OWN.strength
        )


def test_more_taste_never_means_a_lower_rank() -> None:
    below = [{**item, "score": -item["score"]} for item in ITEMS]
    found = {each.item["product_id"]: each.score for each in apply_own(keep_order(below), OWN)}
    assert found["p2"] > -0.9
    assert found["p1"] == -1.0


def test_equal_scores_stay_in_the_callers_order() -> None:
    same = [{"product_id": str(n), "category": "pets/cat", "score": 1.0} for n in range(5)]
    assert [each.position for each in apply_own(reversed(keep_order(same)), OWN)] == [*range(5)]


def test_a_factor_is_bounded() -> None:
    shares = {"category:pets/cat": CommonShare(8, 1e-6), "category:books": CommonShare(9, 1.0)}
    rare = CommonShares(shares, "0" * 12)
    much = StoredTastes("0" * 12, 1e6, {8: 1.0})
    found = {
        each.item["product_id"]: each.own
        for each in apply_own(keep_order(ITEMS[:2]), Own(10.0, much, rare))
    }
    assert found == {"p2": pytest.approx(math.e**4), "p1": pytest.approx(math.e**-3)}


def test_what_was_left_out_of_bounded_tastes_is_not_said_to_be_disliked() -> None:
    bounded = StoredTastes("", 100.0, {1: 0.5}, floor=0.01)
    assert log_lift(bounded, 2, 0.005) == pytest.approx(0.0)
    assert log_lift(bounded, 2, 0.5) == pytest.approx(math.log(lift(0.01, 0.5, 100.0)))
    whole = StoredTastes("", 100.0, {1: 0.5})
    assert log_lift(whole, 2, 0.005) == pytest.approx(math.log(lift(0.0, 0.005, 100.0)))


@pytest.mark.parametrize("strength", [0.0, 0.5])
def test_a_shopper_who_is_held_out_keeps_the_order_exactly(strength: float) -> None:
    held = shopper(None, fallback=HOLDOUT)
    found = rank_for(held, ITEMS, LIFTS, 1.0, "/", own=OWN._replace(strength=strength))
    assert list(found.items) == keep_order(ITEMS)
    assert (found.fallback, found.own_fallback) == (HOLDOUT, HOLDOUT if strength else None)


def test_an_ambiguous_shopper_keeps_the_order_exactly_while_tastes_are_off() -> None:
    found = rank_for(shopper(None), ITEMS, LIFTS, 1.0, "/", own=OFF)
    assert list(found.items) == keep_order(ITEMS)
    assert (found.fallback, found.own_fallback) == (AMBIGUOUS, None)


def test_an_ambiguous_shopper_is_ranked_by_own_tastes_alone() -> None:
    found = rank_for(shopper(None), ITEMS, LIFTS, 1.0, "/", own=OWN)
    assert list(found.items) == apply_own(keep_order(ITEMS), OWN)
    assert (found.fallback, found.items[0].item) == (AMBIGUOUS, ITEMS[1])


def test_an_ambiguous_shopper_is_ranked_by_the_mixture_where_that_is_asked_for() -> None:
    torn = shopper(None, source="assigned")  # of the assignment before, perhaps
    found = rank_for(torn, ITEMS, LIFTS, 1.0, "/", ambiguous=MIXTURE)
    assert list(found.items) == rank(ITEMS, SHARES, LIFTS)
    assert (found.fallback, found.shopper.persona) == (None, None)


@pytest.mark.parametrize("fallback", [UNKNOWN, UNREACHABLE, UNREADABLE, HOLDOUT])
def test_no_mixture_is_made_of_what_is_not_known(fallback: str) -> None:
    torn = shopper(None, fallback=fallback)
    found = rank_for(torn, ITEMS, LIFTS, 1.0, "/", ambiguous=MIXTURE)
    assert (list(found.items), found.fallback) == (keep_order(ITEMS), fallback)
    none = rank_for(shopper(None), ITEMS, Affinities({}), 1.0, "/", ambiguous=MIXTURE)
    assert (list(none.items), none.fallback) == (keep_order(ITEMS), UNREACHABLE)


def test_stored_tastes_are_read_as_they_were_written() -> None:
    found = find_own("c", bytes_of("c"), COMMON, 0.5)
    assert found.tastes is not None
    assert (found.fallback, found.tastes.events, found.tastes.floor) == (None, 20.0, 0.0)
    assert found.tastes.shares[7] == pytest.approx(0.4, rel=0.032)


@pytest.mark.parametrize(
    ("blob", "common", "reason"),
    [
        (None, COMMON, UNKNOWN),
        (b"", COMMON, UNREADABLE),
        (bytes_of("d"), COMMON, UNREADABLE),
        (bytes_of("c", "1" * 12), COMMON, UNREADABLE),
        (bytes_of("c"), CommonShares(), UNREACHABLE),
        (*[bytes_of("c")[:-1]], COMMON, UNREADABLE),
    ],
)
def test_tastes_that_cannot_be_believed_move_nothing(
    blob: bytes | None, common: CommonShares, reason: str
) -> None:
    own = find_own("c", blob, common, 0.5)
    assert (own.tastes, own.fallback) == (None, reason)
    found = rank_for(shopper(None), ITEMS, LIFTS, 1.0, "/", own=own)
    assert (list(found.items), found.own_fallback) == (keep_order(ITEMS), reason)


def test_no_flipped_bit_of_stored_tastes_is_believed() -> None:
    whole = bytes_of("c")
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        assert find_own("c", bytes(damaged), COMMON, 0.5).fallback == UNREADABLE


def test_tastes_that_may_have_been_cut_have_a_floor() -> None:
    slots = b"".join(slot.to_bytes(2) for slot in range(1, MOST_TASTES + 1))
    full = encode_tastes("c", "0" * 12, 20.0, slots, bytes([9] * MOST_TASTES))
    tastes = find_own("c", full, COMMON, 0.5).tastes
    assert tastes is not None
    assert tastes.floor == min(tastes.shares.values()) > 0


# --- the client ---


def stub(**options: Any) -> StubPersonaClient:
    """A client with a torn shopper who likes cats."""
    made: Options = options  # type: ignore[assignment]
    client = StubPersonaClient(**made)
    client.set("torn", None, distribution={"gamer": 0.5, "parent": 0.5})
    client.set_affinities("parent", {"category:books": 4.0})
    client.set_affinities("gamer", {"category:pets": 2.0})
    client.set_tastes("torn", {"category:pets/cat": 0.3, CAT_FOOD: 0.25}, events=20.0)
    client.set_common({"category:pets/cat": 0.05, "category:pets": 0.1, CAT_FOOD: 0.02})
    return client


def order(ranking: Any) -> list[str]:
    return [item["product_id"] for item in ranking.order]


def test_a_client_ranks_by_own_tastes_where_a_call_asks_for_them() -> None:
    client = stub()
    assert client.rank(ITEMS, "torn").items == tuple(keep_order(ITEMS))
    assert order(client.rank(ITEMS, "torn", own=0.5))[0] == "p2"
    assert client.rank(ITEMS, "torn", own=0.0).items == tuple(keep_order(ITEMS))
    assert client.own_fallbacks == {}


def test_a_client_ranks_by_own_tastes_where_its_options_ask_for_them() -> None:
    client = stub(own=0.5, ambiguous="mixture")
    found = client.rank(ITEMS, "torn")
    assert (order(found)[0], found.fallback, found.shopper.fallback) == ("p2", None, AMBIGUOUS)
    assert client.rank(ITEMS, "torn", own=0.0, ambiguous="baseline").order == ITEMS


def test_a_client_counts_why_own_tastes_have_moved_nothing() -> None:
    client = stub(own=0.5, holdout=0.0)
    assert client.rank(ITEMS, "stranger").own_fallback == UNKNOWN
    assert client.rank(ITEMS, "undefined").own_fallback == UNKNOWN
    client.set_common({})
    assert client.rank(ITEMS, "torn").own_fallback == UNREACHABLE
    client.tastes["torn"] = b"other"
    assert client.rank(ITEMS, "torn").own_fallback == UNREADABLE
    client.fail()
    assert client.rank(ITEMS, "torn").own_fallback == UNREACHABLE
    assert client.own_fallbacks == {UNKNOWN: 2, UNREACHABLE: 2, UNREADABLE: 1}


def test_a_client_asks_for_no_tastes_of_who_is_held_out() -> None:
    client = stub(own=0.5, holdout=1.0)
    client.fail()
    found = client.rank(ITEMS, "torn")
    assert (found.order, found.fallback, found.own_fallback) == (ITEMS, HOLDOUT, HOLDOUT)


def test_tastes_go_with_their_shopper() -> None:
    client = stub(own=0.5)
    client.forget("torn")
    found = client.rank(ITEMS, "torn")
    assert (found.order, found.own_fallback) == (ITEMS, UNKNOWN)


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"own": -0.1}, "own: expected 0 to 10, got -0.1"),
        ({"own": 11}, "own: expected 0 to 10, got 11"),
        ({"own": "much"}, "own: expected 0 to 10, got 'much'"),
        ({"ambiguous": "both"}, "ambiguous: expected baseline or mixture, got 'both'"),
    ],
)
def test_a_choice_out_of_its_bounds_is_refused(more: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        StubPersonaClient().rank(ITEMS, "nobody", **more)
    with pytest.raises(ValueError, match=sentence):
        StubPersonaClient(**more)
