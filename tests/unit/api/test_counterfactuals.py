"""Counterfactuals, checked by processing their events."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from msgspec.structs import replace as changed

from stream_persona.api.counterfactuals import (
    FEATURES,
    TIMES,
    Counterfactual,
    answer_counterfactuals,
    find_counterfactuals,
)
from stream_persona.domain import taxonomy as taxonomies
from stream_persona.domain.events import Browse, Event, Item, Purchase
from stream_persona.domain.features import compute_profiles
from stream_persona.domain.record import MILLION, Record
from stream_persona.domain.taxonomy import FIELDS, Taxonomy
from stream_persona.domain.token_names import TokenNames
from stream_persona.domain.tokenizer import Tokenizer
from stream_persona.model.classifier import PersonaClassifier, make_seed_sums
from stream_persona.model.estimator import derive
from stream_persona.model.river_model import fit
from stream_persona.model.weights import Weights
from stream_persona.pipeline.decision import to_millionths
from stream_persona.pipeline.process import Outcome
from tests.support.constants import DAY, HOUR, NOW
from tests.support.events import assignment, browse, deliver, labelled_shoppers, purchase, shop
from tests.support.examples import count_examples
from tests.support.names import show_names
from tests.support.processing import model_of, process_batch, record_of

SHOP = shop(features={"fields": FIELDS})
GENERIC = taxonomies.load(None)


@cache
def learned(taxonomy: Taxonomy = SHOP) -> Weights:
    """The weights of a model of shoppers that buy in the categories of their personas' names."""
    derived = derive(model_of(labelled_shoppers(taxonomy, customers=20), taxonomy), taxonomy.names)
    return replace(derived, evidence_scale=1.0)


@cache
def names(taxonomy: Taxonomy = SHOP) -> TokenNames:
    """The names of the tokens of their events."""
    return show_names(Tokenizer(taxonomy), *labelled_shoppers(taxonomy, customers=20)).names


def some_shopper(seed: int) -> list[Event]:
    """A few baskets and searches, mostly of one persona's."""
    rng = random.Random(seed)
    taste = rng.choice(SHOP.names)
    made: list[Event] = []
    for number in range(rng.randint(1, 8)):
        at = NOW + rng.randint(0, 300 * DAY)
        category = taste if rng.random() < 0.7 else rng.choice(SHOP.names)
        bought = purchase(f"e{number}", at, categories=(category, "food"))
        made.append(browse(f"e{number}", at, query=category) if rng.random() < 0.2 else bought)
    return made


def search(record: Record, weights: Weights | None = None) -> list[Counterfactual]:
    return find_counterfactuals(record, weights or learned(), SHOP, names().tokens)


def happening(case: Counterfactual, times: int, at: int) -> list[Event]:
    """The events of a counterfactual, as they would arrive; product ``?0`` has no weight."""
    made: list[Event] = []
    for number in range(times):
        name = f"flip-{number}"
        if case.feature == "query":
            made.append(Browse(name, "c", at, "search", query=case.value))
            continue
        item = Item("?0")
        field = {"product": "product_id"}.get(case.feature, case.feature)
        item = changed(item, **{field: case.value})
        if case.kind == "purchase":
            made.append(Purchase(name, "c", at, (item,)))
        else:
            made.append(Browse(name, "c", at, "view", item))
    return made


def after(
    record: Record, case: Counterfactual, times: int, weights: Weights, taxonomy: Taxonomy = SHOP
) -> tuple[Outcome, tuple[float, ...]]:
    """Process so many of a counterfactual's events; return the outcome, and the posterior then."""
    events = happening(case, times, record.counts.clock)
    first = max(record.positions.values(), default=0)
    outcome = process_batch(deliver(*events, first=first), taxonomy, {"c": record}, weights)
    seen = compute_profiles([outcome.records["c"].counts], taxonomy.features)
    return outcome, tuple(weights.predict_probabilities(seen)[0].tolist())


def published_share(posterior: Sequence[float]) -> float:
    """The likeliest persona's probability as it is published."""
    return max(to_millionths(np.array([posterior]))[0]) / MILLION


# --- the law ---


@given(st.integers(0, 10_000))
@examples(max_examples=count_examples(40))
def test_a_counterfactuals_events_make_its_persona_likeliest_as_it_predicts(
    seed: int,
) -> None:
    record = record_of(*some_shopper(seed), taxonomy=SHOP)
    for case in search(record):
        outcome, posterior = after(record, case, case.events, learned())
        assert SHOP.names[posterior.index(max(posterior))] == case.persona
        assert published_share(posterior) == case.probability
        published = outcome.records["c"].published
        assert published is not None
        assert (published.current.persona == case.persona) == case.named


@given(st.integers(0, 10_000))
@examples(max_examples=count_examples(20))
def test_fewer_events_than_a_counterfactuals_do_not_make_its_persona_likeliest(seed: int) -> None:
    record = record_of(*some_shopper(seed), taxonomy=SHOP)
    for case in search(record):
        for fewer in TIMES[: TIMES.index(case.events)]:
            _, posterior = after(record, case, fewer, learned())
            assert SHOP.names[posterior.index(max(posterior))] != case.persona


def test_most_personas_of_a_shopper_little_known_can_be_reached() -> None:
    reached = [len(search(record_of(*some_shopper(s), taxonomy=SHOP))) for s in range(20)]
    assert sum(reached) > 0.8 * 20 * (len(SHOP.names) - 1)


# --- answers ---


def test_the_answer_holds_the_likeliest_persona_and_each_other_one_once() -> None:
    record = record_of(
        *[purchase(f"e{n}", NOW, categories=["gamer"]) for n in range(3)], taxonomy=SHOP
    )
    answered = answer_counterfactuals("c", record, learned(), SHOP, names().tokens)
    posterior = learned().predict_probabilities(compute_profiles([record.counts], SHOP.features))[0]
    assert (answered["customer_id"], answered["persona"]) == ("c", "gamer")
    assert answered["probability"] == published_share(posterior.tolist())
    reached = [case["persona"] for case in answered["flips"]]
    assert sorted(reached) == sorted({*SHOP.names} - {"gamer"})
    assert {case["feature"] for case in answered["flips"]} <= {*FEATURES}
    assert {case["value"].removeprefix("p-") for case in answered["flips"]} == {*reached}


def test_the_fewest_events_come_first_and_then_the_surest() -> None:
    for seed in range(10):
        order = [
            (f.events, -f.probability)
            for f in search(record_of(*some_shopper(seed), taxonomy=SHOP))
        ]
        assert order == sorted(order)


def test_a_persona_that_twenty_events_do_not_reach_is_left_out() -> None:
    loyal = [purchase(f"e{n}", NOW, categories=["gamer"] * 10) for n in range(200)]
    few = [purchase(f"e{n}", NOW, categories=["gamer"]) for n in range(2)]
    assert len(search(record_of(*loyal, taxonomy=SHOP))) < len(
        search(record_of(*few, taxonomy=SHOP))
    )


def test_the_measured_threshold_decides_whether_the_persona_is_named() -> None:
    record = record_of(*some_shopper(3), taxonomy=SHOP)
    assert any(
        case.named
        for case in search(record, replace(learned(), thresholds=(0.01,) * len(SHOP.names)))
    )
    assert not any(
        case.named
        for case in search(record, replace(learned(), thresholds=(0.9999,) * len(SHOP.names)))
    )


def test_a_dwelling_persona_is_not_replaced_yet() -> None:
    patient = SHOP.model_copy(
        update={"policy": SHOP.policy.model_copy(update={"min_dwell_seconds": 3_600.0})}
    )
    weights = replace(learned(), thresholds=(0.01,) * len(SHOP.names))
    happened = deliver(*[purchase(f"e{n}", NOW, categories=["gamer"]) for n in range(3)])
    record = process_batch(happened, SHOP, weights=weights).records["c"]
    assert record.published is not None
    assert record.published.current.persona == "gamer"
    assert any(case.named for case in find_counterfactuals(record, weights, SHOP, names().tokens))
    assert not any(
        case.named for case in find_counterfactuals(record, weights, patient, names().tokens)
    )


def test_an_assignment_is_ignored() -> None:
    happened = [purchase("e1", categories=["gamer"]), purchase("e2", categories=["gamer"])]
    free = record_of(*happened, taxonomy=SHOP)
    bound = record_of(*happened, assignment("a", persona="student"), taxonomy=SHOP)
    assert search(bound) == search(free)


def test_a_customer_without_events_has_counterfactuals_at_the_time_of_the_label() -> None:
    record = record_of(assignment("a", NOW + HOUR, persona="student"), taxonomy=SHOP)
    answered = search(record)
    assert {case.events for case in answered} == {1}
    assert len(answered) >= len(SHOP.names) - 2


# --- candidates ---


def test_tokens_without_names_are_not_tried_but_for_seeds() -> None:
    assert (
        find_counterfactuals(record_of(*some_shopper(1), taxonomy=SHOP), learned(), SHOP, {}) == []
    )
    weights = derive(PersonaClassifier(), GENERIC.names, make_seed_sums(GENERIC))
    answered = find_counterfactuals(
        record_of(purchase("e1"), taxonomy=GENERIC), weights, GENERIC, {}
    )
    seeded = {
        (feature, value)
        for persona in GENERIC.personas
        for feature, values in persona.seeds.items()
        for value in values
    }
    assert answered
    assert {(case.feature, case.value) for case in answered} <= seeded


def test_a_look_is_tried_where_it_weighs_more_than_a_purchase() -> None:
    looking = SHOP.model_copy(
        update={"signals": SHOP.signals.model_copy(update={"purchase": 0.25, "view": 2.0})}
    )
    record = record_of(*some_shopper(1), taxonomy=looking)
    answered = find_counterfactuals(record, learned(), looking, names().tokens)
    assert answered
    for case in answered:
        assert case.kind == "browse"
        _, posterior = after(record, case, case.events, learned(), looking)
        assert published_share(posterior) == case.probability


def test_a_search_is_tried_with_its_word() -> None:
    only = shop(features={"fields": ("query",)})
    made: list[Event] = []
    for persona, n in itertools.product(only.names, range(20)):
        made += [browse(f"{persona}-{n}", NOW, f"{persona}-{n}", f"{persona} cheap")]
        made += [assignment(f"a-{persona}-{n}", NOW, f"{persona}-{n}", persona)]
    tokenizer = show_names(Tokenizer(only), *made)
    weights = replace(derive(model_of(made, only), only.names), evidence_scale=1.0)
    answered = find_counterfactuals(
        record_of(browse("e", query="gamer"), taxonomy=only), weights, only, tokenizer.names.tokens
    )
    assert {(f.persona, f.kind, f.feature, f.value) for f in answered} == {
        (persona, "browse", "query", persona) for persona in only.names if persona != "gamer"
    }


def test_a_name_of_which_only_the_beginning_is_known_is_not_tried() -> None:
    cut = {slot: tuple(name.ljust(256, "…") for name in of) for slot, of in names().tokens.items()}
    assert (
        find_counterfactuals(record_of(*some_shopper(1), taxonomy=SHOP), learned(), SHOP, cut) == []
    )


def test_a_model_whose_tokens_have_no_weights_has_no_counterfactuals() -> None:
    foreign = fit("river.naive_bayes:MultinomialNB", (), SHOP.names)
    record = record_of(*some_shopper(1), taxonomy=SHOP)
    assert answer_counterfactuals("c", record, foreign, SHOP, names().tokens)["flips"] == []


def test_a_search_adds_no_names() -> None:
    known = dict(names().tokens)
    search(record_of(*some_shopper(5), taxonomy=SHOP))
    assert names().tokens == known
