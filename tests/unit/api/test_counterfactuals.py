"""What would flip a persona, and that it does: by the walk itself."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from functools import cache

from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from msgspec.structs import replace as changed

from stream_persona.api.counterfactuals import FEATURES, TIMES, Flip, answer, flips
from stream_persona.domain import taxonomy as taxonomies
from stream_persona.domain.events import Browse, Event, Item, Purchase
from stream_persona.domain.features import profiles
from stream_persona.domain.record import Record
from stream_persona.domain.taxonomy import FIELDS, Taxonomy
from stream_persona.domain.token_names import TokenNames
from stream_persona.domain.tokenizer import Tokenizer
from stream_persona.model.classifier import PersonaClassifier, seeds
from stream_persona.model.estimator import derive
from stream_persona.model.river_model import fit
from stream_persona.model.weights import Weights
from stream_persona.pipeline.process import Outcome
from tests.support.builders import (
    DAY,
    HOUR,
    NOW,
    assignment,
    browse,
    delivered,
    model_of,
    purchase,
    record_of,
    shop,
    tastes,
    walked,
)

SHOP = shop(features={"fields": FIELDS})
GENERIC = taxonomies.load(None)


@cache
def learned(taxonomy: Taxonomy = SHOP) -> Weights:
    """What a model knows of shoppers who buy in the categories of their personas' names."""
    derived = derive(model_of(tastes(taxonomy, customers=20), taxonomy), taxonomy.names)
    return replace(derived, evidence_scale=1.0)


@cache
def names(taxonomy: Taxonomy = SHOP) -> TokenNames:
    """The names of all that they did."""
    tokenizer = Tokenizer(taxonomy)
    for event in tastes(taxonomy, customers=20):
        if isinstance(event, Purchase):
            tokenizer.tokenize(event)
    return tokenizer.names


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


def found(record: Record, weights: Weights | None = None) -> list[Flip]:
    return flips(record, weights or learned(), SHOP, names().tokens)


def happening(flip: Flip, times: int, at: int) -> list[Event]:
    """The events of a flip, as they would come in; the model knows nothing of product ``?0``."""
    made: list[Event] = []
    for number in range(times):
        name = f"flip-{number}"
        if flip.feature == "query":
            made.append(Browse(name, "c", at, "search", query=flip.value))
            continue
        item = Item("?0")
        field = {"product": "product_id"}.get(flip.feature, flip.feature)
        item = changed(item, **{field: flip.value})
        if flip.kind == "purchase":
            made.append(Purchase(name, "c", at, (item,)))
        else:
            made.append(Browse(name, "c", at, "view", item))
    return made


def after(
    record: Record, flip: Flip, times: int, weights: Weights, taxonomy: Taxonomy = SHOP
) -> tuple[Outcome, tuple[float, ...]]:
    """What a walk makes of so many of a flip's events, and the posterior then."""
    events = happening(flip, times, record.counts.clock)
    first = max(record.positions.values(), default=0)
    outcome = walked(delivered(*events, first=first), taxonomy, {"c": record}, weights)
    seen = profiles([outcome.records["c"].counts], taxonomy.features)
    return outcome, tuple(weights.probabilities(seen)[0].tolist())


# --- the law ---


@given(st.integers(0, 10_000))
@examples(max_examples=40)
def test_a_walk_of_a_flips_events_makes_its_persona_likeliest_as_it_says(seed: int) -> None:
    record = record_of(*some_shopper(seed), taxonomy=SHOP)
    for flip in found(record):
        outcome, posterior = after(record, flip, flip.events, learned())
        assert SHOP.names[posterior.index(max(posterior))] == flip.persona
        assert round(max(posterior), 6) == flip.probability
        published = outcome.records["c"].published
        assert published is not None
        assert (published.current.persona == flip.persona) == flip.named


@given(st.integers(0, 10_000))
@examples(max_examples=20)
def test_fewer_of_the_same_events_do_not_flip(seed: int) -> None:
    record = record_of(*some_shopper(seed), taxonomy=SHOP)
    for flip in found(record):
        for fewer in TIMES[: TIMES.index(flip.events)]:
            _, posterior = after(record, flip, fewer, learned())
            assert SHOP.names[posterior.index(max(posterior))] != flip.persona


def test_most_personas_of_a_shopper_little_known_can_be_reached() -> None:
    reached = [len(found(record_of(*some_shopper(s), taxonomy=SHOP))) for s in range(20)]
    assert sum(reached) > 0.8 * 20 * (len(SHOP.names) - 1)


# --- what is told ---


def test_the_answer_tells_who_is_likeliest_now_and_each_other_persona_once() -> None:
    record = record_of(
        *[purchase(f"e{n}", NOW, categories=["gamer"]) for n in range(3)], taxonomy=SHOP
    )
    told = answer("c", record, learned(), SHOP, names().tokens)
    posterior = learned().probabilities(profiles([record.counts], SHOP.features))[0]
    assert (told["customer_id"], told["persona"]) == ("c", "gamer")
    assert told["probability"] == round(float(posterior.max()), 6)
    reached = [flip["persona"] for flip in told["flips"]]
    assert sorted(reached) == sorted({*SHOP.names} - {"gamer"})
    assert {flip["feature"] for flip in told["flips"]} <= {*FEATURES}
    assert {flip["value"].removeprefix("p-") for flip in told["flips"]} == {*reached}


def test_the_fewest_events_come_first_and_then_the_surest() -> None:
    for seed in range(10):
        order = [
            (f.events, -f.probability) for f in found(record_of(*some_shopper(seed), taxonomy=SHOP))
        ]
        assert order == sorted(order)


def test_a_persona_that_twenty_events_do_not_reach_is_left_out() -> None:
    loyal = [purchase(f"e{n}", NOW, categories=["gamer"] * 10) for n in range(200)]
    few = [purchase(f"e{n}", NOW, categories=["gamer"]) for n in range(2)]
    assert len(found(record_of(*loyal, taxonomy=SHOP))) < len(found(record_of(*few, taxonomy=SHOP)))


def test_what_is_named_is_decided_by_the_measured_threshold() -> None:
    record = record_of(*some_shopper(3), taxonomy=SHOP)
    assert any(flip.named for flip in found(record, replace(learned(), threshold=0.01)))
    assert not any(flip.named for flip in found(record, replace(learned(), threshold=0.9999)))


def test_a_dwelling_persona_is_not_replaced_yet() -> None:
    patient = SHOP.model_copy(
        update={"policy": SHOP.policy.model_copy(update={"min_dwell_seconds": 3_600.0})}
    )
    weights = replace(learned(), threshold=0.01)
    happened = delivered(*[purchase(f"e{n}", NOW, categories=["gamer"]) for n in range(3)])
    record = walked(happened, SHOP, weights=weights).records["c"]
    assert record.published is not None
    assert record.published.current.persona == "gamer"
    assert any(flip.named for flip in flips(record, weights, SHOP, names().tokens))
    assert not any(flip.named for flip in flips(record, weights, patient, names().tokens))


def test_an_assignment_is_looked_through() -> None:
    happened = [purchase("e1", categories=["gamer"]), purchase("e2", categories=["gamer"])]
    free = record_of(*happened, taxonomy=SHOP)
    bound = record_of(*happened, assignment("a", persona="student"), taxonomy=SHOP)
    assert found(bound) == found(free)


def test_who_did_nothing_yet_is_flipped_at_the_time_of_the_label() -> None:
    record = record_of(assignment("a", NOW + HOUR, persona="student"), taxonomy=SHOP)
    told = found(record)
    assert {flip.events for flip in told} == {1}
    assert len(told) >= len(SHOP.names) - 2


# --- what can be tried ---


def test_without_names_only_what_is_seeded_can_be_tried() -> None:
    assert flips(record_of(*some_shopper(1), taxonomy=SHOP), learned(), SHOP, {}) == []
    weights = derive(PersonaClassifier(), GENERIC.names, seeds(GENERIC))
    told = flips(record_of(purchase("e1"), taxonomy=GENERIC), weights, GENERIC, {})
    seeded = {
        (feature, value)
        for persona in GENERIC.personas
        for feature, values in persona.seeds.items()
        for value in values
    }
    assert told
    assert {(flip.feature, flip.value) for flip in told} <= seeded


def test_a_look_is_tried_where_it_weighs_more_than_a_purchase() -> None:
    looking = SHOP.model_copy(
        update={"signals": SHOP.signals.model_copy(update={"purchase": 0.25, "view": 2.0})}
    )
    record = record_of(*some_shopper(1), taxonomy=looking)
    told = flips(record, learned(), looking, names().tokens)
    assert told
    for flip in told:
        assert flip.kind == "browse"
        _, posterior = after(record, flip, flip.events, learned(), looking)
        assert round(max(posterior), 6) == flip.probability


def test_a_search_is_tried_with_its_word() -> None:
    only = shop(features={"fields": ("query",)})
    made: list[Event] = []
    for persona, n in itertools.product(only.names, range(20)):
        made += [browse(f"{persona}-{n}", NOW, f"{persona}-{n}", f"{persona} cheap")]
        made += [assignment(f"a-{persona}-{n}", NOW, f"{persona}-{n}", persona)]
    tokenizer = Tokenizer(only)
    for event in made:
        if isinstance(event, Browse):
            tokenizer.tokenize(event)
    weights = replace(derive(model_of(made, only), only.names), evidence_scale=1.0)
    told = flips(
        record_of(browse("e", query="gamer"), taxonomy=only), weights, only, tokenizer.names.tokens
    )
    assert {(f.persona, f.kind, f.feature, f.value) for f in told} == {
        (persona, "browse", "query", persona) for persona in only.names if persona != "gamer"
    }


def test_a_name_of_which_only_the_beginning_is_known_is_not_tried() -> None:
    cut = {slot: tuple(name.ljust(256, "…") for name in of) for slot, of in names().tokens.items()}
    assert flips(record_of(*some_shopper(1), taxonomy=SHOP), learned(), SHOP, cut) == []


def test_a_model_whose_tokens_have_no_weights_has_no_flips() -> None:
    foreign = fit("river.naive_bayes:MultinomialNB", (), SHOP.names)
    record = record_of(*some_shopper(1), taxonomy=SHOP)
    assert answer("c", record, foreign, SHOP, names().tokens)["flips"] == []


def test_a_question_leaves_no_names_behind() -> None:
    known = dict(names().tokens)
    found(record_of(*some_shopper(5), taxonomy=SHOP))
    assert names().tokens == known
    assert Tokenizer(SHOP).names.tokens == {}
