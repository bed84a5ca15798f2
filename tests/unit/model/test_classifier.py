"""The classifier: predictions of single rows, seeds, and River's own checks of an estimator."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from river import checks
from river.base import Estimator

from stream_persona.domain.features import compute_profiles
from stream_persona.model.classifier import PersonaClassifier, make_profile, make_seed_sums
from stream_persona.model.estimator import derive
from tests.support.constants import PERSONAS
from tests.support.events import assignment, browse, deliver, labelled_shoppers, purchase, shop
from tests.support.processing import model_of, process_batch, profile_after

SHOP = shop()


def test_a_profile_is_predicted_alone_as_in_any_company() -> None:
    happened = labelled_shoppers(SHOP, customers=20)
    weights = derive(model_of(happened, SHOP), SHOP.names, make_seed_sums(SHOP))
    counts = [record.counts for record in process_batch(deliver(*happened), SHOP).records.values()]
    together = weights.predict_probabilities(compute_profiles(counts, SHOP.features))
    for size in (1, 2, 3, 7, 50):
        for start in range(0, len(counts) - size + 1, size):
            part = compute_profiles(counts[start : start + size], SHOP.features)
            found = weights.predict_probabilities(part)
            assert found.tobytes() == together[start : start + size].tobytes()


def test_probabilities_sum_to_one() -> None:
    happened = labelled_shoppers(SHOP)
    weights = derive(model_of(happened, SHOP), SHOP.names)
    counts = [record.counts for record in process_batch(deliver(*happened), SHOP).records.values()]
    found = weights.predict_probabilities(compute_profiles(counts, SHOP.features))
    assert found.sum(axis=1) == pytest.approx(np.ones(len(counts)), abs=1e-12)


def test_a_customer_is_recognised_by_behaviour() -> None:
    weights = derive(model_of(labelled_shoppers(SHOP, customers=10), SHOP), SHOP.names)
    for persona in PERSONAS:
        bought = [purchase(f"p{i}", categories=[persona]) for i in range(10)]
        row = weights.predict_probabilities(profile_after(*bought, taxonomy=SHOP))[0]
        assert SHOP.names[int(row.argmax())] == persona


def test_no_labels_mean_the_same_for_all() -> None:
    row = derive(PersonaClassifier(), PERSONAS).predict_probabilities(
        make_profile({"events": 3, "a:b": 1})
    )
    assert row[0] == pytest.approx([0.2] * 5)


def test_a_shopper_without_events_has_the_priors_probabilities() -> None:
    happened = [*labelled_shoppers(SHOP), *labelled_shoppers(shop(["parent", *"bcde"]), seed=2)]
    weights = derive(model_of(happened, SHOP), SHOP.names)
    counts = process_batch(deliver(assignment("a")), SHOP).records["c"].counts
    row = weights.predict_probabilities(compute_profiles([counts], SHOP.features))[0]
    prior = np.exp(weights.log_prior)
    assert row == pytest.approx(prior / prior.sum())


@pytest.mark.parametrize("seed_customers", [1, 2, 5])
def test_seeds_name_the_persona_of_matching_behaviour_without_any_label(
    seed_customers: int,
) -> None:
    taxonomy = seeded(seed_customers)
    weights = derive(PersonaClassifier(), taxonomy.names, make_seed_sums(taxonomy))
    for persona, event in (("a", purchase("p", categories=["baby"])), ("b", browse("q"))):
        row = weights.predict_probabilities(profile_after(event, taxonomy=taxonomy))[0]
        assert taxonomy.names[int(row.argmax())] == persona
        assert row.max() > 0.3


def seeded(seed_customers: int = 5):  # noqa: ANN201
    a = {"name": "a", "seeds": {"category": ["baby", "toys"]}}
    b = {"name": "b", "seeds": {"query": ["shoes"], "category": ["shoes"]}}
    rest = [{"name": name} for name in "cde"]
    policy = {"seed_customers": seed_customers}
    return type(SHOP).model_validate({"persona": [a, b, *rest], "policy": policy})


def test_labels_outweigh_seeds() -> None:
    taxonomy = seeded()
    happened = [
        event
        for i in range(40)
        for event in (
            assignment(f"a{i}", customer=f"c{i}", persona="e" if i % 2 else "b"),
            purchase(f"p{i}", customer=f"c{i}", categories=["baby" if i % 2 else "shoes"]),
        )
    ]
    weights = derive(model_of(happened, taxonomy), taxonomy.names, make_seed_sums(taxonomy))
    row = weights.predict_probabilities(
        profile_after(purchase("p", categories=["baby"]), taxonomy=taxonomy)
    )
    assert taxonomy.names[int(row[0].argmax())] == "e"


def test_scores_do_not_overflow_where_tokens_never_vary() -> None:
    model = PersonaClassifier()
    for persona, _ in itertools.product(PERSONAS, range(30)):
        model.learn_one(constant(persona), persona)
    for persona in PERSONAS:
        row = derive(model, PERSONAS).compute_logits(make_profile(constant(persona)))[0]
        assert PERSONAS[int(row.argmax())] == persona


def constant(persona: str) -> dict[str, float]:
    return {"events": 100, **{f"attributes.{i}:{persona}": 100.0 for i in range(600)}}


def test_a_river_estimator_learns_unlearns_and_predicts() -> None:
    model = PersonaClassifier()
    for _ in range(5):
        model.learn_one({"events": 3, "category:baby": 3}, "parent")
        model.learn_one({"events": 3, "category:tools": 2}, "builder")
    assert model.count_labels() == {"builder": 5, "parent": 5}
    found = model.predict_proba_one({"events": 2, "category:baby": 1})
    assert max(found, key=found.__getitem__) == "parent"
    assert sum(found.values()) == pytest.approx(1)
    for _ in range(5):
        model.unlearn_one({"events": 3, "category:baby": 3}, "parent")
    assert model.count_labels() == {"builder": 5}
    assert PersonaClassifier().predict_proba_one({"a:b": 1}) == {}


# --- River's own checks of an estimator ---


CHECKS = list(checks.yield_checks(PersonaClassifier()))


@pytest.mark.long
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_classifier_passes_rivers_own_check(check: Callable[[Estimator], None]) -> None:
    model = PersonaClassifier()
    assert check.__name__ not in model._unit_test_skips()
    check(model.clone())


def test_the_classifier_is_checked_on_more_than_two_classes() -> None:
    names = [check.__name__ for check in CHECKS]
    assert "check_predict_proba_one_binary" not in names
    assert "check_predict_proba_many_matches_predict_proba_one" in names
