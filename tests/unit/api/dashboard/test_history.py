"""The history that dashboards draw: buckets are closed, stored once, and drawn as series."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from stream_persona.api.dashboard.history import STEP_MS, Sample, Snapshot, build_chart
from stream_persona.api.dashboard.recorder import FRESH, SampleRecorder, StoredSamples
from stream_persona.errors import UnavailableError
from stream_persona.store.memory import MemoryTables
from tests.support.faulty_tables import FaultyTables
from tests.support.public_records import assigned_posterior, change, posterior

#: The beginning of a bucket, in epoch ms.
START = 1_764_000_000_000
UNSURE = posterior(None, 0.3)
AWAY = UnavailableError("Redis was not usable for 2 s")


class Clock:
    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> Any:
        return self.now


def away(*methods: str) -> FaultyTables:
    """Tables that are away for these calls, until they recover."""
    tables = FaultyTables()
    for method in methods:
        tables.fail(method, AWAY)
    return tables


def recorder(clock: Clock) -> SampleRecorder:
    """A recorder that began before the bucket of the clock."""
    clock.now -= STEP_MS
    made = SampleRecorder(lambda: Snapshot(shoppers=7), clock)
    clock.now += STEP_MS
    made.list_recent()
    return made


async def ticked(
    made: SampleRecorder, tables: MemoryTables, *, receiving: bool = True
) -> list[int]:
    """The buckets that are stored after a tick."""
    await made.store(tables, receiving=receiving)
    return [at for at, _ in await tables.load_samples(0)]


# --- buckets ---


async def test_a_bucket_is_stored_when_its_time_is_over() -> None:
    clock, tables = Clock(START), MemoryTables()
    made = recorder(clock)
    made.add(change("a", posterior("student"), UNSURE))
    clock.now = START + STEP_MS - 1
    assert await ticked(made, tables) == []
    clock.now = START + STEP_MS
    assert await ticked(made, tables) == [START]
    ((_, blob),) = await tables.load_samples(0)
    sample = msgspec.json.decode(blob, type=Sample)
    assert (sample.changes, sample.flows) == (1, {":student": 1})
    assert sample.state.shoppers == 7


async def test_a_change_counts_in_the_bucket_in_which_it_is_received() -> None:
    clock, tables = Clock(START), MemoryTables()
    made = recorder(clock)
    clock.now = START + STEP_MS + 1  # before any tick has closed the last bucket
    made.add(change("a", posterior()))
    assert {at: each.changes for at, each in made.list_recent().items()} == {
        START: 0, START + STEP_MS: 1
    }  # fmt: skip
    assert await ticked(made, tables) == [START]


def test_a_flow_is_from_one_persona_to_another_and_a_first_change_is_none() -> None:
    made = recorder(Clock(START))
    for current, previous in (
        (posterior("student"), None),
        (posterior("student", 0.95), posterior("student", 0.8)),
        (assigned_posterior("gamer"), posterior("student")),
        (assigned_posterior("gamer"), posterior("student")),
        (UNSURE, posterior("student")),
    ):
        made.add(change("a", current, previous))
    present = made.list_recent()[START]
    assert present.changes == 5
    assert present.flows == {"student:gamer": 2, "student:": 1}


async def test_a_process_stores_no_bucket_whose_beginning_it_has_not_received() -> None:
    clock, tables = Clock(START + 3_000), MemoryTables()
    made = SampleRecorder(Snapshot, clock)
    clock.now = START + STEP_MS
    assert await ticked(made, tables) == []
    clock.now = START + 2 * STEP_MS
    assert await ticked(made, tables) == [START + STEP_MS]


async def test_a_bucket_in_which_changes_were_not_received_is_left_to_other_processes() -> None:
    clock, tables = Clock(START), MemoryTables()
    made = recorder(clock)
    await ticked(made, tables, receiving=False)
    for step in (1, 2):
        clock.now = START + step * STEP_MS
        await ticked(made, tables)
    assert await ticked(made, tables) == [START + STEP_MS]


async def test_each_bucket_is_stored_by_one_of_two_processes() -> None:
    clock, tables = Clock(START), MemoryTables()
    both = recorder(clock), recorder(clock)
    both[0].add(change("a", posterior()))
    for step in range(1, 4):
        clock.now = START + step * STEP_MS
        for made in both:
            await ticked(made, tables)
    times = [at for at, _ in await tables.load_samples(0)]
    assert times == [START, START + STEP_MS, START + 2 * STEP_MS]


async def test_a_sample_that_could_not_be_stored_is_when_redis_is_back() -> None:
    clock, tables = Clock(START), away("add_sample")
    made = recorder(clock)
    for step in (1, 2):
        clock.now = START + step * STEP_MS
        with pytest.raises(UnavailableError):
            await made.store(tables, receiving=True)
    tables.recover("add_sample")
    assert await ticked(made, tables) == [START, START + STEP_MS]


# --- reading ---


async def test_all_requests_are_served_by_one_read() -> None:
    clock, tables = Clock(100.0), FaultyTables()
    tables.watch("load_samples")
    await tables.add_sample(START, msgspec.json.encode(Sample(Snapshot(), 3)))
    stored = StoredSamples(tables, clock)
    found = await asyncio.gather(*(stored.load() for _ in range(20)))
    assert (tables.calls["load_samples"], {each[START].changes for each in found}) == (1, {3})
    clock.now += FRESH + 0.1
    await tables.add_sample(START + STEP_MS, msgspec.json.encode(Sample(Snapshot(), 4)))
    assert list(await stored.load()) == [START, START + STEP_MS]
    assert tables.calls["load_samples"] == 2


async def test_samples_that_were_read_are_still_returned_while_redis_is_away() -> None:
    clock, tables = Clock(100.0), away("load_samples")
    stored = StoredSamples(tables, clock)
    for _ in range(3):
        with pytest.raises(UnavailableError):
            await stored.load()
    # No request waits for what another has just waited for.
    assert tables.calls["load_samples"] == 1
    tables.recover("load_samples")
    await tables.add_sample(START, msgspec.json.encode(Sample(Snapshot(), 3)))
    clock.now += FRESH + 0.1
    assert list(await stored.load()) == [START]
    tables.fail("load_samples", AWAY)
    clock.now += FRESH + 0.1
    assert list(await stored.load()) == [START]


async def test_a_sample_that_cannot_be_read_is_left_out_and_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock, tables = Clock(100.0), MemoryTables()
    stored = StoredSamples(tables, clock)
    await tables.add_sample(START, msgspec.json.encode(Sample(Snapshot())))
    await tables.add_sample(START + STEP_MS, b'{"state": 3}')
    for _ in range(3):
        assert list(await stored.load()) == [START]
        clock.now += FRESH + 0.1
    assert len(caplog.records) == 1


# --- the chart ---


def drawn(samples: dict[int, Sample], steps: int = 10) -> dict[str, Any]:
    since = START - steps * STEP_MS
    return build_chart(samples, since, START, ["parent", "student"])


def test_series_have_an_entry_for_each_step_and_null_where_nothing_is_known() -> None:
    state = Snapshot(mix={"parent": 3, "hermit": 9}, shoppers=12, log_loss=1.1)
    found = drawn({START - 3 * STEP_MS: Sample(state, 4), START: Sample(Snapshot(shoppers=13))})
    assert found["at"] == [START + step * STEP_MS for step in (-3, -2, -1, 0)]
    assert found["shoppers"] == [12, None, None, 13]
    assert found["changes"] == [4, None, None, 0]
    assert found["mix"] == {"parent": [3, None, None, None], "student": [None] * 4}
    assert found["log_loss"] == [1.1, None, None, None]


def test_samples_older_than_requested_are_left_out() -> None:
    flow = {"parent:": 1}
    old, new = (Sample(Snapshot(), 1, flow) for _ in range(2))
    found = drawn({START - 11 * STEP_MS: old, START - 10 * STEP_MS: new})
    assert (len(found["at"]), found["changes"][0]) == (11, 1)
    assert found["flows"] == [{"from": "parent", "to": None, "count": 1}]


def test_flows_are_summed_and_the_greatest_comes_first() -> None:
    samples = {
        START - step * STEP_MS: Sample(Snapshot(), 9, {"parent:": 2, ":student": step})
        for step in range(3)
    }
    assert [(flow["from"], flow["to"], flow["count"]) for flow in drawn(samples)["flows"]] == [
        ("parent", None, 6), (None, "student", 3)
    ]  # fmt: skip


def test_challengers_come_and_go() -> None:
    samples = {
        START - STEP_MS: Sample(Snapshot(challengers={"forest": 1.4})),
        START: Sample(Snapshot(challengers={"bayes": None})),
    }
    assert drawn(samples)["challengers"] == {"bayes": [None, None], "forest": [1.4, None]}


def test_series_without_samples_are_empty() -> None:
    found = drawn({})
    assert (found["at"], found["mix"], found["flows"]) == ([], {"parent": [], "student": []}, [])
