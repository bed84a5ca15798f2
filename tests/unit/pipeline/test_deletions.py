"""The laws of deletions: they forget exactly what is older, whatever came in first."""

import json
import random

from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from msgspec.structs import replace

from stream_persona.domain import record_codec
from stream_persona.domain.events import event_time
from stream_persona.pipeline import process
from tests.support.constants import DAY, HOUR, NOW
from tests.support.events import (
    assignment,
    deletion,
    deliver,
    interleave,
    purchase,
    shop,
    split_into_batches,
)
from tests.support.histories import SHOP, folded_in_any_order, random_events, random_inputs
from tests.support.processing import decode_folded, fold_batches, process_batch

SEEDS = st.integers(0, 2**32)
DELETED = NOW - 10 * HOUR


@given(SEEDS)
@hypothesis(max_examples=100)
def test_deletions_among_older_and_newer_events_leave_no_trace_of_order(seed: int) -> None:
    rng = random.Random(seed)
    inputs = random_inputs(rng, random_events(rng, "x", NOW - 12 * HOUR, NOW))
    times = [rng.randint(NOW - 13 * HOUR, NOW + HOUR) for _ in range(rng.randint(1, 3))]
    inputs.append(deliver(*(deletion(f"d{at}", at, "x") for at in times)))
    assert len(folded_in_any_order(inputs, rng)) == 1


@given(SEEDS)
@hypothesis(max_examples=60)
def test_a_deletion_leaves_the_record_that_newer_events_alone_give(seed: int) -> None:
    rng = random.Random(seed)
    old = random_events(rng, "x", DELETED - 8 * HOUR, DELETED)
    inputs = random_inputs(rng, [*old, *random_events(rng, "x", DELETED + 1, NOW)])
    delivery = deliver(deletion("d", DELETED, "x"))
    order = interleave([*inputs, delivery], rng)
    ended = fold_batches(split_into_batches(order, rng), SHOP)
    newer = [d for d in order if event_time(d.event) > DELETED]
    never = fold_batches([[*delivery, *newer]], SHOP)
    assert bare(ended["x"]) == bare(never["x"])


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
    first = process_batch(deliver(purchase("p"), purchase("q", NOW + 1)), shop())
    log = deliver(purchase("p"), purchase("q", NOW + 1))
    published = process_batch(
        deliver(deletion("d", NOW)), shop(), first.records, histories={"c": log}
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
    after = process_batch(deliver(*happened), shop()).messages
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
