"""A River classifier as the model: a function of the set of examples, explained, or refused."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from stream_persona.domain.features import Counts, Profiles, compute_profiles
from stream_persona.domain.tokenizer import Tokenizer
from stream_persona.errors import SettingsError
from stream_persona.model.explain import build_tree, compute_affinities, find_reasons
from stream_persona.model.river_adapter import Example, Learner, make_classifier
from stream_persona.model.river_model import fit
from tests.support.constants import NOW
from tests.support.events import deliver, purchase, shop
from tests.support.labelled import labelled_examples
from tests.support.processing import process_batch, profile_after, record_of

SHOP = shop()
BAYES = "river.naive_bayes:MultinomialNB"
KNOWN = labelled_examples(SHOP)


def asked(*categories: str) -> Profiles:
    return profile_after(purchase("p", categories=categories), taxonomy=SHOP)


def several() -> Profiles:
    """Three customers, and one without events."""
    counts = [
        record_of(purchase("p", categories=[name]), taxonomy=SHOP).counts
        for name in ("parent", "student", "food")
    ]
    return compute_profiles([*counts, Counts.empty()], SHOP.features)


@pytest.mark.parametrize("specification", [BAYES, "river.forest:ARFClassifier(n_models=3)"])
def test_any_order_of_examples_gives_the_same_version_and_bits(specification: str) -> None:
    one, other = (fit(specification, known, SHOP.names) for known in (KNOWN, KNOWN[::-1]))
    assert one.version == other.version
    assert (
        one.predict_probabilities(several()).tobytes()
        == other.predict_probabilities(several()).tobytes()
    )


def test_the_version_is_of_the_classifier_and_of_all_customers_learned() -> None:
    versions = {
        fit(BAYES, KNOWN, SHOP.names).version,
        fit(BAYES, KNOWN[1:], SHOP.names).version,
        fit("river.naive_bayes:ComplementNB", KNOWN, SHOP.names).version,
        fit(BAYES, [Example("new", "parent", asked("food")), *KNOWN[1:]], SHOP.names).version,
    }
    assert len(versions) == 4


def test_rows_are_in_the_order_of_the_personas_and_do_not_depend_on_each_other() -> None:
    weights, seen = fit(BAYES, KNOWN, SHOP.names), several()
    rows = weights.predict_probabilities(seen)
    assert rows.shape == (4, 5)
    assert rows.sum(axis=1) == pytest.approx(1)
    assert weights.classes[int(rows[0].argmax())] == "parent"
    assert all(
        (weights.predict_probabilities(seen.select_row(i))[0] == rows[i]).all() for i in range(4)
    )
    assert weights.predict_probabilities(compute_profiles([], SHOP.features)).shape == (0, 5)


def test_the_prior_is_the_share_of_the_labelled() -> None:
    weights = fit(BAYES, KNOWN[:1] * 3 + KNOWN[-1:], SHOP.names)
    assert weights.customers == 4
    assert sorted(np.exp(weights.log_prior)) == pytest.approx([1 / 9, 1 / 9, 1 / 9, 2 / 9, 4 / 9])


@pytest.mark.parametrize("known", [(), KNOWN])
def test_the_law_of_why_holds_with_the_prior_and_one_factor(known: Sequence[Example]) -> None:
    weights = fit(BAYES, known, SHOP.names)
    for i, persona in enumerate(SHOP.names):
        why = build_tree(weights, asked("parent"), persona, Tokenizer(SHOP).names.name_slot)
        assert [factor["type"] for factor in why["factors"]] == ["baseP", "normalizer"]
        product = math.prod(factor["value"] for factor in why["factors"])
        assert product == pytest.approx(
            weights.predict_probabilities(asked("parent"))[0, i], rel=1e-9
        )


def test_no_single_token_is_named_as_a_reason_or_an_affinity() -> None:
    weights, name = fit(BAYES, KNOWN, SHOP.names), Tokenizer(SHOP).names.name_slot
    assert find_reasons(weights, asked("parent"), ["parent"], name, 3) == [()]
    assert compute_affinities(weights, name) == {persona: {} for persona in SHOP.names}


def test_a_batch_is_predicted_with_it() -> None:
    weights = fit(BAYES, KNOWN, SHOP.names)
    visits = [purchase(f"p{i}", NOW + i, categories=["parent"]) for i in range(9)]
    change = process_batch(deliver(*visits), SHOP, weights=weights).records["c"].published
    assert change is not None
    assert (change.current.persona, change.model_version) == ("parent", weights.version)


class Failing(Learner):
    """Can't predict."""

    def predict_probabilities(self, profile: Profiles) -> tuple[float, ...]:
        raise ArithmeticError("no answer")


def test_a_model_that_fails_is_an_error_and_no_other_takes_its_place() -> None:
    with pytest.raises(SettingsError, match="Broken failed to learn: the tree has no root"):
        fit("tests.support.labelled:Broken", KNOWN, SHOP.names)
    failing = replace(
        fit(BAYES, KNOWN, SHOP.names), learner=Failing(make_classifier(BAYES), SHOP.names)
    )
    with pytest.raises(SettingsError, match="MultinomialNB failed to predict: no answer"):
        failing.predict_probabilities(several())


def test_a_river_model_has_the_surface_of_our_own_weights_without_any_of_its_tokens() -> None:
    predictor = fit(BAYES, KNOWN, SHOP.names)
    assert predictor.weighted_slots.tolist() == []
    rows, slots, added = predictor.compute_contributions(several())
    assert (len(rows), len(slots), added.shape) == (0, 0, (0, 5))
    assert (predictor.threshold, predictor.candidate_floor) == (None, None)
    assert np.exp(predictor.compute_logits(several())) == pytest.approx(
        predictor.predict_probabilities(several())
    )
