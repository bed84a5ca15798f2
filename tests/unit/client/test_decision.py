"""Whether a shopper's items are ranked, and by what."""

from typing import Any

import pytest

from stream_persona.client.decision import hold_out, rank_for
from stream_persona.client.models import (
    AMBIGUOUS,
    HOLDOUT,
    UNKNOWN,
    UNREACHABLE,
    UNREADABLE,
    Shopper,
)
from stream_persona.client.ranking import Affinities, keep_order, rank
from tests.support.clients import ITEMS

LIFTS = Affinities({"gamer": {"category:games": 5.0}, "parent": {"brand:b": 3.0}})
SHARES = {"gamer": 0.7, "parent": 0.1}


def shopper(persona: str | None, **parts: Any) -> Shopper:
    fallback = AMBIGUOUS if persona is None else None
    return Shopper("c", persona, **{"fallback": fallback, "distribution": SHARES} | parts)


@pytest.mark.parametrize("fallback", [UNKNOWN, AMBIGUOUS, UNREACHABLE, UNREADABLE, HOLDOUT])
def test_a_shopper_without_a_persona_keeps_the_order_for_the_reason_of_the_lookup(
    fallback: str,
) -> None:
    found = rank_for(shopper(None, fallback=fallback), ITEMS, LIFTS, 1.0, "/")
    assert (found.order, found.fallback) == (ITEMS, fallback)
    assert list(found.items) == keep_order(ITEMS)


def test_a_predicted_shopper_is_ranked_by_the_distribution() -> None:
    found = rank_for(shopper("gamer"), ITEMS, LIFTS, 1.0, "/")
    assert list(found.items) == rank(ITEMS, SHARES, LIFTS, 1.0, "/")
    assert found.fallback is None


def test_an_assigned_persona_ranks_alone() -> None:
    found = rank_for(shopper("parent", source="assigned"), ITEMS, LIFTS, 1.0, "/")
    assert list(found.items) == rank(ITEMS, {"parent": 1.0}, LIFTS, 1.0, "/")


def test_a_shopper_keeps_the_order_while_no_affinities_are_known() -> None:
    found = rank_for(shopper("gamer"), ITEMS, Affinities({}), 1.0, "/")
    assert (found.order, found.fallback) == (ITEMS, UNREACHABLE)


@pytest.mark.parametrize("source", ["predicted", "assigned"])
def test_a_shopper_keeps_the_order_while_affinities_of_other_personas_alone_are_known(
    source: str,
) -> None:
    older = shopper("former", source=source, distribution={"former": 0.9, "past": 0.1})
    found = rank_for(older, ITEMS, LIFTS, 1.0, "/")
    assert (found.order, found.fallback) == (ITEMS, UNREACHABLE)


def test_a_customer_is_held_out_or_is_nobody_to_rank_for_yet() -> None:
    assert hold_out("c", 1.0, "") == Shopper("c", fallback=HOLDOUT)
    assert hold_out("c", 0.0, "") is None
