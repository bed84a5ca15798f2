"""Lifts: likelihoods against the common one, shrunken to 1 by how many customers show them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_persona.domain.features import SCALE
from stream_persona.domain.slots import hash_to_slot
from stream_persona.domain.taxonomy import Persona, Taxonomy
from stream_persona.model.classifier import PersonaClassifier, make_profile
from stream_persona.model.estimator import derive
from stream_persona.model.explain import compute_affinities
from stream_persona.model.fitting import ModelFitter
from stream_persona.model.lifts import PRIOR_CUSTOMERS, shrink_log_lifts
from stream_persona.model.statistics import make_contribution

TOKEN = "category:baby"
CLASSES = ("parent", "student")


def learn(*shoppers: tuple[str, float], events: float = 20.0) -> PersonaClassifier:
    """Sums of shoppers, each a persona and how many of its events have the token."""
    model = PersonaClassifier()
    for number, (persona, count) in enumerate(shoppers):
        profile = make_profile({"events": events, "category:food": events, TOKEN: count})
        model.add(make_contribution(profile, number % 5), persona)
    return model


def lift_of(model: PersonaClassifier, persona: str, token: str = TOKEN) -> float:
    """The published lift; a token that is not listed has none, as rankers read it."""
    names = {hash_to_slot(each, fine=False): each for each in (TOKEN, "category:food")}
    return compute_affinities(derive(model, CLASSES), names.__getitem__)[persona].get(token, 1.0)


def shoppers(parents: float, students: float, number: int) -> list[tuple[str, float]]:
    return [("parent", parents)] * number + [("student", students)] * number


def test_what_three_customers_have_is_neither_a_mark_nor_impossible_to_others() -> None:
    rare = [("parent", 1.0)] * 3 + shoppers(0.0, 0.0, 100)
    assert 1.0 < lift_of(learn(*rare), "parent") < 1.5
    assert 0.7 < lift_of(learn(*rare), "student") < 1.0


def test_what_hundreds_have_is_taken_at_its_word() -> None:
    assert lift_of(learn(*shoppers(6.0, 2.0, 400)), "parent") == pytest.approx(1.5, rel=0.01)
    assert lift_of(learn(*shoppers(6.0, 2.0, 400)), "student") == pytest.approx(0.5, rel=0.02)


def test_a_lift_is_the_mean_of_what_was_found_and_of_one_by_the_customers_of_both() -> None:
    found = lift_of(learn(*shoppers(4.0, 0.0, 30)), "parent")
    expected = (30 + PRIOR_CUSTOMERS) / (15 + PRIOR_CUSTOMERS)
    assert found == pytest.approx(expected, rel=1e-4)


def test_events_of_one_customer_show_less_than_as_many_of_several() -> None:
    students = [("student", 1.0)] * 40
    one = learn(("parent", 17.0), *[("parent", 1.0)] * 39, *students)
    several = learn(*[("parent", 1.4)] * 40, *students)
    assert 1.0 < lift_of(one, "parent") < lift_of(several, "parent")


def test_lifts_lie_between_those_of_none_and_of_all_customers() -> None:
    number = 10
    model = learn(*shoppers(5.0, 0.0, number))
    least = PRIOR_CUSTOMERS / (number + PRIOR_CUSTOMERS)
    assert least <= lift_of(model, "student") < 1 < lift_of(model, "parent")
    assert lift_of(model, "parent") <= (number + PRIOR_CUSTOMERS) / PRIOR_CUSTOMERS


def test_a_class_without_customers_has_no_lifts() -> None:
    weights = derive(learn(*[("parent", 3.0)] * 10), CLASSES)
    assert not weights.compute_share_log_ratios(weights.weighted_slots)[:, 1].any()


def test_the_seeds_of_one_persona_are_its_marks_before_anything_is_known_of_others() -> None:
    seeded = Persona(name="parent", seeds={"category": ("baby",)})
    taxonomy = Taxonomy(persona=(seeded, Persona(name="student"), Persona(name="gamer")))
    weights = ModelFitter(taxonomy).weights
    number, classes = taxonomy.policy.seed_customers, len(taxonomy.personas)
    lifts = np.exp(weights.compute_share_log_ratios(np.array([hash_to_slot(TOKEN, fine=False)])))[0]
    expected = (number + PRIOR_CUSTOMERS) / (number / classes + PRIOR_CUSTOMERS)
    assert lifts == pytest.approx([expected, 1.0, 1.0], rel=1e-4)


def test_shares_too_small_for_their_squares_have_finite_lifts() -> None:
    moments = np.zeros((3, 2, 1), np.int64)
    moments[0], moments[1] = 3, [[100], [0]]
    found = shrink_log_lifts(np.full((2, 1), 50.0), moments)
    assert np.isfinite(found).all()
    assert 0 < found[0, 0] < math.log(2)


@given(st.permutations(range(12)), st.integers(0, 11))
def test_lifts_depend_on_the_labelled_customers_alone(order: list[int], gone: int) -> None:
    known = [(("parent", "student")[n % 2], float(n)) for n in range(12)]
    parts = [
        make_contribution(
            make_profile({"events": 20.0, "category:food": 20.0, TOKEN: count}), n % 5
        )
        for n, (_, count) in enumerate(known)
    ]
    turned, never = PersonaClassifier(), PersonaClassifier()
    for n in order:
        turned.add(parts[n], known[n][0])
    turned.add(parts[gone], known[gone][0], -1)
    for n in range(12):
        if n != gone:
            never.add(parts[n], known[n][0])
    ours, theirs = derive(turned, CLASSES), derive(never, CLASSES)
    assert np.array_equal(ours.lifts_w, theirs.lifts_w)
    assert np.abs(ours.lifts_w).max() < SCALE * 13.8
