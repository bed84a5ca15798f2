"""The census: all shoppers are counted in passes, and changes move the figures in between."""

from collections.abc import Iterable

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_persona.api.dashboard import population_scan
from stream_persona.api.dashboard.persona_counts import BINS
from stream_persona.api.dashboard.population_scan import BURST, SHARE, Census, Counting, Pace
from stream_persona.store.memory import MemoryTables
from tests.support.builders import PERSONAS
from tests.support.said import Json, change, posterior, record, told

UNSURE = posterior(None, 0.3)


def counted(*records: bytes) -> Census:
    """A census after one pass."""
    census = Census()
    passed(census, records)
    return census


def passed(census: Census, records: Iterable[bytes]) -> None:
    census.begin()
    census.take(records)
    census.end()


def shoppers(census: Census) -> dict[str | None, int]:
    """How many are what, of those who are anything."""
    found = {persona: census.tally.of(persona).shoppers for persona in (*PERSONAS, None)}
    return {persona: number for persona, number in found.items() if number}


def queued(census: Census) -> list[str]:
    return [each.customer_id for each in census.queue.best(100)]


# --- a pass ---


def test_a_pass_counts_everybody_by_persona() -> None:
    census = counted(
        record("a"), record("b"), record("c", posterior("student")), record("d", UNSURE)
    )
    assert shoppers(census) == {"parent": 2, "student": 1, None: 1}
    assert (census.tally.shoppers, census.tally.assigned) == (4, 0)


def test_confidence_is_counted_in_bins_and_averaged() -> None:
    group = counted(
        record("a", posterior(confidence=0.62)), record("b", posterior(confidence=0.98)),
        record("c", posterior(confidence=1.0)),
    ).tally.of("parent")  # fmt: skip
    assert [at for at, number in enumerate(group.bins) if number] == [12, 19]
    assert (sum(group.bins), len(group.bins)) == (3, BINS)
    assert group.mean_confidence == pytest.approx((0.62 + 0.98 + 1.0) / 3)


def test_the_certainty_of_an_assignment_is_no_confidence_of_the_model() -> None:
    group = counted(record("a", told()), record("b", posterior(confidence=0.7))).tally.of("parent")
    assert (group.shoppers, group.assigned, sum(group.bins)) == (2, 1, 1)
    assert group.mean_confidence == pytest.approx(0.7)
    assert counted(record("a", told())).tally.of("parent").mean_confidence is None


def test_before_a_first_pass_has_ended_the_figures_are_of_those_met_so_far() -> None:
    census = Census()
    census.begin()
    census.take([record("a")])
    assert (census.counted, shoppers(census)) == (False, {"parent": 1})
    census.end()
    assert census.counted


def test_a_running_pass_leaves_the_figures_of_the_last_one() -> None:
    census = counted(record("a"), record("b"))
    census.begin()
    census.take([record("a")])
    assert shoppers(census) == {"parent": 2}


def test_a_pass_that_was_given_up_leaves_no_trace() -> None:
    census = counted(record("a"))
    census.begin()
    census.take([record("a"), record("b")])
    passed(census, [record("a")])
    assert shoppers(census) == {"parent": 1}


@pytest.mark.parametrize("junk", [b"", b"{", b"[]", b"7", b'{"customer_id": 3}', b"\xff"])
def test_what_is_no_public_record_is_nobody(junk: bytes) -> None:
    assert counted(record("a"), junk).tally.shoppers == 1


def test_a_persona_that_the_taxonomy_has_no_more_is_a_shopper_all_the_same() -> None:
    assert counted(record("a", posterior() | {"persona": "hermit"})).tally.shoppers == 1


# --- changes in between ---


def test_a_change_moves_a_shopper_from_what_was_said_to_what_is_said() -> None:
    census = counted(record("a"), record("b", UNSURE))
    census.notice(change("b", posterior("student"), UNSURE))
    assert shoppers(census) == {"parent": 1, "student": 1}
    census.notice(change("b", told("gamer"), posterior("student")))
    assert shoppers(census) == {"parent": 1, "gamer": 1}
    assert census.tally.assigned == 1


def test_a_first_change_is_a_new_shopper() -> None:
    census = counted(record("a"))
    census.notice(change("b", posterior("student")))
    assert shoppers(census) == {"parent": 1, "student": 1}


def test_a_deletion_is_counted_by_the_next_pass() -> None:
    census = counted(record("a"), record("b"))
    census.notice(change("b", None))
    assert census.tally.shoppers == 2
    passed(census, [record("a")])
    assert census.tally.shoppers == 1


def test_what_is_moved_too_often_is_never_less_than_nobody() -> None:
    census = counted(record("a"))
    for _ in range(3):
        census.notice(change("a", UNSURE, posterior()))
    group = census.tally.of("parent")
    assert (group.shoppers, min(group.bins), group.mean_confidence) == (0, 0, None)


said = st.sampled_from([None, *PERSONAS]).map(lambda p: posterior(p, 0.3 if p is None else 0.9))


@given(st.lists(st.tuples(st.sampled_from("abcdef"), said | st.just(told())), max_size=30))
def test_moved_figures_are_those_of_a_new_pass(moves: list[tuple[str, Json]]) -> None:
    now = {name: posterior() for name in "abc"}
    census = counted(*(record(name, it) for name, it in now.items()))
    for name, current in moves:
        census.notice(change(name, current, now.get(name)))
        now[name] = current
    fresh = counted(*(record(name, it) for name, it in now.items()))
    for persona in (None, *PERSONAS):
        assert census.tally.of(persona) == fresh.tally.of(persona)


def test_changes_that_come_while_a_pass_runs_move_the_figures_shown() -> None:
    census = counted(record("a"), record("b"))
    census.begin()
    census.notice(change("a", UNSURE, posterior()))
    assert shoppers(census) == {"parent": 1, None: 1}


def test_changes_that_come_while_a_pass_runs_are_right_in_the_mean_and_then_exactly() -> None:
    names = [f"c{number}" for number in range(2_000)]
    census = counted(*map(record, names))
    census.begin()
    moved = set()
    for start in range(0, 2_000, 100):  # everybody is met, and every fourth moves at some time
        census.take(record(n, UNSURE if n in moved else None) for n in names[start : start + 100])
        for name in names[start // 100 :: 80]:
            moved.add(name)
            census.notice(change(name, UNSURE, posterior()))
    census.end()
    assert census.tally.shoppers == 2_000
    assert census.tally.of(None).shoppers == pytest.approx(len(moved), abs=60)
    passed(census, [record(name, UNSURE if name in moved else None) for name in names])
    assert census.tally.of(None).shoppers == len(moved)


# --- who leaves the queue ---


def test_ambiguous_shoppers_are_queued_and_nobody_else() -> None:
    census = counted(
        record("a", UNSURE), record("b"), record("c", told()),
        record("d", UNSURE | {"source": "assigned"}),
    )  # fmt: skip
    assert queued(census) == ["a"]
    (first,) = census.queue.best(1)
    assert (first.evidence, first.candidates) == (12.0, ["parent"])
    assert first.distribution == UNSURE["distribution"]


@pytest.mark.parametrize("now", [told(), posterior("student"), None])
def test_who_is_assigned_named_or_deleted_leaves_the_queue_at_once(now: Json | None) -> None:
    census = counted(record("a", UNSURE), record("b", UNSURE))
    census.notice(change("a", now, UNSURE))
    assert queued(census) == ["b"]


@pytest.mark.parametrize("when", ["before it is met", "after it is met"])
def test_who_leaves_while_a_pass_runs_is_not_queued_again_by_it(when: str) -> None:
    census = counted(record("a", UNSURE))
    census.begin()
    if when == "after it is met":
        census.take([record("a", UNSURE)])
    census.notice(change("a", told(), UNSURE))
    census.take([record("a", UNSURE)])  # as it was read before the change
    census.end()
    assert queued(census) == []


def test_who_becomes_ambiguous_again_while_a_pass_runs_is_queued_by_it() -> None:
    census = counted(record("a", UNSURE))
    census.begin()
    census.notice(change("a", told(), UNSURE))
    census.notice(change("a", UNSURE, told()))
    census.take([record("a", UNSURE)])
    census.end()
    assert queued(census) == ["a"]


# --- the pace ---


async def test_a_pass_reads_all_public_records_of_the_tables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(population_scan, "STEP", 7)
    tables, census = MemoryTables(), Census()
    tables.public_records = {name: record(name) for name in map(str, range(50))}
    await Counting(census, tables).one_pass()
    assert (census.counted, shoppers(census)) == (True, {"parent": 50})


def test_a_small_shop_is_counted_without_a_rest() -> None:
    pace = Pace(clock=lambda: 0.0)
    assert [pace.rest(BURST / 10) for _ in range(10)] == [0.0] * 10


def test_beyond_that_a_pass_takes_its_share_of_the_time_alone() -> None:
    now = worked = 0.0
    pace = Pace(clock=lambda: now)
    for _ in range(10_000):
        now += 0.002
        worked += 0.002
        now += pace.rest(0.002)
    assert (worked - BURST) / now == pytest.approx(SHARE, rel=0.01)


def test_records_with_more_than_is_counted_are_read() -> None:
    whole = orjson.loads(record("a")) | {"added_later": [1, 2, 3]}
    assert counted(orjson.dumps(whole)).tally.shoppers == 1
