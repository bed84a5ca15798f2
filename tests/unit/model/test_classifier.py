import itertools
import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from stream_persona.domain.features import profiles
from stream_persona.domain.slots import SLOTS
from stream_persona.domain.tokenizer import Tokenizer
from stream_persona.model.classifier import PersonaClassifier, profile_of, seeds
from stream_persona.model.estimator import derive
from stream_persona.model.explain import affinities
from stream_persona.model.statistics import Contribution, contribution
from tests.support.builders import (
    NOW,
    PERSONAS,
    assignment,
    browse,
    delivered,
    model_of,
    profile_after,
    purchase,
    shop,
    tastes,
    walked,
)

SHOP = shop()
Lessons = list[tuple[Contribution, str]]


def lessons_of(rng: random.Random, count: int) -> Lessons:
    made = []
    for _ in range(count):
        tokens = {rng.randrange(1, SLOTS): rng.uniform(0.01, 50) for _ in range(rng.randint(0, 20))}
        x = {"events": rng.uniform(0.1, 300), **tokens}
        made.append((contribution(profile_of(x)), rng.choice(PERSONAS)))
    return made


def taught(model_updates: Lessons) -> PersonaClassifier:
    model = PersonaClassifier()
    for part, persona in model_updates:
        model.add(part, persona)
    return model


@pytest.mark.parametrize("seed", range(10))
def test_unlearning_inverts_learning_to_the_byte(seed: int) -> None:
    rng = random.Random(seed)
    model_updates = lessons_of(rng, 60)
    model, known = PersonaClassifier(), Lessons()
    for _ in range(400):
        if known and rng.random() < 0.5:
            part, persona = known.pop(rng.randrange(len(known)))
            model.add(part, persona, -1)
        else:
            known.append(rng.choice(model_updates))
            model.add(*known[-1])
    assert model.canonical() == taught(known).canonical()
    assert predictions(model).tobytes() == predictions(taught(known)).tobytes()
    for part, persona in known:
        model.add(part, persona, -1)
    assert model.canonical() == b""


def predictions(model: PersonaClassifier) -> np.ndarray:
    return derive(model, PERSONAS).probabilities(
        profile_after(*[purchase(f"p{i}", NOW, categories=["parent"]) for i in range(5)],
                      taxonomy=SHOP)
    )  # fmt: skip


@given(st.integers(0, 2**32))
@hypothesis(max_examples=15)
def test_any_split_in_any_order_merges_to_the_whole(seed: int) -> None:
    rng = random.Random(seed)
    model_updates = lessons_of(rng, 30)
    shares: list[Lessons] = [[], [], []]
    for lesson in rng.sample(model_updates, len(model_updates)):
        rng.choice(shares).append(lesson)
    total = PersonaClassifier()
    for share in shares:
        total.merge(PersonaClassifier.from_bytes(taught(share).to_bytes()))
    assert total.canonical() == taught(model_updates).canonical()


@given(st.integers(0, 2**32))
@hypothesis(max_examples=30)
def test_many_added_at_once_are_those_added_one_by_one(seed: int) -> None:
    rng = random.Random(seed)
    parts = [(*lesson, rng.choice([1, 1, -1])) for lesson in lessons_of(rng, rng.randint(0, 40))]
    one_by_one, at_once = PersonaClassifier(), PersonaClassifier()
    for part in parts:
        one_by_one.add(*part)
    cut = rng.randint(0, len(parts))
    at_once.add_all(parts[:cut])
    at_once.add_all(parts[cut:])
    assert at_once.canonical() == one_by_one.canonical()
    assert at_once.labels() == one_by_one.labels()


def test_merging_leaves_the_other_model_alone() -> None:
    one, two = taught(lessons_of(random.Random(1), 9)), taught(lessons_of(random.Random(2), 9))
    before = two.canonical()
    one.merge(two)
    one.merge(two)
    assert two.canonical() == before


def test_what_a_model_learns_after_it_was_merged_stays_out_of_the_other() -> None:
    model_updates = lessons_of(random.Random(3), 20)
    part, total = taught(model_updates[:10]), PersonaClassifier()
    merged = part.canonical()  # summed up, so that later lessons meet tokens that are known
    total.merge(part)
    for lesson in model_updates:
        part.add(*lesson)
    assert part.canonical() != merged
    assert total.canonical() == merged


def test_bytes_come_back_as_the_same_model() -> None:
    model = taught(lessons_of(random.Random(1), 40))
    assert PersonaClassifier.from_bytes(model.to_bytes()).canonical() == model.canonical()
    assert PersonaClassifier.from_bytes(PersonaClassifier().to_bytes()).customers == 0


def test_a_profile_is_predicted_alone_as_in_any_company() -> None:
    happened = tastes(SHOP, customers=20)
    weights = derive(model_of(happened, SHOP), SHOP.names, seeds(SHOP))
    counts = [record.counts for record in walked(delivered(*happened), SHOP).records.values()]
    together = weights.probabilities(profiles(counts, SHOP.features))
    for size in (1, 2, 3, 7, 50):
        for start in range(0, len(counts) - size + 1, size):
            part = profiles(counts[start : start + size], SHOP.features)
            found = weights.probabilities(part)
            assert found.tobytes() == together[start : start + size].tobytes()


def test_probabilities_sum_to_one() -> None:
    happened = tastes(SHOP)
    weights = derive(model_of(happened, SHOP), SHOP.names)
    counts = [record.counts for record in walked(delivered(*happened), SHOP).records.values()]
    found = weights.probabilities(profiles(counts, SHOP.features))
    assert found.sum(axis=1) == pytest.approx(np.ones(len(counts)), abs=1e-12)


def test_a_customer_is_recognised_by_behaviour() -> None:
    weights = derive(model_of(tastes(SHOP, customers=10), SHOP), SHOP.names)
    for persona in PERSONAS:
        bought = [purchase(f"p{i}", categories=[persona]) for i in range(10)]
        row = weights.probabilities(profile_after(*bought, taxonomy=SHOP))[0]
        assert SHOP.names[int(row.argmax())] == persona


def test_no_labels_mean_the_same_for_all() -> None:
    row = derive(PersonaClassifier(), PERSONAS).probabilities(profile_of({"events": 3, "a:b": 1}))
    assert row[0] == pytest.approx([0.2] * 5)


def test_a_shopper_without_events_has_the_priors_probabilities() -> None:
    happened = [*tastes(SHOP), *tastes(shop(["parent", *"bcde"]), seed=2)]
    weights = derive(model_of(happened, SHOP), SHOP.names)
    counts = walked(delivered(assignment("a")), SHOP).records["c"].counts
    row = weights.probabilities(profiles([counts], SHOP.features))[0]
    prior = np.exp(weights.log_prior)
    assert row == pytest.approx(prior / prior.sum())


@pytest.mark.parametrize("seed_customers", [1, 2, 5])
def test_seeds_name_the_persona_of_matching_behaviour_without_any_label(
    seed_customers: int,
) -> None:
    taxonomy = seeded(seed_customers)
    weights = derive(PersonaClassifier(), taxonomy.names, seeds(taxonomy))
    for persona, event in (("a", purchase("p", categories=["baby"])), ("b", browse("q"))):
        row = weights.probabilities(profile_after(event, taxonomy=taxonomy))[0]
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
    weights = derive(model_of(happened, taxonomy), taxonomy.names, seeds(taxonomy))
    row = weights.probabilities(
        profile_after(purchase("p", categories=["baby"]), taxonomy=taxonomy)
    )
    assert taxonomy.names[int(row[0].argmax())] == "e"


def test_scores_do_not_overflow_where_tokens_never_vary() -> None:
    model = PersonaClassifier()
    for persona, _ in itertools.product(PERSONAS, range(30)):
        model.learn_one(constant(persona), persona)
    for persona in PERSONAS:
        row = derive(model, PERSONAS).logits(profile_of(constant(persona)))[0]
        assert PERSONAS[int(row.argmax())] == persona


def constant(persona: str) -> dict[str, float]:
    return {"events": 100, **{f"attributes.{i}:{persona}": 100.0 for i in range(600)}}


def test_a_river_estimator_learns_unlearns_and_predicts() -> None:
    model = PersonaClassifier()
    for _ in range(5):
        model.learn_one({"events": 3, "category:baby": 3}, "parent")
        model.learn_one({"events": 3, "category:tools": 2}, "builder")
    assert model.labels() == {"builder": 5, "parent": 5}
    found = model.predict_proba_one({"events": 2, "category:baby": 1})
    assert max(found, key=found.__getitem__) == "parent"
    assert sum(found.values()) == pytest.approx(1)
    for _ in range(5):
        model.unlearn_one({"events": 3, "category:baby": 3}, "parent")
    assert model.labels() == {"builder": 5}
    assert PersonaClassifier().predict_proba_one({"a:b": 1}) == {}


def test_a_heavy_shopper_counts_no_more_than_a_hundred_events() -> None:
    heavy, bounded = ({"events": n, "a:b": n} for n in (1e6, 100))
    one, two = (contribution(profile_of(x)) for x in (heavy, bounded))
    assert one.moments.tobytes() == two.moments.tobytes()
    assert one.events == two.events


def test_affinities_are_the_lifts_of_what_was_learned() -> None:
    tokenizer = Tokenizer(SHOP)
    for persona in PERSONAS:
        tokenizer.slot("category", persona)
    weights = derive(model_of(tastes(SHOP, customers=20), SHOP), SHOP.names)
    lifts = affinities(weights, tokenizer.names.name)
    assert list(lifts) == list(PERSONAS)
    own: Sequence[float] = [lifts[persona][f"category:{persona}"] for persona in PERSONAS]
    assert min(own) > 1
