"""The arrays on which the benchmark compares rankings say what the client and its figures say."""

import numpy as np
import pytest

from stream_persona.client.ranking import Affinities, rank
from stream_persona.domain.record import Record
from tests.benchmarks.rank.caller import Shop
from tests.benchmarks.rank.compare import Asked, Factors, ask, ndcg
from tests.benchmarks.rank.evaluation import figures_of
from tests.benchmarks.rank.households import Household
from tests.benchmarks.rank.pairs import Pairs
from tests.benchmarks.tasks import TAXONOMY

LIFTS = Affinities({
    "a": {"category:x": 3.0, "brand:own": 0.5},
    "b": {"category:x": 0.25, "category:x/y": 7.0},
})  # fmt: skip
ITEMS = [
    {"product_id": f"p{i}", "category": ("x", "x/y", "z")[i % 3], "brand": ("own", "other")[i % 2],
     "attributes": {}, "score": 1.0 / (i + 1)}
    for i in range(30)
]  # fmt: skip
FIRST, SECOND = TAXONOMY.names[:2]


def asked_of(*wanted: str) -> Asked:
    scores = np.array([float(str(item["score"])) for item in ITEMS])
    return Asked(ITEMS, scores, np.array([item["product_id"] in wanted for item in ITEMS]), ())


@pytest.mark.parametrize("shares", [{"a": 1.0}, {"a": 0.3, "b": 0.6}, {"b": 0.2}, {}])
def test_scores_and_figures_are_those_of_the_clients_ranking(shares: dict[str, float]) -> None:
    asked, ranked = asked_of("p4", "p7", "p29"), rank(ITEMS, shares, LIFTS)
    scores = Factors(LIFTS).move(asked, shares)
    assert {each.position: each.score for each in ranked} == pytest.approx(dict(enumerate(scores)))
    figures = figures_of(ranked, frozenset({"p4", "p7", "p29"}))
    assert ndcg(scores, asked) == pytest.approx(figures["ndcg@10"])


def shopper(persona: str, *baskets: tuple[str, ...]) -> Household:
    return Household(persona, persona, Record(), list(baskets), [("p0", "p1")])


def pairs_of(*known: Household) -> tuple[Pairs, Asked]:
    """Pairs of products, and what a basket of p0 asks that p1 follows."""
    shop = Shop(known, {str(item["product_id"]): item for item in ITEMS})
    (asked,) = ask(known[0], "cross_sell", shop)
    return Pairs(known, shop, str), asked


def test_pairs_that_go_together_alike_for_all_personas_move_nothing() -> None:
    baskets = [("p0", "p1"), ("p0", "p2"), ("p1", "p2"), ("p3",)] * 5
    pairs, asked = pairs_of(shopper(FIRST, *baskets), shopper(SECOND, *baskets))
    assert pairs.scoring(1.0)(asked, {FIRST: 1.0}) == pytest.approx(asked.scores)


def test_a_pair_of_one_persona_is_likelier_for_it_and_less_so_for_the_others() -> None:
    own = [("p0", "p1"), ("p2", "p3")] * 5
    other = [("p0", "p2"), ("p1", "p3")] * 5
    pairs, asked = pairs_of(shopper(FIRST, *own), shopper(SECOND, *other))
    at = [item["product_id"] for item in asked.items].index("p1")
    ours, theirs = (pairs.scoring(1.0)(asked, {each: 1.0})[at] for each in (FIRST, SECOND))
    assert ours > asked.scores[at] > theirs
    assert pairs.scoring(1e9)(asked, {FIRST: 1.0}) == pytest.approx(asked.scores)
