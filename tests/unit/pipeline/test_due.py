"""What is published of customers when time alone ends something, and what the model unlearns."""

from typing import Any

import orjson

from stream_persona.domain.record import Record
from stream_persona.domain.tokenizer import Tokenizer
from stream_persona.model.classifier import PersonaClassifier
from stream_persona.model.estimator import derive
from stream_persona.pipeline import process, training
from stream_persona.pipeline.decision import Cause
from stream_persona.pipeline.process import Outcome
from tests.support.constants import DAY, HOUR, NOW
from tests.support.events import assignment, deliver, labelled_shoppers, purchase, shop
from tests.support.processing import find_due, model_of, process_batch

SHOP = shop(features={"half_life_days": 30.0}, policy={"min_confidence": 0.25})
LEARNED = derive(model_of(labelled_shoppers(SHOP, customers=20), SHOP), SHOP.names)
BOUGHT = [purchase(f"p{i}", NOW, "c", ["gamer"]) for i in range(9)]
ENDS = NOW + HOUR


def rescored(stored: dict[str, Record], now: int, weights: Any = LEARNED) -> Outcome:
    return process.rescore(stored, weights, SHOP, Tokenizer(SHOP), now, Cause.MODEL)


def the_change(outcome: Outcome) -> dict[str, Any]:
    (message,) = outcome.messages
    change: dict[str, Any] = orjson.loads(message[1] or b"")
    return change


def named() -> dict[str, Record]:
    outcome = process_batch(deliver(*BOUGHT), SHOP, weights=LEARNED)
    assert the_change(outcome)["current"]["persona"] == "gamer"
    return outcome.records


def assigned() -> dict[str, Record]:
    given_ = assignment("a", NOW, persona="parent", expires_at=ENDS)
    outcome = process_batch(deliver(given_, *BOUGHT), SHOP, weights=LEARNED)
    assert the_change(outcome)["current"]["source"] == "assigned"
    return outcome.records


def test_an_assignment_that_has_ended_is_published_once_as_of_its_end() -> None:
    assert not rescored(assigned(), ENDS - 1).records
    outcome = rescored(assigned(), ENDS + 700)
    change = the_change(outcome)
    assert (change["cause"], change["revision"]) == ("expiry", 2)
    assert change["occurred_at"] == "2025-11-24T17:00:00.000Z"
    assert (change["current"]["source"], change["current"]["persona"]) == ("predicted", "gamer")
    assert orjson.loads(outcome.public_records["c"] or b"")["source"] == "predicted"
    assert not rescored(outcome.records, ENDS + 900).records


def test_a_model_that_moves_as_well_does_not_hide_the_expiry() -> None:
    other = derive(model_of(labelled_shoppers(SHOP, customers=9, seed=4), SHOP), SHOP.names)
    assert the_change(rescored(assigned(), ENDS, other))["cause"] == "expiry"


def test_an_event_that_comes_before_anybody_looked_publishes_the_expiry() -> None:
    late = deliver(purchase("q", NOW + 1, "c", ["gamer"]), first=20)
    outcome = process_batch(late, SHOP, assigned(), LEARNED, now=ENDS)
    assert the_change(outcome)["cause"] == "expiry"
    assert [update.sign for update in outcome.model_updates] == [-1]


def test_an_assignment_that_has_ended_teaches_no_longer() -> None:
    stored = assigned()
    learned, outcome = training.derive_updates(stored, SHOP), rescored(stored, ENDS)
    model = PersonaClassifier()
    for update in [*learned, *outcome.model_updates]:
        model.add(update.part, update.persona, update.sign)
    assert len(learned) == len(outcome.model_updates) == 1
    assert model.encode_canonically() == PersonaClassifier().encode_canonically()
    assert not training.derive_updates(outcome.records, SHOP)


def test_an_assignment_that_ended_before_it_came_pins_and_teaches_nothing() -> None:
    given_ = assignment("a", NOW, persona="parent", expires_at=ENDS)
    outcome = process_batch(deliver(*BOUGHT, given_), SHOP, weights=LEARNED, now=ENDS)
    assert the_change(outcome)["current"]["source"] == "predicted"
    assert not outcome.model_updates
    assert not outcome.trials


def test_faded_evidence_takes_the_name_away_with_the_cause_decay() -> None:
    stored = named()
    due = find_due(stored["c"], SHOP)
    assert due is not None
    assert not rescored(stored, due - 1).records
    outcome = rescored(stored, due + 300)
    change = the_change(outcome)
    assert (change["cause"], change["current"]["ambiguous"]) == ("decay", True)
    public = orjson.loads(outcome.public_records["c"] or b"")
    assert public["persona"] is None
    assert 0.5 < public["evidence"] < SHOP.policy.min_evidence
    assert outcome.records["c"].published is not None
    assert outcome.records["c"].published.at == due
    assert not rescored(outcome.records, due + DAY).records


def test_new_evidence_gives_the_name_back() -> None:
    stored = rescored(named(), NOW + 900 * DAY).records
    at = NOW + 901 * DAY
    again = [purchase(f"q{i}", at, "c", ["gamer"]) for i in range(9)]
    outcome = process_batch(deliver(*again, first=20), SHOP, stored, LEARNED, now=at)
    change = the_change(outcome)
    assert (change["cause"], change["current"]["persona"]) == ("behaviour", "gamer")


def test_events_of_long_ago_name_nobody() -> None:
    outcome = process_batch(deliver(*BOUGHT), SHOP, weights=LEARNED, now=NOW + 900 * DAY)
    change = the_change(outcome)
    assert (change["cause"], change["current"]["persona"]) == ("behaviour", None)
    assert find_due(outcome.records["c"], SHOP) is None


def test_who_never_had_a_name_loses_none() -> None:
    bought = [purchase(f"p{i}", NOW, "c", ["nothing known"]) for i in range(9)]
    stored = process_batch(deliver(*bought), SHOP, weights=LEARNED).records
    outcome = rescored(stored, NOW + 900 * DAY)
    assert outcome.records["c"].faded_at, "the record knows it, and nothing is published"
    assert not outcome.messages


def test_an_assigned_persona_does_not_fade() -> None:
    given_ = assignment("a", NOW, persona="parent")
    stored = process_batch(deliver(*BOUGHT, given_), SHOP, weights=LEARNED).records
    outcome = rescored(stored, NOW + 900 * DAY)
    assert not outcome.messages
    assert not outcome.model_updates


def test_an_assignment_that_ends_after_the_evidence_has_faded_names_nobody() -> None:
    change = the_change(rescored(assigned(), NOW + 900 * DAY))
    assert (change["cause"], change["current"]["persona"]) == ("expiry", None)
