"""The ``_predict`` query without a server: what it accepts, what it answers, and its law."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from stream_persona.api.predict import (
    EXAMPLE,
    PersonaQuery,
    Subject,
    answer_prediction,
    describe_customer,
    parse_subject,
)
from stream_persona.domain import taxonomy as taxonomies
from stream_persona.domain.features import Counts, fold
from stream_persona.domain.slots import COARSE_SLOTS, SLOTS
from stream_persona.errors import InputError, QueryError
from stream_persona.model.classifier import PersonaClassifier, make_profile, make_seed_sums
from stream_persona.model.estimator import derive
from stream_persona.model.weights import Weights
from tests.support.events import observation

SHOP = taxonomies.load(None)
TOKENS = [f"category:{name}" for name in ("baby", "toys", "office", "tools", "pets", "books")]
DAY = 86_400_000


def query(**parts: Any) -> PersonaQuery:
    return PersonaQuery.model_validate({"where": {"customer_id": "CUST-1"}, **parts})


def weights_of(model: PersonaClassifier | None = None) -> Weights:
    return derive(model or PersonaClassifier(), SHOP.names, make_seed_sums(SHOP))


def ask(where: dict[str, Any], **parts: Any) -> dict[str, Any]:
    """The answer for a describe_hypothetical shopper by a model that knows the seeds alone."""
    request = query(where=where, **parts)
    about = parse_subject(request, SHOP)
    assert isinstance(about, Subject)
    return answer_prediction(request, about, weights_of())


def leaves(node: dict[str, Any]) -> list[float]:
    if "factors" in node:
        return [value for factor in node["factors"] for value in leaves(factor)]
    return [node["value"]]


def unknown_customer() -> Subject:
    return describe_customer(Counts.empty(), SHOP, str)


# --- queries ---


def test_the_seed_query_is_understood_as_it_stands() -> None:
    assert parse_subject(PersonaQuery.model_validate(EXAMPLE), SHOP) == "CUST-04812"


def test_from_and_predict_default_to_those_of_the_seed_query() -> None:
    assert parse_subject(query(), SHOP) == parse_subject(
        query(**{"from": "customer_purchases", "predict": "persona"}), SHOP
    )


def test_the_view_has_the_name_that_the_taxonomy_gives_it() -> None:
    renamed = SHOP.model_copy(update={"view": "shoppers"})
    assert parse_subject(query(**{"from": "shoppers"}), renamed) == "CUST-1"
    with pytest.raises(QueryError, match="from: expected 'shoppers'"):
        parse_subject(query(**{"from": "customer_purchases"}), renamed)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"from": "orders"}, "from: expected 'customer_purchases', got 'orders'"),
        ({"predict": "price"}, "predict: expected 'persona', got 'price'"),
        ({"where": {}}, "where: expected customer_id, or at least one of"),
        ({"where": {"customer_id": 7}}, "where.customer_id: expected a text, got 7"),
        ({"where": {"customer_id": "C1 "}}, "customer_id has blanks at an end"),
        ({"where": {"customer_id": "a\nb"}}, "customer_id has characters"),
        ({"where": {"customer_id": "\ud800"}}, "customer_id has characters"),
        ({"where": {"colour": "red"}}, "where.colour: expected customer_id or some of category"),
        ({"where": {"product": "p"}}, "where.product: expected customer_id or some of"),
        ({"where": {"attributes": "x"}}, "where.attributes: expected"),
        ({"where": {"category.x": "x"}}, "where.category.x: expected"),
        ({"where": {"category": None}}, "where.category: expected a text"),
        ({"where": {"category": True}}, "where.category: expected a text"),
        ({"where": {"category": 5}}, "where.category: expected a text"),
        ({"where": {"category": ""}}, "where.category: expected a text"),
        ({"where": {"category": []}}, "where.category: expected 1 to 1,000 values, got 0"),
        ({"where": {"category": [["a"]]}}, "where.category: expected a text.*got a list"),
        ({"where": {"category": {"$has": "a"}}}, "where.category: expected a text.*got an object"),
        ({"where": {"category": "\ud800"}}, "where.category: expected a text"),
        ({"where": {"price": -1}}, "where.price: expected a number of at least 0"),
        ({"where": {"price": math.nan}}, "where.price: expected a number of at least 0"),
        ({"where": {"price": math.inf}}, "where.price: expected a number of at least 0"),
    ],
)
def test_a_wrong_query_is_answered_with_the_field_and_what_was_expected(
    wrong: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        parse_subject(query(**wrong), SHOP)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"limit": -1}, "limit"),
        ({"limit": "3"}, "limit"),
        ({"limit": True}, "limit"),
        ({"offset": 1.5}, "offset"),
        ({"select": []}, "select"),
        ({"select": ["$p", "price"]}, "select"),
        ({"where": "CUST-1"}, "where"),
        ({"where": None}, "where"),
        ({"limt": 3}, "limt"),
    ],
)
def test_a_query_of_the_wrong_shape_is_refused_by_its_field(
    wrong: dict[str, Any], field: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        query(**wrong)
    assert caught.value.errors()[0]["loc"][0] == field


# --- answers ---


def test_an_answer_counts_every_persona_and_the_likeliest_come_first() -> None:
    found = ask({"category": "baby/diapers"})
    assert (found["offset"], found["total"]) == (0, len(SHOP.names))
    assert found["hits"][0]["persona"] == "parent_of_young_kids"
    probabilities = [hit["$p"] for hit in found["hits"]]
    assert probabilities == sorted(probabilities, reverse=True)


def test_limit_and_offset_cut_a_window_out_of_the_ranking() -> None:
    whole = ask({"category": "pets"})["hits"]
    assert ask({"category": "pets"}, offset=2, limit=3)["hits"] == whole[2:5]
    assert ask({"category": "pets"}, limit=0)["hits"] == []
    assert ask({"category": "pets"}, offset=100)["hits"] == []


def test_a_hit_has_the_selected_keys_in_their_order() -> None:
    select = ["field", "$value", "feature", "persona", "$why", "$p"]
    hit = ask({"category": "pets"}, select=select, limit=1)["hits"][0]
    assert list(hit) == select
    assert hit["field"] == "persona"
    assert hit["persona"] == hit["feature"] == hit["$value"] == "pet_owner"


def test_the_explanation_costs_nothing_unless_it_is_selected() -> None:
    assert set(ask({"category": "pets"})["hits"][0]) == {
        "$p", "persona", "feature", "$value", "field"
    }  # fmt: skip


def test_an_unknown_customer_gets_the_prior() -> None:
    model = PersonaClassifier()
    for _ in range(6):
        model.learn_one({"events": 5, "category:pets": 5}, "pet_owner")
    found = answer_prediction(
        query(select=["$p", "$why", "persona"]), unknown_customer(), weights_of(model)
    )
    assert found["hits"][0]["persona"] == "pet_owner"
    for hit in found["hits"]:
        prior, normalizer = hit["$why"]["factors"]
        assert prior["type"] == "baseP"
        assert normalizer["value"] == pytest.approx(1.0)
        assert hit["$p"] == pytest.approx(prior["value"])


def test_equally_likely_personas_keep_the_order_of_the_taxonomy() -> None:
    level = derive(PersonaClassifier(), SHOP.names)
    found = answer_prediction(query(select=["persona"]), unknown_customer(), level)
    assert [hit["persona"] for hit in found["hits"]] == list(SHOP.names)


def test_the_reasons_name_the_evidence_that_was_given() -> None:
    why = ask({"category": "pets"}, select=["$why"], limit=1)["hits"][0]["$why"]
    assert [factor["proposition"] for factor in why["factors"][2:]] == [
        {"category": {"$has": "pets"}}
    ]


# --- the law ---

counts = st.dictionaries(st.sampled_from(TOKENS), st.floats(0.125, 50), max_size=6)
customers = st.builds(lambda events, x: {"events": events, **x}, st.floats(0.5, 200), counts)
labelled = st.lists(st.tuples(st.sampled_from(SHOP.names), customers), max_size=20)
observed = st.lists(
    st.tuples(
        st.integers(0, 2_000 * DAY),
        st.lists(st.tuples(st.integers(1, SLOTS - 1), st.integers(1, 64)), max_size=8),
    ),
    max_size=10,
)


def assert_law(about: Subject, weights: Weights) -> None:
    hits = answer_prediction(query(select=["$p", "$why"]), about, weights)["hits"]
    printed = [orjson.dumps(hit["$p"]).decode() for hit in hits]
    assert sum(map(Decimal, printed)) == 1
    assert [hit["$p"] for hit in hits] == sorted((hit["$p"] for hit in hits), reverse=True)
    for hit in hits:
        assert math.prod(leaves(hit["$why"])) == pytest.approx(hit["$p"], rel=1e-9, abs=0.0)


@given(labelled, customers)
def test_the_product_of_all_leaves_is_the_probability(
    learned: list[tuple[str, dict[str, float]]], x: dict[str, float]
) -> None:
    model = PersonaClassifier()
    for persona, customer in learned:
        model.learn_one(customer, persona)
    assert_law(Subject(make_profile(x), str), weights_of(model))


@pytest.mark.long
@given(observed)
def test_the_law_holds_for_every_folded_record(
    events: list[tuple[int, list[tuple[int, int]]]],
) -> None:
    model = PersonaClassifier()
    for i, persona in enumerate(SHOP.names * 3):
        coarse = {k * 61 + i: 1.0 + k % 3 for k in range(1, 200)}
        model.learn_one({"events": 4.0, **coarse}, persona)
        model.learn_one({"events": 9.0, COARSE_SLOTS + i % 5: 3.0}, persona)
    rows = [observation(0, at, [(0, 4), *tokens]) for at, tokens in events]
    counts = fold([Counts.empty()], rows, SHOP.features)[0] if rows else Counts.empty()
    assert_law(describe_customer(counts, SHOP, str), weights_of(model))


@pytest.mark.parametrize("times", [1, 3, 10])
def test_the_law_holds_where_personas_are_perfectly_apart(times: int) -> None:
    model = PersonaClassifier()
    own = {name: {"events": 10, **{f"{name}{i}": 10 for i in range(10)}} for name in SHOP.names}
    for name, x in own.items():
        for _ in range(times):
            model.learn_one(x, name)
    for x in own.values():
        assert_law(Subject(make_profile(x), str), weights_of(model))
