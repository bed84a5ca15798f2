"""The laws of processing a batch: order-free, once each, revisions without a hole."""

import json
import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from msgspec.structs import replace

from stream_persona.domain import record_codec
from stream_persona.domain.events import Event
from stream_persona.domain.record import Label, Record
from stream_persona.domain.tokenizer import Tokenizer
from stream_persona.model.classifier import PersonaClassifier
from stream_persona.model.estimator import derive
from stream_persona.pipeline import process
from tests.support.constants import DAY, HOUR, NOW, PERSONAS
from tests.support.events import (
    assignment,
    deletion,
    deliver,
    interleave,
    labelled_shoppers,
    purchase,
    redeliver,
    shop,
    split_into_batches,
)
from tests.support.examples import count_examples
from tests.support.histories import SHOP, folded_in_any_order, random_events, random_inputs
from tests.support.processing import process_batch

SEEDS = st.integers(0, 2**32)


@given(SEEDS)
@hypothesis(max_examples=count_examples(60))
def test_order_batches_and_redeliveries_leave_no_trace(seed: int) -> None:
    rng = random.Random(seed)
    happened = [e for c in "xyz" for e in random_events(rng, c, NOW - 12 * HOUR, NOW)]
    assert len(folded_in_any_order(random_inputs(rng, happened), rng)) == 1


@given(SEEDS)
@hypothesis(max_examples=count_examples(60))
def test_any_order_of_offsets_gives_equal_counts_and_label(seed: int) -> None:
    rng = random.Random(seed)
    happened = random_events(rng, "x", NOW - 12 * HOUR, NOW)
    one = process_batch(deliver(*happened), SHOP).records["x"]
    two = process_batch(deliver(*rng.sample(happened, len(happened))), SHOP).records["x"]
    bare = [
        Record(each.counts, each.label and replace(each.label, offset=0)) for each in (one, two)
    ]
    assert record_codec.encode_folded(bare[0], 1) == record_codec.encode_folded(bare[1], 1)


@given(SEEDS)
@hypothesis(max_examples=count_examples(40))
def test_a_redelivery_changes_nothing_and_publishes_nothing(seed: int) -> None:
    rng = random.Random(seed)
    order = interleave(random_inputs(rng, random_events(rng, "x", NOW - 12 * HOUR, NOW)), rng)
    first = process_batch(order, SHOP)
    again = process_batch(redeliver(order, rng), SHOP, first.records)
    assert again.redelivered >= len(order)
    left = (again.records, again.model_updates, again.public_records, again.messages)
    assert not any(left)


@given(SEEDS)
@hypothesis(max_examples=count_examples(30))
def test_revisions_have_no_hole_and_each_follows_from_the_last(seed: int) -> None:
    rng = random.Random(seed)
    order = interleave(random_inputs(rng, random_events(rng, "x", NOW - 12 * HOUR, NOW)), rng)
    stored, changes = dict[str, Record](), []
    for run in split_into_batches(redeliver(order, rng), rng):
        outcome = process_batch(run, SHOP, stored)
        stored |= outcome.records
        changes += [json.loads(message or b"") for _, message in outcome.messages]
    assert [change["revision"] for change in changes] == list(range(1, len(changes) + 1))
    before = [None, *(change["current"] for change in changes)]
    assert [change["previous"] for change in changes] == before[:-1]
    assert len({change["change_id"] for change in changes}) == len(changes)


def test_an_event_in_the_far_future_is_clamped_to_its_arrival() -> None:
    (delivery,) = deliver(purchase("p", NOW + 400 * DAY))
    delivery.arrived_at = NOW
    record = process_batch([delivery], shop(policy={"max_future_seconds": 3600})).records["c"]
    assert record.counts.clock == NOW


def test_a_change_does_not_depend_on_the_other_customers_of_its_batch() -> None:
    taxonomy = shop()
    order = deliver(*labelled_shoppers(taxonomy))
    together = process_batch(order, taxonomy)
    for customer in together.records:
        alone = process_batch([d for d in order if d.event.customer_id == customer], taxonomy)
        assert alone.records[customer].published == together.records[customer].published


def test_processing_leaves_its_records_as_they_were() -> None:
    first = process_batch(deliver(purchase("p"), assignment("a")), shop())
    before = record_codec.encode_records(first.records, 1)
    process_batch(deliver(purchase("q", NOW + DAY), deletion("d"), first=1), shop(), first.records)
    assert record_codec.encode_records(first.records, 1) == before


def test_no_deliveries_lead_to_nothing() -> None:
    outcome = process_batch([], shop())
    assert not outcome.records
    assert not outcome.messages


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_newest_assignment_holds_in_any_order(order: tuple[int, int]) -> None:
    pair = [assignment("a", NOW, persona="parent"), assignment("b", NOW + 1, persona="gamer")]
    outcome = process_batch(deliver(*(pair[i] for i in order)), shop())
    assert outcome.records["c"].find_active_label() == "gamer"


#: Of assignments with equal times, which came when: arrival, partition, offset; the last one holds.
TIES = (
    (None, 0, 1), (None, 0, 7), (None, 2, 3), (NOW - DAY, 5, 9), (NOW, 1, 8), (NOW, 1, 11),
    (NOW, 3, 4), (NOW + 1, 0, 2),
)  # fmt: skip


@given(st.permutations(TIES), st.integers(2, len(TIES)))
def test_the_last_to_arrive_of_assignments_with_equal_times_holds(
    tied: list[tuple[int | None, int, int]], number: int
) -> None:
    came = [
        replace(*deliver(assignment(f"a-{place}", persona=PERSONAS[place % 5])),
                arrived_at=arrived, partition=partition, offset=offset, source=partition)
        for place, (arrived, partition, offset) in enumerate(tied[:number])
    ]  # fmt: skip
    inputs = [[each for each in came if each.source == source] for source in range(6)]
    for run in inputs:
        run.sort(key=lambda each: each.offset)
    assert len(folded_in_any_order(inputs, random.Random(number))) == 1
    last = max(came, key=lambda each: TIES.index((each.arrived_at, each.partition, each.offset)))
    record = process_batch([each for run in inputs for each in run], SHOP).records["c"]
    assert record.label is not None
    assert (record.label.partition, record.label.offset) == (last.partition, last.offset)


def test_a_correction_holds_against_a_label_of_earlier_records_with_the_same_time() -> None:
    former = Record(label=Label(NOW, "z", "gamer"))
    outcome = process_batch(deliver(assignment("a", NOW)), shop(), {"c": former})
    assert outcome.records["c"].find_active_label() == "parent"


def carried_after(*happened: Event, past: Sequence[Event] = ()) -> set[str]:
    """The tokens that the customer carries by the outcome of a batch."""
    taxonomy, run = shop(), deliver(*past, *happened)
    tokenizer, weights = Tokenizer(taxonomy), derive(PersonaClassifier(), PERSONAS)
    before = process.apply_events(run[: len(past)], {}, taxonomy, tokenizer).records
    late = process.find_late_deletions(run[len(past) :], before, taxonomy)
    outcome = process.process_batch(
        run[len(past) :], before, weights, taxonomy, tokenizer, NOW,
        {name: run[: len(past)] for name in late},
    )  # fmt: skip
    return {name.token for name in outcome.carried.get("c", ())}


def test_a_customer_carries_the_tokens_of_events_that_count() -> None:
    assert carried_after(purchase("p")) == {"category:food"}
    assert carried_after(purchase("p", categories=["a"]), purchase("p", categories=["b"])) == {
        "category:a"
    }


def test_what_is_older_than_a_deletion_is_carried_by_nobody() -> None:
    later = NOW + 2 * DAY  # beyond what clocks are believed to be off
    old, new = purchase("old", NOW, categories=["a"]), purchase("new", later, categories=["b"])
    deleted = deletion("d", NOW + 5)
    assert carried_after(old, deleted) == set()
    assert carried_after(deleted, old) == set()
    assert carried_after(old, new, deleted) == {"category:b"}
    assert carried_after(deleted, past=[old, new]) == {"category:b"}


@pytest.mark.parametrize("later", [0, HOUR])
def test_an_assignment_that_comes_again_publishes_nothing_and_teaches_nothing(later: int) -> None:
    given_ = [purchase("p"), assignment("a")]
    first = process_batch(deliver(*given_), SHOP)
    again = deliver(assignment("a", NOW + later), first=1)
    second = process_batch(again, SHOP, first.records, now=NOW + later)
    assert (len(first.messages), len(second.messages), len(second.public_records)) == (1, 0, 0)
    model = PersonaClassifier()
    for update in second.model_updates:
        model.add(update.part, update.persona, update.sign)
    assert model.encode_canonically() == PersonaClassifier().encode_canonically()
    before, after = first.records["c"].label, second.records["c"].label
    assert before is not None
    assert after == replace(before, at=NOW + later, offset=1)
