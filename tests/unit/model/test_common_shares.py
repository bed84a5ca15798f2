"""How common tokens are among all labelled customers: what own tastes are compared with."""

import numpy as np
import pytest

from stream_persona.domain.slots import hash_to_slot
from stream_persona.domain.token_names import TokenNames
from stream_persona.domain.tokenizer import Tokenizer
from stream_persona.model.classifier import PersonaClassifier, make_seed_sums
from stream_persona.model.estimator import MIN_SUPPORT, derive
from stream_persona.model.explain import list_common_tastes
from stream_persona.model.river_adapter import Example
from stream_persona.model.river_model import fit
from stream_persona.model.statistics import make_contribution
from tests.support.constants import NOW, PERSONAS
from tests.support.events import purchase, shop
from tests.support.names import show_names
from tests.support.processing import profile_after

SHOP = shop()
FOOD, PETS, RARE = (
    hash_to_slot(f"category:{name}", fine=False) for name in ("food", "pets", "rare")
)


def examples() -> list[Example]:
    """Four customers of two events each, all with food, half with pets, and one with a rarity."""
    baskets = [("food", "pets"), ("food", "pets"), ("food", "pets"), ("food", "rare")]
    return [
        Example(
            f"c{number}",
            PERSONAS[number % 2],
            profile_after(
                purchase("a", NOW, categories=categories),
                purchase("b", NOW, categories=["food"]),
                taxonomy=SHOP,
            ),
        )
        for number, categories in enumerate(baskets)
    ]


def model_of(known: list[Example]) -> PersonaClassifier:
    model = PersonaClassifier()
    for each in known:
        model.add(make_contribution(each.profile), each.persona)
    return model


def share_of(slot: int) -> float:
    """The events with a token over all events, customer by customer."""
    shown = events = 0.0
    for each in examples():
        own = dict(zip(each.profile.slots.tolist(), each.profile.shares.tolist(), strict=True))
        number = float(each.profile.events[0])
        shown, events = shown + number * own.get(slot, 0.0), events + number
    return shown / events


def test_a_common_share_is_that_of_all_labelled_customers_events() -> None:
    slots, shares = derive(model_of(examples()), PERSONAS).list_common_shares()
    found = dict(zip(slots.tolist(), shares.tolist(), strict=True))
    assert found[PETS] == pytest.approx(share_of(PETS), rel=1e-4)
    assert found[FOOD] == pytest.approx(share_of(FOOD), rel=1e-4)
    assert found[FOOD] > found[PETS] > 0
    assert list(slots) == sorted(found)


def test_a_token_of_few_labelled_customers_has_no_common_share() -> None:
    slots, _ = derive(model_of(examples()), PERSONAS).list_common_shares()
    assert MIN_SUPPORT > 1
    assert RARE not in slots


def test_seeds_are_not_what_customers_have_shown() -> None:
    seeded = shop()
    named = derive(model_of(examples()), PERSONAS, make_seed_sums(seeded)).list_common_shares()
    plain = derive(model_of(examples()), PERSONAS).list_common_shares()
    assert dict(zip(*named, strict=True)) == dict(zip(*plain, strict=True))
    assert (
        derive(PersonaClassifier(), PERSONAS, make_seed_sums(seeded)).list_common_shares()[0].size
        == 0
    )


def test_a_river_model_knows_the_same_common_shares() -> None:
    river = fit("river.naive_bayes:MultinomialNB", examples(), PERSONAS).list_common_shares()
    own = derive(model_of(examples()), PERSONAS).list_common_shares()
    np.testing.assert_array_equal(river[0], own[0])
    np.testing.assert_allclose(river[1], own[1])


def test_common_tastes_are_named_by_canonical_token_where_a_name_may_be_shown() -> None:
    weights = derive(model_of(examples()), PERSONAS)
    names = show_names(Tokenizer(SHOP), purchase("p", categories=["Food", "PETS"])).names
    found = list_common_tastes(weights, SHOP, names)
    assert {token: (each.slot, each.is_reason) for token, each in found.items()} == {
        "category:food": (FOOD, True), "category:pets": (PETS, True)
    }  # fmt: skip
    assert list_common_tastes(weights, SHOP, TokenNames()) == {}
    assert list_common_tastes(weights, shop(features={"fields": ["brand"]}), names) == {}


def test_a_token_that_shares_its_slot_is_no_reason() -> None:
    weights = derive(model_of(examples()), PERSONAS)
    names = show_names(Tokenizer(SHOP), purchase("p", categories=["food", "pets"])).names
    names.see([(PETS, "brand:what one shopper alone has")])
    found = list_common_tastes(weights, SHOP, names)
    assert [found[f"category:{name}"].is_reason for name in ("food", "pets")] == [True, False]
    assert not any("alone" in token for token in found)
