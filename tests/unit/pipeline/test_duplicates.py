"""The laws of producers' retries: an event, and an order, counts once while its id is known."""

import random

from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from msgspec.structs import replace

from stream_persona.domain.events import Browse, Event, Item, TokenizedEvent
from stream_persona.domain.features import compute_profiles
from stream_persona.domain.record import Record
from stream_persona.pipeline.process import Outcome
from stream_persona.pipeline.types import Delivery
from tests.support.constants import DAY, HOUR, MINUTE, NOW
from tests.support.events import (
    browse,
    deletion,
    deliver,
    deliver_promptly,
    engagement,
    purchase,
    quick_shop,
    shop,
)
from tests.support.examples import count_examples
from tests.support.histories import folded_in_any_order, random_events, random_inputs
from tests.support.processing import fold_batches, process_batch

SEEDS = st.integers(0, 2**32)


@given(SEEDS)
@hypothesis(max_examples=count_examples(60))
def test_a_producers_retries_leave_no_trace_whatever_the_other_topics_do(seed: int) -> None:
    rng = random.Random(seed)
    inputs = random_inputs(rng, random_events(rng, "x", NOW - 12 * HOUR, NOW))
    for run in inputs:
        again = [Delivery.of(d.event, d.kind, d.partition, 0) for d in run for _ in range(2)]
        run[:] = again
        for offset, delivery in enumerate(run):
            delivery.offset = offset
    assert len(folded_in_any_order(inputs, rng)) == 1


def test_a_retry_counts_once_also_when_another_topic_is_far_ahead() -> None:
    bought = [purchase("p", NOW), purchase("p", NOW)]
    ahead = browse("b", NOW + HOUR)
    first, second = deliver(*bought), deliver(ahead)
    assert fold_batches([first, second], shop()) == fold_batches([second, first], shop())


def test_a_retry_counts_once_however_many_events_are_between_and_however_they_are_batched() -> None:
    happened = [purchase(f"p-{i}", NOW + i) for i in range(100)] + [purchase("p-0", NOW)]
    order = deliver(*happened)
    whole = fold_batches([order], shop())
    assert whole == fold_batches([[delivery] for delivery in order], shop())


def test_ids_of_two_topics_are_not_confused() -> None:
    outcome = process_batch(deliver(purchase("1"), browse("1"), engagement("1")), shop())
    assert outcome.duplicates == 0


def test_a_retry_counts_once_however_much_newer_the_event_before_it_is() -> None:
    happened = [purchase("p"), purchase("q", NOW + 9 * DAY), purchase("p")]
    assert process_batch(deliver(*happened), shop()).duplicates == 1


def evidence(record: Record) -> float:
    return float(compute_profiles([record.counts], shop().features).events[0])


def order(name: str, order_id: str | None, at: int = NOW, category: str = "dog") -> Event:
    return replace(purchase(name, at, categories=(category,)), order_id=order_id)


def test_an_order_that_is_edited_counts_once_and_as_it_came_first() -> None:
    updates = [order(f"u{i}", "O-1", NOW + i, "cat" if i else "dog") for i in range(5)]
    outcome = process_batch(deliver(*updates), shop())
    (alone,) = process_batch(deliver(updates[0]), shop()).records.values()
    assert outcome.records["c"].counts == alone.counts
    assert (outcome.duplicates, outcome.anomalies) == (4, {"edited_order": 4})


def test_an_order_is_known_for_seven_days_of_arrival() -> None:
    week = [
        order("u0", "O-1"),
        order("u1", "O-1", NOW + 7 * DAY),
        order("u2", "O-1", NOW + 8 * DAY),
    ]
    outcome = process_batch(deliver_promptly(*week), shop())
    assert outcome.anomalies == {"edited_order": 1}


def test_orders_of_which_nothing_is_known_are_not_one() -> None:
    happened = [order("u0", None), order("u1", ""), order("u2", "  ")]
    assert process_batch(deliver(*happened), shop()).duplicates == 0


def test_ids_of_events_and_of_orders_are_not_confused() -> None:
    happened = [order("1", "2"), order("2", "1"), order("3", "3"), order("4", "4")]
    for partition in (0, 3, (1 << 62) | (1 << 24) | (1 << 15)):  # the last one is a file's
        outcome = process_batch(deliver(*happened, partition=partition), shop())
        assert outcome.duplicates == 0
        again = deliver(order("9", "2"), partition=partition, first=9)
        assert process_batch(again, shop(), outcome.records).anomalies == {"edited_order": 1}


def test_a_retry_of_an_order_is_a_retry_and_no_edit() -> None:
    outcome = process_batch(deliver(order("u0", "O-1"), order("u0", "O-1")), shop())
    assert outcome.anomalies == {"retry": 1}


def test_an_order_retried_after_a_newer_one_counts_once() -> None:
    happened = [order("o1", None, NOW - 2 * HOUR), order("o2", None, NOW, "cat")]
    happened.append(happened[0])
    outcome = process_batch(deliver(*happened), shop())
    assert round(evidence(outcome.records["c"]), 2) == 2.0
    assert outcome.anomalies == {"retry": 1}


# --- many events in a minute ---

MINUTE_BEGINS = NOW // MINUTE * MINUTE


def crowd(number: int, first: int = 0, at: int = MINUTE_BEGINS) -> list[Event]:
    product = Item("p", "books")
    return [
        Browse(f"b-{first + i}", "c", at + i % MINUTE, "add_to_cart", product)
        for i in range(number)
    ]


def process_crowd(*happened: Event, stored: Record | None = None, most: int = 600) -> Outcome:
    known = {"c": stored} if stored else {}
    first = sum(stored.positions.values()) if stored else 0
    limits = shop(policy={"max_events_per_minute": most})
    return process_batch(deliver(*happened, first=first), limits, known)


def test_events_of_one_minute_count_up_to_the_bound_of_the_policy() -> None:
    outcome = process_crowd(*crowd(2_000))
    assert outcome.anomalies == {"excess": 1_400}
    assert evidence(outcome.records["c"]) == 0.5 * 600
    assert (outcome.duplicates, outcome.dropped) == (0, 0)


def test_a_bound_holds_however_the_events_are_batched_and_whatever_was_known() -> None:
    for most in (1, 2, 3, 10, 129, 600):
        past = process_crowd(*crowd(100, at=MINUTE_BEGINS - DAY), most=most).records["c"]
        for stored in (None, past):
            record, counted = stored, 0
            for start in range(0, 1_000, 250):
                outcome = process_crowd(*crowd(250, 1_000 + start), stored=record, most=most)
                record = outcome.records["c"]
                counted += 250 - outcome.anomalies.get("excess", 0)
            assert most / 2 <= counted <= most


def test_the_next_minute_counts_again_and_what_is_late_is_let_through() -> None:
    full = process_crowd(*crowd(1_000)).records["c"]
    later = process_crowd(*crowd(10, 1_000, MINUTE_BEGINS + MINUTE), stored=full)
    late = process_crowd(*crowd(10, 2_000, MINUTE_BEGINS - MINUTE), stored=full)
    assert not later.anomalies
    assert not late.anomalies
    assert process_crowd(*crowd(10, 3_000), stored=full).anomalies == {"excess": 10}


def test_an_event_beyond_the_bound_is_not_known_and_a_customer_of_few_events_has_no_count() -> None:
    outcome = process_crowd(*crowd(1_000))
    again = process_crowd(crowd(1, 999, MINUTE_BEGINS + MINUTE)[0], stored=outcome.records["c"])
    assert not again.anomalies
    assert process_crowd(*crowd(64)).records["c"].rates == {}


def test_a_deletion_lets_the_minute_begin_again() -> None:
    happened = deliver_promptly(*crowd(1_000))
    asked = deliver_promptly(deletion("d", MINUTE_BEGINS + 500))
    late = fold_batches([happened, asked], shop())
    assert late == fold_batches([asked, happened], shop())


# --- counts ---


def test_what_is_odd_is_counted_by_reason() -> None:
    ahead = replace(deliver(purchase("f", NOW + 9 * DAY))[0], arrived_at=NOW, offset=9)
    faded = browse("old", NOW - 9 * HOUR)
    outcome = process_batch([*deliver(faded, browse("new")), ahead], quick_shop())
    assert outcome.anomalies == {"future": 1, "faded": 1}


def test_what_a_tokenizer_finds_odd_is_counted_where_its_event_counts() -> None:
    (delivery,) = deliver_promptly(purchase("p"))
    record = process_batch([delivery], shop()).records["c"]
    tokens = TokenizedEvent("q", "c", NOW, b"", b"", None, ("returned_line", "returned_line"))
    odd = replace(delivery, event=tokens, offset=1)
    assert process_batch([odd], shop(), {"c": record}).anomalies == {"returned_line": 2}
    assert not process_batch([delivery], shop(), {"c": record}).anomalies


def test_plain_events_are_counted_by_no_reason() -> None:
    assert not process_batch(deliver(purchase("p"), browse("b")), shop()).anomalies
