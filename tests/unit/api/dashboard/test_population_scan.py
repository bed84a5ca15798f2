"""The population scan: passes count all shoppers, and changes move the figures in between."""

from collections.abc import Iterable

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_persona.api.dashboard import population_scan
from stream_persona.api.dashboard.persona_counts import BINS
from stream_persona.api.dashboard.population_scan import (
    BURST,
    SHARE,
    Population,
    PopulationScan,
    WorkBudget,
)
from stream_persona.store.memory import MemoryTables
from tests.support.constants import PERSONAS
from tests.support.public_records import Json, assigned_posterior, change, posterior, record

UNSURE = posterior(None, 0.3)


def counted(*records: bytes) -> Population:
    """A population after one pass."""
    population = Population()
    run_pass(population, records)
    return population


def run_pass(population: Population, records: Iterable[bytes]) -> None:
    population.begin_pass()
    population.count(records)
    population.end_pass()


def shoppers(population: Population) -> dict[str | None, int]:
    """The number of shoppers by persona, without zeros."""
    found = {
        persona: population.personas.copy_group(persona).shoppers for persona in (*PERSONAS, None)
    }
    return {persona: number for persona, number in found.items() if number}


def queued(population: Population) -> list[str]:
    return [each.customer_id for each in population.queue.list_best(100)]


# --- a pass ---


def test_a_pass_counts_everybody_by_persona() -> None:
    population = counted(
        record("a"), record("b"), record("c", posterior("student")), record("d", UNSURE)
    )
    assert shoppers(population) == {"parent": 2, "student": 1, None: 1}
    assert (population.personas.shoppers, population.personas.assigned) == (4, 0)


def test_confidence_is_counted_in_bins_and_averaged() -> None:
    group = counted(
        record("a", posterior(confidence=0.62)), record("b", posterior(confidence=0.98)),
        record("c", posterior(confidence=1.0)),
    ).personas.copy_group("parent")  # fmt: skip
    assert [at for at, number in enumerate(group.bins) if number] == [12, 19]
    assert (sum(group.bins), len(group.bins)) == (3, BINS)
    assert group.mean_confidence == pytest.approx((0.62 + 0.98 + 1.0) / 3)


def test_the_certainty_of_an_assignment_is_no_confidence_of_the_model() -> None:
    group = counted(
        record("a", assigned_posterior()), record("b", posterior(confidence=0.7))
    ).personas.copy_group("parent")
    assert (group.shoppers, group.assigned, sum(group.bins)) == (2, 1, 1)
    assert group.mean_confidence == pytest.approx(0.7)
    assert (
        counted(record("a", assigned_posterior())).personas.copy_group("parent").mean_confidence
        is None
    )


def test_the_figures_before_a_first_pass_has_ended_are_of_those_counted_so_far() -> None:
    population = Population()
    population.begin_pass()
    population.count([record("a")])
    assert (population.counted, shoppers(population)) == (False, {"parent": 1})
    population.end_pass()
    assert population.counted


def test_a_running_pass_leaves_the_figures_of_the_last_one() -> None:
    population = counted(record("a"), record("b"))
    population.begin_pass()
    population.count([record("a")])
    assert shoppers(population) == {"parent": 2}


def test_a_pass_that_was_given_up_leaves_no_trace() -> None:
    population = counted(record("a"))
    population.begin_pass()
    population.count([record("a"), record("b")])
    run_pass(population, [record("a")])
    assert shoppers(population) == {"parent": 1}


@pytest.mark.parametrize("junk", [b"", b"{", b"[]", b"7", b'{"customer_id": 3}', b"\xff"])
def test_a_value_that_is_no_public_record_is_left_out(junk: bytes) -> None:
    assert counted(record("a"), junk).personas.shoppers == 1


def test_a_persona_that_the_taxonomy_has_no_more_is_a_shopper_all_the_same() -> None:
    assert counted(record("a", posterior() | {"persona": "hermit"})).personas.shoppers == 1


# --- changes in between ---


def test_a_change_moves_a_shopper_from_the_previous_to_the_current_persona() -> None:
    population = counted(record("a"), record("b", UNSURE))
    population.apply(change("b", posterior("student"), UNSURE))
    assert shoppers(population) == {"parent": 1, "student": 1}
    population.apply(change("b", assigned_posterior("gamer"), posterior("student")))
    assert shoppers(population) == {"parent": 1, "gamer": 1}
    assert population.personas.assigned == 1


def test_a_first_change_is_a_new_shopper() -> None:
    population = counted(record("a"))
    population.apply(change("b", posterior("student")))
    assert shoppers(population) == {"parent": 1, "student": 1}


def test_a_deletion_is_counted_by_the_next_pass() -> None:
    population = counted(record("a"), record("b"))
    population.apply(change("b", None))
    assert population.personas.shoppers == 2
    run_pass(population, [record("a")])
    assert population.personas.shoppers == 1


def test_figures_that_are_moved_too_often_are_never_below_0() -> None:
    population = counted(record("a"))
    for _ in range(3):
        population.apply(change("a", UNSURE, posterior()))
    group = population.personas.copy_group("parent")
    assert (group.shoppers, min(group.bins), group.mean_confidence) == (0, 0, None)


posteriors = st.sampled_from([None, *PERSONAS]).map(
    lambda p: posterior(p, 0.3 if p is None else 0.9)
)


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdef"), posteriors | st.just(assigned_posterior())),
        max_size=30,
    )
)
def test_moved_figures_are_those_of_a_new_pass(moves: list[tuple[str, Json]]) -> None:
    now = {name: posterior() for name in "abc"}
    population = counted(*(record(name, it) for name, it in now.items()))
    for name, current in moves:
        population.apply(change(name, current, now.get(name)))
        now[name] = current
    fresh = counted(*(record(name, it) for name, it in now.items()))
    for persona in (None, *PERSONAS):
        assert population.personas.copy_group(persona) == fresh.personas.copy_group(persona)


def test_changes_that_come_while_a_pass_runs_move_the_figures_shown() -> None:
    population = counted(record("a"), record("b"))
    population.begin_pass()
    population.apply(change("a", UNSURE, posterior()))
    assert shoppers(population) == {"parent": 1, None: 1}


def test_changes_that_come_while_a_pass_runs_are_right_in_the_mean_and_then_exactly() -> None:
    names = [f"c{number}" for number in range(2_000)]
    population = counted(*map(record, names))
    population.begin_pass()
    moved = set()
    for start in range(0, 2_000, 100):  # all are counted, and every fourth moves at some time
        population.count(
            record(n, UNSURE if n in moved else None) for n in names[start : start + 100]
        )
        for name in names[start // 100 :: 80]:
            moved.add(name)
            population.apply(change(name, UNSURE, posterior()))
    population.end_pass()
    assert population.personas.shoppers == 2_000
    assert population.personas.copy_group(None).shoppers == pytest.approx(len(moved), abs=60)
    run_pass(population, [record(name, UNSURE if name in moved else None) for name in names])
    assert population.personas.copy_group(None).shoppers == len(moved)


# --- the queue ---


def test_ambiguous_shoppers_alone_are_queued() -> None:
    population = counted(
        record("a", UNSURE), record("b"), record("c", assigned_posterior()),
        record("d", UNSURE | {"source": "assigned"}),
    )  # fmt: skip
    assert queued(population) == ["a"]
    (first,) = population.queue.list_best(1)
    assert (first.evidence, first.candidates) == (12.0, ["parent"])
    assert first.distribution == UNSURE["distribution"]


@pytest.mark.parametrize("now", [assigned_posterior(), posterior("student"), None])
def test_a_shopper_who_is_assigned_named_or_deleted_leaves_the_queue_at_once(
    now: Json | None,
) -> None:
    population = counted(record("a", UNSURE), record("b", UNSURE))
    population.apply(change("a", now, UNSURE))
    assert queued(population) == ["b"]


@pytest.mark.parametrize("when", ["before it is counted", "after it is counted"])
def test_a_shopper_who_leaves_while_a_pass_runs_is_not_queued_again_by_it(when: str) -> None:
    population = counted(record("a", UNSURE))
    population.begin_pass()
    if when == "after it is counted":
        population.count([record("a", UNSURE)])
    population.apply(change("a", assigned_posterior(), UNSURE))
    population.count([record("a", UNSURE)])  # as it was read before the change
    population.end_pass()
    assert queued(population) == []


def test_a_shopper_who_becomes_ambiguous_again_while_a_pass_runs_is_queued_by_it() -> None:
    population = counted(record("a", UNSURE))
    population.begin_pass()
    population.apply(change("a", assigned_posterior(), UNSURE))
    population.apply(change("a", UNSURE, assigned_posterior()))
    population.count([record("a", UNSURE)])
    population.end_pass()
    assert queued(population) == ["a"]


# --- the budget ---


async def test_a_pass_reads_all_public_records_of_the_tables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(population_scan, "STEP", 7)
    tables, population = MemoryTables(), Population()
    tables.public_records = {name: record(name) for name in map(str, range(50))}
    await PopulationScan(population, tables).run_pass()
    assert (population.counted, shoppers(population)) == (True, {"parent": 50})


def test_a_small_shop_is_counted_without_a_rest() -> None:
    budget = WorkBudget(clock=lambda: 0.0)
    assert [budget.spend(BURST / 10) for _ in range(10)] == [0.0] * 10


def test_a_pass_beyond_the_burst_takes_its_share_of_the_time_alone() -> None:
    now = worked = 0.0
    budget = WorkBudget(clock=lambda: now)
    for _ in range(10_000):
        now += 0.002
        worked += 0.002
        now += budget.spend(0.002)
    assert (worked - BURST) / now == pytest.approx(SHARE, rel=0.01)


def test_records_with_more_than_is_counted_are_read() -> None:
    whole = orjson.loads(record("a")) | {"added_later": [1, 2, 3]}
    assert counted(orjson.dumps(whole)).personas.shoppers == 1
