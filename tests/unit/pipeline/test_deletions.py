"""The laws of deletions: they forget exactly what had happened, whatever came in first."""

import json
import random

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from msgspec.structs import replace

from stream_persona.domain import record_codec
from stream_persona.domain.events import DELETION, Event
from stream_persona.pipeline import process
from stream_persona.pipeline.types import Delivery
from tests.support.constants import DAY, HOUR, NOW
from tests.support.events import (
    assignment,
    deletion,
    deliver,
    deliver_promptly,
    interleave,
    purchase,
    shop,
    split_into_batches,
)
from tests.support.examples import count_examples
from tests.support.histories import (
    SHOP,
    STRICT,
    folded_in_any_order,
    let_arrive,
    odd_events,
    random_events,
    random_inputs,
)
from tests.support.processing import decode_folded, fold_batches, process_batch

SEEDS = st.integers(0, 2**32)
DELETED = NOW - 10 * HOUR


@given(SEEDS)
@hypothesis(max_examples=count_examples(100))
def test_deletions_among_older_and_newer_events_leave_no_trace_of_order(seed: int) -> None:
    rng = random.Random(seed)
    inputs = random_inputs(rng, random_events(rng, "x", NOW - 12 * HOUR, NOW))
    times = [rng.randint(NOW - 13 * HOUR, NOW + HOUR) for _ in range(rng.randint(1, 3))]
    inputs.append(deliver(*(deletion(f"d{at}", at, "x") for at in times)))
    assert len(folded_in_any_order(inputs, rng)) == 1


@pytest.mark.long
@given(SEEDS)
@hypothesis(max_examples=count_examples(200))
def test_arrivals_retries_and_crowds_among_deletions_leave_no_trace_of_order(seed: int) -> None:
    rng = random.Random(seed)
    inputs, deletions = odd_life(rng)
    assert len(folded_in_any_order([*inputs, deletions], rng, STRICT)) == 1


@given(SEEDS)
@hypothesis(max_examples=count_examples(200))
def test_a_deletion_leaves_the_record_that_later_events_alone_give(seed: int) -> None:
    rng = random.Random(seed)
    inputs, deletions = odd_life(rng)
    order = interleave([*inputs, deletions], rng)
    ended = fold_batches(split_into_batches(order, rng), STRICT)
    reach = max(reached_by(each) for each in deletions)
    later = [d for d in order if d.kind != DELETION and happened_by(d) > reach]
    never = fold_batches([[*deletions, *later]], STRICT)
    assert bare(ended["x"]) == bare(never["x"])


def odd_life(rng: random.Random) -> tuple[list[list[Delivery]], list[Delivery]]:
    """Inputs whose clocks are as wrong as their arrivals are late, and deletions amid them."""
    happened = odd_events(rng, "x", NOW - 9 * HOUR, NOW)
    asked = [deletion(f"d{i}", rng.randint(NOW - 9 * HOUR, NOW), "x") for i in range(1, 3)]
    inputs = random_inputs(rng, happened, range(NOW - 10 * HOUR, NOW + HOUR))
    deletions = deliver(*asked[: rng.randint(1, 2)])
    let_arrive(rng, [deletions], range(NOW - 10 * HOUR, NOW - 5 * HOUR))
    return inputs, deletions


def happened_by(delivery: Delivery) -> int:
    """The moment by which an event had happened, as ``STRICT`` says."""
    arrived = delivery.arrived_at
    return delivery.at - HOUR if arrived is None else min(delivery.at, arrived)


def reached_by(delivery: Delivery) -> int:
    """Up to when a deletion forgets, as ``STRICT`` says."""
    arrived = delivery.arrived_at
    if arrived is None:
        return delivery.at
    return arrived if delivery.at > arrived + 2 * HOUR else max(delivery.at, arrived)


def bare(folded: bytes) -> bytes:
    """The folded bytes without positions, which depend on how far the inputs were read."""
    record = decode_folded(folded, SHOP.fingerprint)
    return record_codec.encode_folded(replace(record, positions={}), SHOP.fingerprint)


def test_a_deletion_asks_for_what_was_applied_only_when_newer_events_were() -> None:
    record = process_batch(deliver(purchase("p", NOW)), SHOP).records["c"]
    stored = {"c": record}
    for at, asks in ((NOW - 1, True), (NOW, False), (NOW + 1, False)):
        found = process.find_late_deletions(deliver(deletion("d", at)), stored, SHOP)
        assert bool(found) is asks
    (known,) = process.find_late_deletions(deliver(deletion("d", NOW - 1)), stored, SHOP).values()
    assert (known.since, known.positions) == (NOW - 1, record.positions)


def test_a_customer_with_newer_events_is_deleted_first_and_named_anew() -> None:
    log = deliver_promptly(purchase("p"), purchase("q", NOW + 1))
    first = process_batch(log, shop())
    published = process_batch(
        deliver_promptly(deletion("d", NOW)), shop(), first.records, histories={"c": log}
    )
    (name, tombstone), (again, change) = published.messages
    assert (name, tombstone, again) == ("c", None, "c")
    assert json.loads(change or b"")["revision"] == 1
    assert published.public_records.keys() == {"c"}


def test_an_event_older_than_a_deletion_is_dropped() -> None:
    late = [deletion("d", NOW), purchase("p", NOW), assignment("a", NOW - 1)]
    outcome = process_batch(deliver(*late), shop())
    assert outcome.dropped == 2
    assert outcome.records["c"].is_marker


def test_a_deletion_of_1970_deletes() -> None:
    assert process_batch(deliver(deletion("d", 0)), shop()).messages == [("c", None)]


def test_a_customer_who_comes_back_begins_again_under_other_change_ids() -> None:
    before = process_batch(deliver(purchase("p")), shop()).messages
    happened = [purchase("p"), deletion("d"), purchase("q", NOW + 1)]
    after = process_batch(deliver_promptly(*happened), shop()).messages
    (first,) = [json.loads(message or b"") for _, message in before]
    (_, tombstone), (_, second) = after
    assert tombstone is None
    assert json.loads(second or b"")["revision"] == first["revision"] == 1
    assert json.loads(second or b"")["change_id"] != first["change_id"]


def test_a_customer_forgotten_altogether_comes_back_under_other_change_ids() -> None:
    first, second = (
        process_batch(deliver(purchase("p", at)), shop(), now=at).messages[0][1] or b""
        for at in (NOW, NOW + 40 * DAY)
    )
    assert json.loads(first)["change_id"] != json.loads(second)["change_id"]


def arriving(event: Event, at: int | None) -> Delivery:
    (delivery,) = deliver(event)
    delivery.arrived_at = at
    return delivery


@pytest.mark.parametrize(
    ("at", "arrived", "requested", "asked", "forgotten"),
    [
        (NOW + 2 * HOUR, NOW, NOW + 1, NOW + 1, True),  # a clock that is two hours ahead
        (NOW + 2 * HOUR, NOW + 2, NOW + 1, NOW + 1, False),
        (NOW - HOUR, NOW + 2, NOW + 1, NOW + 1, True),  # it happened before, and came late
        (NOW + 1, NOW + 1, NOW - DAY, NOW, False),
        (NOW, NOW, NOW - DAY, NOW, True),  # the request took a day to come
        (NOW + HOUR, NOW + HOUR, NOW + HOUR, NOW, True),  # its clock is ahead, and believed
        (NOW + HOUR, NOW + HOUR, NOW + 2 * DAY, NOW, False),  # and here it is not
        (NOW + DAY, None, NOW, NOW, True),  # without an arrival, the tolerance
        (NOW + DAY + 1, None, NOW, NOW, False),
        (NOW + DAY, None, NOW, None, True),
        (NOW + DAY + 1, None, NOW, None, False),
        (NOW + HOUR, NOW, NOW, None, True),
        (NOW + HOUR, NOW + 1, NOW, None, False),
    ],
)
@pytest.mark.parametrize("comes_late", [False, True])
@pytest.mark.parametrize("kind", [purchase, assignment])
def test_a_deletion_forgets_what_had_happened_when_it_was_asked_for(
    kind: type, at: int, arrived: int | None, requested: int, asked: int | None,
    forgotten: bool, comes_late: bool,
) -> None:  # fmt: skip
    pair = [arriving(kind("e", at), arrived), arriving(deletion("d", requested), asked)]
    ended = fold_batches([[each] for each in (pair if comes_late else pair[::-1])], shop())
    record = decode_folded(ended["c"], shop().fingerprint)
    assert record.is_marker is forgotten


def test_an_assignment_that_arrived_later_is_left_where_a_fast_clocks_is_forgotten() -> None:
    fast = arriving(assignment("a", NOW + 2 * HOUR, persona="gamer"), NOW)
    right = arriving(assignment("b", NOW + HOUR, persona="parent"), NOW + HOUR)
    right.offset = 1
    order = [fast, right, arriving(deletion("d", NOW + 1), NOW + 1)]
    for batches in ([[each] for each in order], [order], [order[::-1]]):
        ended = decode_folded(fold_batches(batches, shop())["c"], shop().fingerprint)
        assert ended.find_active_label() == "parent"
        assert ended.label is not None
        assert (ended.label.arrived_at, ended.label.offset) == (NOW + HOUR, 1)


def test_an_edit_of_an_order_counts_where_a_deletion_forgets_the_order_itself() -> None:
    placed = arriving(replace(purchase("u0"), order_id="o"), NOW)
    edited = arriving(replace(purchase("u1", NOW + HOUR), order_id="o"), NOW + HOUR)
    edited.offset = 1
    late = arriving(deletion("d", NOW + 1), NOW + 1)
    first = fold_batches([[late], [placed], [edited]], shop())
    last = fold_batches([[placed], [edited], [late]], shop())
    assert first == last
    record = decode_folded(last["c"], shop().fingerprint)
    assert record.counts.clock == NOW + HOUR


def test_what_a_deletion_forgot_is_counted() -> None:
    outcome = process_batch(deliver(deletion("d"), purchase("p"), assignment("a")), shop())
    assert outcome.anomalies == {"forgotten": 2}
    assert outcome.dropped == 2


def test_events_that_are_taken_again_are_counted_once() -> None:
    odd = replace(deliver(purchase("q", NOW + 3 * DAY))[0], offset=1, arrived_at=NOW + DAY)
    twice = [*deliver_promptly(purchase("p")), odd, replace(odd, offset=2)]
    outcome = process_batch([*twice, *deliver_promptly(deletion("d"))], shop())
    assert outcome.anomalies == {"retry": 1, "future": 2}
