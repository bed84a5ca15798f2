"""The laws of the walk: order-free, once each, and a part of the model that is the records' own."""

import json
import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from msgspec.structs import replace

from stream_persona.domain import record_codec
from stream_persona.domain.events import Event, encode, event_time
from stream_persona.domain.record import Record
from stream_persona.domain.taxonomy import Taxonomy
from stream_persona.domain.tokenizer import Tokenizer
from stream_persona.model.classifier import PersonaClassifier
from stream_persona.model.estimator import derive
from stream_persona.pipeline import process
from stream_persona.pipeline.process import Delivery
from tests.support.builders import (
    DAY,
    HOUR,
    MINUTE,
    NOW,
    PERSONAS,
    absorbed,
    assignment,
    batches,
    browse,
    deletion,
    delivered,
    engagement,
    interleaved,
    purchase,
    quick_shop,
    redelivered,
    shop,
    tastes,
    walked,
)

SEEDS = st.integers(0, 2**32)
SHOP = quick_shop()
DELETED = NOW - 10 * HOUR


def happenings(rng: random.Random, customer: str, earliest: int, latest: int) -> list[Event]:
    """Behaviour and assignments of one customer over several epochs, in no order of time."""
    made: list[Event] = []
    for i in range(rng.randint(1, 25)):
        name, at = f"{customer}-{i}-{earliest}", rng.randint(earliest, latest)
        expires = rng.choice([None, at + rng.randint(0, 8 * HOUR)])
        categories = rng.choices("abcdef", k=rng.randint(1, 4))
        made.append(
            rng.choice([
                purchase(name, at, customer, categories),
                browse(name, at, customer, rng.choice(["red shoes", "tv", "dog food"])),
                engagement(name, at, customer),
                assignment(name, at, customer, rng.choice([*PERSONAS, None]), expires),
            ])
        )  # fmt: skip
    return made


def inputs_of(rng: random.Random, happened: Sequence[Event]) -> list[list[Delivery]]:
    """Every event on one of two partitions of its topic, at rising offsets."""
    parts: tuple[list[Event], list[Event]] = ([], [])
    for event in happened:
        rng.choice(parts).append(event)
    runs: dict[tuple[int, int], list[Delivery]] = {}
    for partition, part in enumerate(parts):
        for d in delivered(*part, partition=partition):
            runs.setdefault((d.kind, partition), []).append(d)
    return list(runs.values())


def any_orders(
    inputs: Sequence[Sequence[Delivery]], rng: random.Random, taxonomy: Taxonomy = SHOP
) -> set[bytes]:
    """What several deliveries of the same inputs end in: order, batches, copies at random."""
    found = set()
    for _ in range(4):
        order = redelivered(interleaved(inputs, rng), rng)
        ended = absorbed(batches(order, rng), taxonomy)
        found.add(b"|".join(ended[customer] for customer in sorted(ended)))
    return found


@given(SEEDS)
@hypothesis(max_examples=60)
def test_order_batches_and_redeliveries_leave_no_trace(seed: int) -> None:
    rng = random.Random(seed)
    happened = [e for c in "xyz" for e in happenings(rng, c, NOW - 12 * HOUR, NOW)]
    assert len(any_orders(inputs_of(rng, happened), rng)) == 1


@given(SEEDS)
@hypothesis(max_examples=100)
def test_deletions_among_older_and_newer_events_leave_no_trace_of_order(seed: int) -> None:
    rng = random.Random(seed)
    inputs = inputs_of(rng, happenings(rng, "x", NOW - 12 * HOUR, NOW))
    times = [rng.randint(NOW - 13 * HOUR, NOW + HOUR) for _ in range(rng.randint(1, 3))]
    inputs.append(delivered(*(deletion(f"d{at}", at, "x") for at in times)))
    assert len(any_orders(inputs, rng)) == 1


@given(SEEDS)
@hypothesis(max_examples=60)
def test_a_deletion_leaves_what_is_left_when_nothing_older_ever_was(seed: int) -> None:
    rng = random.Random(seed)
    old = happenings(rng, "x", DELETED - 8 * HOUR, DELETED)
    inputs = inputs_of(rng, [*old, *happenings(rng, "x", DELETED + 1, NOW)])
    told = delivered(deletion("d", DELETED, "x"))
    order = interleaved([*inputs, told], rng)
    ended = absorbed(batches(order, rng), SHOP)
    newer = [d for d in order if event_time(d.event) > DELETED]
    never = absorbed([[*told, *newer]], SHOP)
    assert bare(ended["x"]) == bare(never["x"])


def bare(folded: bytes) -> bytes:
    """The folded bytes without positions: those tell how far the inputs were read."""
    (record,) = record_codec.decode([folded], SHOP.fingerprint)
    return record_codec.folded(replace(record, positions={}), SHOP.fingerprint)


def test_a_deletion_asks_for_what_was_applied_only_when_newer_events_were() -> None:
    record = walked(delivered(purchase("p", NOW)), SHOP).records["c"]
    stored = {"c": record}
    for at, asks in ((NOW - 1, True), (NOW, False), (NOW + 1, False)):
        found = process.late_deletions(delivered(deletion("d", at)), stored, SHOP)
        assert bool(found) is asks
    (known,) = process.late_deletions(delivered(deletion("d", NOW - 1)), stored, SHOP).values()
    assert (known.since, known.positions) == (NOW - 1, record.positions)


def test_who_lives_on_after_a_deletion_is_forgotten_first_and_named_anew() -> None:
    first = walked(delivered(purchase("p"), purchase("q", NOW + 1)), shop())
    log = delivered(purchase("p"), purchase("q", NOW + 1))
    published = walked(delivered(deletion("d", NOW)), shop(), first.records, histories={"c": log})
    (name, tombstone), (again, change) = published.messages
    assert (name, tombstone, again) == ("c", None, "c")
    assert json.loads(change or b"")["revision"] == 1
    assert published.public_records.keys() == {"c"}


@given(SEEDS)
@hypothesis(max_examples=60)
def test_any_order_of_offsets_gives_equal_counts_and_label(seed: int) -> None:
    rng = random.Random(seed)
    happened = happenings(rng, "x", NOW - 12 * HOUR, NOW)
    one = walked(delivered(*happened), SHOP).records["x"]
    two = walked(delivered(*rng.sample(happened, len(happened))), SHOP).records["x"]
    bare = [Record(record.counts, record.label) for record in (one, two)]
    assert record_codec.folded(bare[0], 1) == record_codec.folded(bare[1], 1)


@given(SEEDS)
@hypothesis(max_examples=60)
def test_a_producers_retries_leave_no_trace_whatever_the_other_topics_do(seed: int) -> None:
    rng = random.Random(seed)
    inputs = inputs_of(rng, happenings(rng, "x", NOW - 12 * HOUR, NOW))
    for run in inputs:
        again = [Delivery.of(d.event, d.kind, d.partition, 0) for d in run for _ in range(2)]
        run[:] = again
        for offset, delivery in enumerate(run):
            delivery.offset = offset
    assert len(any_orders(inputs, rng)) == 1


def test_a_retry_counts_once_also_when_another_topic_is_far_ahead() -> None:
    bought = [purchase("p", NOW), purchase("p", NOW)]
    ahead = browse("b", NOW + HOUR)
    first, second = delivered(*bought), delivered(ahead)
    assert absorbed([first, second], shop()) == absorbed([second, first], shop())


def test_a_retry_counts_once_however_many_events_are_between_and_however_they_are_batched() -> None:
    happened = [purchase(f"p-{i}", NOW + i) for i in range(100)] + [purchase("p-0", NOW)]
    order = delivered(*happened)
    whole = absorbed([order], shop())
    assert whole == absorbed([[delivery] for delivery in order], shop())


def test_ids_of_two_topics_are_not_confused() -> None:
    outcome = walked(delivered(purchase("1"), browse("1"), engagement("1")), shop())
    assert outcome.duplicates == 0


def test_a_retry_within_the_window_counts_once_and_one_after_it_is_new() -> None:
    taxonomy = shop(features={"duplicate_window_seconds": 600})
    happened = [purchase("p"), purchase("q", NOW + 9 * MINUTE), purchase("p")]
    assert walked(delivered(*happened), taxonomy).duplicates == 1
    happened[1] = purchase("q", NOW + 11 * MINUTE)
    assert walked(delivered(*happened), taxonomy).duplicates == 0


@given(SEEDS)
@hypothesis(max_examples=40)
def test_a_redelivery_changes_nothing_and_says_nothing(seed: int) -> None:
    rng = random.Random(seed)
    order = interleaved(inputs_of(rng, happenings(rng, "x", NOW - 12 * HOUR, NOW)), rng)
    first = walked(order, SHOP)
    again = walked(redelivered(order, rng), SHOP, first.records)
    assert again.redelivered >= len(order)
    left = (again.records, again.model_updates, again.public_records, again.messages)
    assert not any(left)


@given(SEEDS)
@hypothesis(max_examples=30)
def test_revisions_have_no_hole_and_each_follows_from_the_last(seed: int) -> None:
    rng = random.Random(seed)
    order = interleaved(inputs_of(rng, happenings(rng, "x", NOW - 12 * HOUR, NOW)), rng)
    stored, changes = dict[str, Record](), []
    for run in batches(redelivered(order, rng), rng):
        outcome = walked(run, SHOP, stored)
        stored |= outcome.records
        changes += [json.loads(message or b"") for _, message in outcome.messages]
    assert [change["revision"] for change in changes] == list(range(1, len(changes) + 1))
    before = [None, *(change["current"] for change in changes)]
    assert [change["previous"] for change in changes] == before[:-1]
    assert len({change["change_id"] for change in changes}) == len(changes)


@given(SEEDS)
@hypothesis(max_examples=30)
def test_the_models_part_is_the_fold_of_the_records(seed: int) -> None:
    rng = random.Random(seed)
    customers = [f"c{i}" for i in range(4)]
    happened = [e for c in customers for e in happenings(rng, c, NOW - 12 * HOUR, NOW)]
    happened += [deletion(f"d-{c}", rng.randint(NOW - 12 * HOUR, NOW), c) for c in customers[:2]]
    part, stored = PersonaClassifier(), dict[str, Record]()
    for run in batches(redelivered(interleaved(inputs_of(rng, happened), rng), rng), rng):
        outcome = walked(run, SHOP, stored)
        stored |= outcome.records
        for lesson in outcome.model_updates:
            part.add(lesson.part, lesson.persona, lesson.sign)
        rebuilt = PersonaClassifier()
        for lesson in process.model_updates(stored, SHOP):
            rebuilt.add(lesson.part, lesson.persona)
        assert part.canonical() == rebuilt.canonical()


def test_an_expired_label_is_unlearned() -> None:
    given_ = [assignment("a", expires_at=NOW + DAY), purchase("p")]
    first = walked(delivered(*given_), shop())
    late = walked(delivered(purchase("q", NOW + DAY), first=1), shop(), first.records)
    assert [lesson.sign for lesson in first.model_updates] == [1]
    assert [lesson.sign for lesson in late.model_updates] == [-1]


def test_an_event_in_the_far_future_is_clamped_to_its_arrival() -> None:
    (delivery,) = delivered(purchase("p", NOW + 400 * DAY))
    delivery.arrived_at = NOW
    record = walked([delivery], shop(policy={"max_future_seconds": 3600})).records["c"]
    assert record.counts.clock == NOW


def test_what_is_older_than_a_deletion_is_dropped() -> None:
    late = [deletion("d", NOW), purchase("p", NOW), assignment("a", NOW - 1)]
    outcome = walked(delivered(*late), shop())
    assert outcome.dropped == 2
    assert outcome.records["c"].is_marker


def test_a_deletion_of_1970_is_one() -> None:
    assert walked(delivered(deletion("d", 0)), shop()).messages == [("c", None)]


def test_a_customer_who_comes_back_begins_again_under_other_change_ids() -> None:
    before = walked(delivered(purchase("p")), shop()).messages
    happened = [purchase("p"), deletion("d"), purchase("q", NOW + 1)]
    after = walked(delivered(*happened), shop()).messages
    (first,) = [json.loads(message or b"") for _, message in before]
    (_, tombstone), (_, second) = after
    assert tombstone is None
    assert json.loads(second or b"")["revision"] == first["revision"] == 1
    assert json.loads(second or b"")["change_id"] != first["change_id"]


def test_a_customer_forgotten_altogether_comes_back_under_other_change_ids() -> None:
    first, second = (
        walked(delivered(purchase("p", at)), shop(), now=at).messages[0][1] or b""
        for at in (NOW, NOW + 40 * DAY)
    )
    assert json.loads(first)["change_id"] != json.loads(second)["change_id"]


def test_what_is_said_does_not_depend_on_the_company() -> None:
    taxonomy = shop()
    order = delivered(*tastes(taxonomy))
    together = walked(order, taxonomy)
    for customer in together.records:
        alone = walked([d for d in order if d.event.customer_id == customer], taxonomy)
        assert alone.records[customer].published == together.records[customer].published


def test_the_walk_leaves_its_records_as_they_were() -> None:
    first = walked(delivered(purchase("p"), assignment("a")), shop())
    before = record_codec.encode(list(first.records.values()), 1)
    walked(delivered(purchase("q", NOW + DAY), deletion("d"), first=1), shop(), first.records)
    assert record_codec.encode(list(first.records.values()), 1) == before


def test_no_deliveries_lead_to_nothing() -> None:
    outcome = walked([], shop())
    assert not outcome.records
    assert not outcome.messages


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_newest_assignment_holds_in_any_order(order: tuple[int, int]) -> None:
    pair = [assignment("a", NOW, persona="parent"), assignment("b", NOW, persona="gamer")]
    outcome = walked(delivered(*(pair[i] for i in order)), shop())
    assert outcome.records["c"].active_label() == "gamer"


def test_names_of_new_slots_are_left_with_the_tokenizer() -> None:
    taxonomy, event = shop(), purchase("p")
    tokenizer, weights = Tokenizer(taxonomy), derive(PersonaClassifier(), PERSONAS)
    process.walk(delivered(event), {}, weights, taxonomy, tokenizer, NOW)
    assert "category:food" in {token for _, token in tokenizer.fresh}
    assert encode(event)
