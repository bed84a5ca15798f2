"""When something of a record ends without events, and what has ended by a time."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from stream_persona.domain import record_codec
from stream_persona.domain.due import (
    advance,
    advance_all,
    decay_evidence,
    find_all_due,
)
from stream_persona.domain.events import Event
from stream_persona.domain.features import EPOCH_HALF_LIVES, compute_profiles, fold
from stream_persona.domain.record import Record
from stream_persona.domain.taxonomy import Taxonomy
from stream_persona.domain.tokenizer import Tokenizer
from stream_persona.pipeline import process
from stream_persona.pipeline.types import Delivery
from tests.support.constants import DAY, HOUR, NOW
from tests.support.events import (
    assignment,
    browse,
    deletion,
    deliver,
    interleave,
    observation,
    purchase,
    quick_shop,
    redeliver,
    shop,
    split_into_batches,
)
from tests.support.processing import find_due, record_of

SHOP = shop(features={"half_life_days": 1.0})


def bought(times: int, at: int = NOW, taxonomy: Taxonomy = SHOP) -> Record:
    return record_of(*(purchase(f"p{i}", at) for i in range(times)), taxonomy=taxonomy)


def evidence_after_nothing(record: Record, at: int, taxonomy: Taxonomy) -> float:
    """The evidence that a record has after an event which counts for nothing."""
    counts = fold([record.counts], [observation(0, at, [(9, 1)])], taxonomy.features)
    return float(compute_profiles(counts, taxonomy.features).events[0])


def test_a_record_without_an_end_is_never_due() -> None:
    assert find_due(Record(), SHOP) is None
    assert find_due(record_of(assignment("a"), taxonomy=SHOP), SHOP) is None
    assert find_due(record_of(deletion("d"), taxonomy=SHOP), SHOP) is None
    assert find_due(record_of(browse("b"), taxonomy=SHOP), SHOP) is None, "it was never enough"


def test_an_assignment_is_due_at_its_end_and_ends_once() -> None:
    record = record_of(assignment("a", expires_at=NOW + HOUR), taxonomy=SHOP)
    assert find_due(record, SHOP) == NOW + HOUR
    assert advance(record, NOW + HOUR - 1, SHOP) is record
    ended = advance(record, NOW + HOUR, SHOP)
    assert (record.find_active_label(), ended.find_active_label()) == ("parent", None)
    assert find_due(ended, SHOP) is None
    assert advance(ended, NOW + 9 * HOUR, SHOP) is ended


def test_a_withdrawal_has_no_end() -> None:
    given_ = assignment("a", persona=None, expires_at=NOW + HOUR)
    assert find_due(record_of(given_, taxonomy=SHOP), SHOP) is None


def test_evidence_fades_at_the_first_instant_at_which_it_is_too_little() -> None:
    record = bought(3)
    due = find_due(record, SHOP)
    assert due is not None
    assert DAY < due - NOW < 2 * DAY
    assert evidence_after_nothing(record, due - 1, SHOP) >= 1.0
    assert evidence_after_nothing(record, due, SHOP) < 1.0
    assert advance(record, due - 1, SHOP) is record
    assert advance(record, due, SHOP).faded_at == due


@given(
    times=st.lists(st.integers(0, 40 * DAY), min_size=1, max_size=12),
    least=st.sampled_from([0.1, 0.25, 0.7, 1.0, 1.1, 3.0]),
    half_life=st.sampled_from([0.0011, 0.37, 1.0, 180.0]),
)
def test_evidence_suffices_just_before_its_instant_and_not_at_it(
    times: list[int], least: float, half_life: float
) -> None:
    taxonomy = shop(policy={"min_evidence": least}, features={"half_life_days": half_life})
    happened = [purchase(f"p{i}", NOW + at) for i, at in enumerate(times)]
    record = record_of(*happened, taxonomy=taxonomy)
    due = find_due(record, taxonomy)
    own = float(compute_profiles([record.counts], taxonomy.features).events[0])
    assert (due is None) == (own < least)
    if due is not None:
        assert due > record.counts.clock
        assert decay_evidence(record.counts, due - 1, taxonomy.features) >= least
        assert decay_evidence(record.counts, due, taxonomy.features) < least


@given(purchases=st.integers(1, 9), later=st.integers(0, 40 * DAY))
def test_decayed_evidence_is_what_an_event_for_nothing_would_leave(
    purchases: int, later: int
) -> None:
    record = bought(purchases)
    expected = evidence_after_nothing(record, NOW + later, SHOP)
    assert decay_evidence(record.counts, NOW + later, SHOP.features) == expected


def test_much_evidence_fades_in_the_next_epoch_and_the_most_with_the_one_after() -> None:
    taxonomy = quick_shop()
    epoch = EPOCH_HALF_LIVES * taxonomy.features.half_life_ms
    start = NOW // epoch * epoch
    for events, epochs in ((1 << 3, 0), (1 << 20, 1), (1 << 40, 2)):
        counts = fold([Record().counts], [observation(0, start, [(0, 4)])], taxonomy.features)[0]
        counts = replace(counts, value_bytes=(events * 32).to_bytes(8, "little"))
        due = find_due(Record(counts), taxonomy)
        assert due is not None
        assert (due - start) // epoch == epochs
        assert decay_evidence(counts, due, taxonomy.features) < 1.0


def test_no_evidence_is_needed_where_the_policy_says_so() -> None:
    taxonomy = shop(policy={"min_evidence": 0})
    assert find_due(bought(3, taxonomy=taxonomy), taxonomy) is None


def test_the_earlier_of_two_ends_is_due_first() -> None:
    record = record_of(purchase("p"), assignment("a", expires_at=NOW + 5), taxonomy=SHOP)
    assert find_due(record, SHOP) == NOW + 5
    later = find_due(advance(record, NOW + 5, SHOP), SHOP)
    assert later is not None
    assert later > NOW + 5
    assert find_due(advance(record, later, SHOP), SHOP) is None


def test_what_has_ended_stays_so_by_a_clock_that_is_behind() -> None:
    record = record_of(purchase("p"), assignment("a", expires_at=NOW + 5), taxonomy=SHOP)
    ended = advance(record, NOW + 30 * DAY, SHOP)
    assert ended.faded_at
    assert advance(ended, NOW, SHOP) is ended


def test_a_new_assignment_and_new_events_begin_anew() -> None:
    first = deliver(purchase("p"), assignment("a", expires_at=NOW + 5))
    ended = advance_all(fold_batch(first, {}), NOW + 30 * DAY, SHOP)
    at = NOW + 30 * DAY
    more = deliver(purchase("q", at), assignment("b", at, persona="gamer"), first=1)
    record = fold_batch(more, ended, now=at)["c"]
    assert (record.find_active_label(), record.faded_at) == ("gamer", 0)


def test_events_of_long_ago_do_not_undo_what_has_ended() -> None:
    first = fold_batch(deliver(purchase("p"), assignment("a", expires_at=NOW + 5)), {})
    ended = advance_all(first, NOW + 30 * DAY, SHOP)
    again = fold_batch(deliver(purchase("q", NOW + 1), first=1), ended, now=NOW + 30 * DAY)["c"]
    assert again.faded_at > NOW
    assert again.find_active_label() is None


@pytest.mark.parametrize(("least", "is_faded"), [(0.5, False), (2.0, True), (4.0, False)])
def test_another_policy_has_other_due_times(least: float, is_faded: bool) -> None:
    """At 4.0 there never was enough, so that nothing fades."""
    record = bought(3)
    due = find_due(record, SHOP)
    assert due is not None
    other = shop(features={"half_life_days": 1.0}, policy={"min_evidence": least})
    assert bool(advance(advance(record, due, SHOP), due, other).faded_at) == is_faded


def fold_batch(
    batch: list[Delivery], known: dict[str, Record], taxonomy: Taxonomy = SHOP, now: int = 0
) -> dict[str, Record]:
    outcome = process.apply_events(batch, known, taxonomy, Tokenizer(taxonomy), now=now)
    return known | outcome.records


def drawn(rng: random.Random) -> list[Event]:
    """A customer's events: assignments that end soon, late, at once or never, and purchases."""
    happened: list[Event] = []
    for number in range(rng.randint(1, 9)):
        at = NOW + rng.randint(0, 4 * DAY)
        ends = rng.choice([None, at + rng.randint(-DAY, 4 * DAY)])
        happened.append(
            rng.choice(
                [
                    purchase(f"p{number}", at),
                    assignment(f"a{number}", at, expires_at=ends),
                    assignment(f"w{number}", at, persona=None),
                ]
            )
        )
    return happened


@given(seed=st.integers(0, 10**6))
def test_records_of_one_time_are_the_same_whoever_looked_when(seed: int) -> None:
    rng = random.Random(seed)
    happened, end = deliver(*drawn(rng)), NOW + rng.randint(0, 9 * DAY)
    together = advance_all(fold_batch(happened, {}), end, SHOP)
    inputs = [[d for d in happened if d.kind == kind] for kind in range(5)]
    known: dict[str, Record] = {}
    for batch in split_into_batches(redeliver(interleave(inputs, rng), rng), rng):
        known = fold_batch(batch, known, now=rng.randint(NOW, end))
        if rng.random() < 0.5:
            known = advance_all(known, rng.randint(NOW, end), SHOP)
    known = advance_all(known, end, SHOP)
    mark = SHOP.fingerprint
    assert [record_codec.encode_folded(known[name], mark) for name in together] == [
        record_codec.encode_folded(record, mark) for record in together.values()
    ]
    assert find_all_due(known, SHOP) == find_all_due(together, SHOP)


@given(seed=st.integers(0, 10**6))
def test_advancing_in_steps_is_advancing_at_once(seed: int) -> None:
    rng = random.Random(seed)
    record = fold_batch(deliver(*drawn(rng)), {})["c"]
    stepwise, last = record, 0
    while (due := find_due(stepwise, SHOP)) is not None:
        assert due > last
        assert advance(stepwise, due - 1, SHOP) is stepwise
        stepwise, last = advance(stepwise, due, SHOP), due
    assert stepwise == advance(record, NOW + 365 * DAY, SHOP)
