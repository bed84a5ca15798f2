"""Sums: exact, whatever is added, taken out, split and merged, in any order."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from stream_persona.domain.slots import SLOTS
from stream_persona.model.classifier import PersonaClassifier, make_profile
from stream_persona.model.estimator import derive
from stream_persona.model.statistics import Contribution, make_contribution
from tests.support.constants import NOW, PERSONAS
from tests.support.events import purchase, shop
from tests.support.examples import count_examples
from tests.support.processing import profile_after

SHOP = shop()
Updates = list[tuple[Contribution, str]]


def updates_of(rng: random.Random, count: int) -> Updates:
    made = []
    for _ in range(count):
        tokens = {rng.randrange(1, SLOTS): rng.uniform(0.01, 50) for _ in range(rng.randint(0, 20))}
        x = {"events": rng.uniform(0.1, 300), **tokens}
        made.append((make_contribution(make_profile(x)), rng.choice(PERSONAS)))
    return made


def model_of(updates: Updates) -> PersonaClassifier:
    model = PersonaClassifier()
    for part, persona in updates:
        model.add(part, persona)
    return model


@pytest.mark.parametrize("seed", range(10))
def test_unlearning_inverts_learning_to_the_byte(seed: int) -> None:
    rng = random.Random(seed)
    updates = updates_of(rng, 60)
    model, known = PersonaClassifier(), Updates()
    for _ in range(400):
        if known and rng.random() < 0.5:
            part, persona = known.pop(rng.randrange(len(known)))
            model.add(part, persona, -1)
        else:
            known.append(rng.choice(updates))
            model.add(*known[-1])
    assert model.encode_canonically() == model_of(known).encode_canonically()
    assert predictions(model).tobytes() == predictions(model_of(known)).tobytes()
    for part, persona in known:
        model.add(part, persona, -1)
    assert model.encode_canonically() == b""


def predictions(model: PersonaClassifier) -> np.ndarray:
    return derive(model, PERSONAS).predict_probabilities(
        profile_after(*[purchase(f"p{i}", NOW, categories=["parent"]) for i in range(5)],
                      taxonomy=SHOP)
    )  # fmt: skip


@given(st.integers(0, 2**32))
@hypothesis(max_examples=count_examples(15))
def test_any_split_in_any_order_merges_to_the_whole(seed: int) -> None:
    rng = random.Random(seed)
    updates = updates_of(rng, 30)
    shares: list[Updates] = [[], [], []]
    for update in rng.sample(updates, len(updates)):
        rng.choice(shares).append(update)
    total = PersonaClassifier()
    for share in shares:
        total.merge(PersonaClassifier.from_bytes(model_of(share).to_bytes()))
    assert total.encode_canonically() == model_of(updates).encode_canonically()


@given(st.integers(0, 2**32))
@hypothesis(max_examples=count_examples(30))
def test_many_added_at_once_are_those_added_one_by_one(seed: int) -> None:
    rng = random.Random(seed)
    parts = [(*update, rng.choice([1, 1, -1])) for update in updates_of(rng, rng.randint(0, 40))]
    one_by_one, at_once = PersonaClassifier(), PersonaClassifier()
    for part in parts:
        one_by_one.add(*part)
    cut = rng.randint(0, len(parts))
    at_once.add_all(parts[:cut])
    at_once.add_all(parts[cut:])
    assert at_once.encode_canonically() == one_by_one.encode_canonically()
    assert at_once.count_labels() == one_by_one.count_labels()


def test_merging_leaves_the_other_model_alone() -> None:
    one, two = model_of(updates_of(random.Random(1), 9)), model_of(updates_of(random.Random(2), 9))
    before = two.encode_canonically()
    one.merge(two)
    one.merge(two)
    assert two.encode_canonically() == before


def test_what_a_model_learns_after_it_was_merged_stays_out_of_the_other() -> None:
    updates = updates_of(random.Random(3), 20)
    part, total = model_of(updates[:10]), PersonaClassifier()
    merged = (
        part.encode_canonically()
    )  # summed up, so that later updates meet tokens that are known
    total.merge(part)
    for update in updates:
        part.add(*update)
    assert part.encode_canonically() != merged
    assert total.encode_canonically() == merged


def test_bytes_come_back_as_the_same_model() -> None:
    model = model_of(updates_of(random.Random(1), 40))
    assert (
        PersonaClassifier.from_bytes(model.to_bytes()).encode_canonically()
        == model.encode_canonically()
    )
    assert PersonaClassifier.from_bytes(PersonaClassifier().to_bytes()).customers == 0


def test_a_heavy_shopper_counts_no_more_than_a_hundred_events() -> None:
    heavy, bounded = ({"events": n, "a:b": n} for n in (1e6, 100))
    one, two = (make_contribution(make_profile(x)) for x in (heavy, bounded))
    assert one.moments.tobytes() == two.moments.tobytes()
    assert one.events == two.events
