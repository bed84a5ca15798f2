"""Explanations: their factors multiply to the prediction, the strongest come first."""

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from stream_persona.domain.features import Profiles, compute_profiles
from stream_persona.domain.slots import hash_to_slot
from stream_persona.domain.token_names import TokenNames
from stream_persona.domain.tokenizer import Tokenizer
from stream_persona.model.classifier import PersonaClassifier, make_seed_sums
from stream_persona.model.estimator import derive
from stream_persona.model.explain import build_tree, compute_affinities, find_reasons, split_token
from stream_persona.model.fitting import ModelFitter
from stream_persona.model.shard import merge_shards
from stream_persona.model.statistics import make_contribution
from stream_persona.model.weights import Weights
from tests.support.constants import NOW, PERSONAS
from tests.support.events import labelled_shoppers, purchase, shop
from tests.support.examples import count_examples
from tests.support.names import show_names
from tests.support.processing import model_of, profile_after, record_of
from tests.support.shards import labelled_records, shard_of

SHOP = shop()
TASTES = derive(
    model_of(labelled_shoppers(SHOP, customers=10), SHOP), SHOP.names, make_seed_sums(SHOP)
)


@cache
def calibrated() -> Weights:
    """Weights with a measured calibration: gains, biases and the last step."""
    fitter = ModelFitter(SHOP)
    fitter.update(*merge_shards([shard_of(labelled_records(SHOP, 12), SHOP)]), calibrate=True)
    assert fitter.weights.confidence is not None
    return fitter.weights


def named() -> TokenNames:
    return show_names(Tokenizer(SHOP), purchase("p", categories=[*PERSONAS, "food"])).names


def bought(*categories: str, times: int = 1) -> Profiles:
    events = [purchase(f"p{i}", NOW + i, categories=categories) for i in range(times)]
    return profile_after(*events, taxonomy=SHOP)


def same_baskets() -> Weights:
    """Weights of shoppers that are all alike within their persona."""
    model = PersonaClassifier()
    for persona in PERSONAS:
        part = bought(persona, persona, times=30)
        for _ in range(6):
            model.add(make_contribution(part), persona)
    return derive(model, PERSONAS)


def product_is_probability(weights: Weights, profile: Profiles, persona: str) -> None:
    why = build_tree(weights, profile, persona, named().name_slot)
    product = math.prod(factor["value"] for factor in why["factors"])
    expected = float(weights.predict_probabilities(profile)[0, weights.classes.index(persona)])
    assert product == pytest.approx(expected, rel=1e-9, abs=1e-300)


@given(st.lists(st.sampled_from([*PERSONAS, "food", "new"]), min_size=1), st.integers(1, 40))
@hypothesis(max_examples=count_examples(40))
def test_the_product_of_all_leaves_is_the_probability(categories: list[str], times: int) -> None:
    for persona in PERSONAS:
        product_is_probability(TASTES, bought(*categories, times=times), persona)


@given(st.lists(st.sampled_from([*PERSONAS, "food", "new"]), min_size=1), st.integers(1, 40))
@hypothesis(max_examples=count_examples(40))
def test_the_product_holds_with_a_measured_calibration(categories: list[str], times: int) -> None:
    for persona in PERSONAS:
        product_is_probability(calibrated(), bought(*categories, times=times), persona)


@pytest.mark.parametrize("times", [1, 5, 30, 100])
def test_the_product_holds_where_evidence_is_overwhelming(times: int) -> None:
    weights = same_baskets()
    for persona in PERSONAS:
        product_is_probability(weights, bought("parent", "parent", times=times), persona)


@pytest.mark.parametrize("times", [1, 5, 30, 100])
def test_overwhelming_evidence_still_has_reasons(times: int) -> None:
    (found,) = find_reasons(
        same_baskets(), bought("parent", times=times), ["parent"], named().name_slot, 3
    )
    assert ("category", "parent") in {(feature, value) for feature, value, _ in found}


def test_factors_come_from_the_most_for_to_the_most_against() -> None:
    why = build_tree(TASTES, bought("parent", "gamer", times=9), "parent", named().name_slot)
    base, normalizer, *lifts = why["factors"]
    assert why["type"] == "product"
    assert base["type"] == "baseP"
    assert base["proposition"] == {"persona": {"$has": "parent"}}
    assert normalizer["type"] == "normalizer"
    values = [factor["value"] for factor in lifts]
    assert values == sorted(values, reverse=True)
    assert lifts[0]["proposition"] == {"category": {"$has": "parent"}}


def test_reasons_are_the_strongest_that_raise_a_persona() -> None:
    (found,) = find_reasons(TASTES, bought("parent", times=9), ["parent"], named().name_slot, 3)
    assert found[0][:2] == ("category", "parent")
    assert all(lift > 1_000_000 for _, _, lift in found)
    assert list(found) == sorted(found, key=lambda reason: -reason[2])


def test_reasons_do_not_depend_on_the_rows_beside() -> None:
    histories = [("parent", 3), ("gamer", 9), ("food", 1), ("parent", 40)]
    events = [[purchase(f"p{i}", NOW + i, categories=[c]) for i in range(n)] for c, n in histories]
    together = compute_profiles(
        [record_of(*each, taxonomy=SHOP).counts for each in events], SHOP.features
    )
    asked = ["parent", "gamer", "nobody", "gamer"]
    alone = [
        find_reasons(TASTES, together.select_row(row), [persona], named().name_slot, 3)[0]
        for row, persona in enumerate(asked)
    ]
    assert alone[0] != alone[1] != ()
    assert find_reasons(TASTES, together, asked, named().name_slot, 3) == alone
    some = together.select_rows([3, 0])
    assert find_reasons(TASTES, some, ["gamer", "parent"], named().name_slot, 3) == [
        alone[3],
        alone[0],
    ]


def test_an_unknown_persona_has_no_reasons_and_a_count_of_none_gives_none() -> None:
    assert find_reasons(TASTES, bought("parent"), ["nobody"], named().name_slot, 3) == [()]
    assert find_reasons(TASTES, bought("parent"), ["parent"], named().name_slot, 0) == [()]


def test_the_prior_is_all_there_is_without_events() -> None:
    empty = Profiles(
        np.zeros(2, np.int64), np.zeros(1, np.int64), np.zeros(0, np.int64), np.zeros(0),
        np.zeros(1),
    )  # fmt: skip
    product_is_probability(TASTES, empty, "parent")


def test_a_name_is_split_at_its_first_colon() -> None:
    assert split_token("query:a:b") == ("query", "a:b")
    assert split_token("slot") == ("slot", "")


def test_affinities_are_the_lifts_of_what_was_learned() -> None:
    weights = derive(model_of(labelled_shoppers(SHOP, customers=20), SHOP), SHOP.names)
    lifts = compute_affinities(weights, named().join_names)
    assert list(lifts) == list(PERSONAS)
    own: Sequence[float] = [lifts[persona][f"category:{persona}"] for persona in PERSONAS]
    assert min(own) > 1


@pytest.mark.parametrize(
    ("shown", "key"),
    [("brand: ACME", "brand:acme"), ("brand:A | B", "brand:a | b"),
     ("category:Élevage/Pâtée", "category:élevage/pâtée")],
)  # fmt: skip
def test_affinities_are_kept_by_what_is_compared(shown: str, key: str) -> None:
    slot = hash_to_slot(key, fine=False)
    weights = _weights_of(slot)
    assert {
        token for lifts in compute_affinities(weights, lambda _: shown).values() for token in lifts
    } == {key}


def test_affinities_of_a_shared_slot_are_kept_by_both_tokens() -> None:
    slot = hash_to_slot("brand:acme", fine=False)
    lifts = compute_affinities(_weights_of(slot), lambda _: "brand:ACME | brand:Other")
    assert {token for own in lifts.values() for token in own} == {"brand:acme | brand:Other"}


def test_affinities_of_a_former_spelling_keep_its_name() -> None:
    slot = hash_to_slot("brand:ACME", fine=False)
    lifts = compute_affinities(_weights_of(slot), lambda _: "brand:ACME")
    assert {token for own in lifts.values() for token in own} == {"brand:ACME"}


def _weights_of(slot: int) -> Weights:
    """Weights that know one token, of one of two personas."""
    model = PersonaClassifier()
    for _ in range(5):
        model.learn_one({"events": 3, slot: 3}, "parent")
        model.learn_one({"events": 3}, "student")
    return derive(model, ("parent", "student"))
