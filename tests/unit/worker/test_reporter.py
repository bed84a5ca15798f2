"""A worker reports what it has done; reports of crashed ones go; no Redis holds a worker up."""

import asyncio
import logging

import pytest

from stream_persona.domain.taxonomy import Taxonomy
from stream_persona.errors import TopologyError, UnavailableError
from stream_persona.store.last_hour import LastHour
from stream_persona.store.memory import MemoryTables
from stream_persona.store.worker_status import WorkerStatus, decode_report
from stream_persona.worker.metrics import Metrics, read_by_label, read_histogram
from stream_persona.worker.reporter import ORPHAN_SECONDS, Orphans, Reporter
from tests.support.constants import NOW
from tests.support.events import (
    assignment,
    browse,
    deletion,
    labelled_shoppers,
    purchase,
    shop,
)
from tests.support.faulty_tables import FaultyTables
from tests.support.labelled import commit
from tests.support.waiting import patience
from tests.support.worker_runs import SHOP, FakeClock
from tests.support.workers import (
    InMemoryLog,
    PatientWorker,
    RecordingPublisher,
    fetch,
    raw,
    worker_settings,
)


class Reporting:
    """A worker of one partition with its reporter, and their clock."""

    def __init__(self, tables: MemoryTables | None = None, taxonomy: Taxonomy = SHOP) -> None:
        self.tables, self.metrics, self.clock = tables or MemoryTables(), Metrics(), FakeClock()
        clocks = self.clock.clocks
        self.worker = PatientWorker(
            worker_settings(),
            taxonomy,
            self.tables,
            RecordingPublisher(),
            InMemoryLog(),
            self.metrics,
            clocks,
        )
        self.reporter = Reporter(self.worker, taxonomy, self.tables, self.metrics, clocks)

    async def stored(self) -> WorkerStatus:
        return decode_report((await self.tables.load_reports())[self.reporter.name])


async def test_a_report_holds_what_the_worker_has_done() -> None:
    reporting = Reporting()
    await reporting.worker.assign([0])
    batch = fetch(*labelled_shoppers(SHOP, customers=6))
    await reporting.worker.process([*batch, raw("browses", b"\xff", 99_999)])
    await reporting.worker.process(batch[:3])
    await reporting.worker.refresh()
    assert await reporting.reporter.report()
    status = await reporting.stored()
    assert status.worker == reporting.reporter.name
    assert (status.partitions, status.personas) == ([0], list(SHOP.names))
    assert (status.events, status.redelivered) == (len(batch), 3)
    assert (status.dead_letters, status.rerouted, status.labelled) == (1, 0, 30)
    assert sum(status.changes.values()) >= 30
    assert status.changes["assignment"] > 0
    (current,) = status.models
    assert (current.name, current.trials) == ("current", 30)
    assert sum(map(sum, current.confusion)) == 30


async def test_a_report_holds_the_last_hour() -> None:
    reporting = Reporting()
    await reporting.worker.assign([0])
    await reporting.worker.process([*fetch(purchase("p")), raw("browses", b"\xff", 99_999)])
    await reporting.reporter.report()
    hour = (await reporting.stored()).last_hour
    assert (hour.read, hour.letters) == (2, {"not_json": 1})
    reporting.clock.now = 3_600.0
    await reporting.reporter.report()
    assert (await reporting.stored()).last_hour == LastHour()


async def test_a_report_keeps_no_customer_beyond_the_next_one_after_the_deletion() -> None:
    reporting = Reporting()
    await reporting.worker.assign([0])
    views = [browse(f"v{n}", NOW + n, "bot") for n in range(1_800)]
    await reporting.worker.process(fetch(*views))
    await reporting.reporter.report()
    assert (await reporting.stored()).last_hour.heaviest == [("bot", 1_800)]
    await reporting.worker.process(fetch(deletion("d", NOW + 10_000, "bot"), first=2_000))
    await reporting.reporter.report()
    assert b"bot" not in (await reporting.tables.load_reports())[reporting.reporter.name]


async def test_a_report_holds_the_thresholds_of_the_model_and_the_place_of_the_sweep() -> None:
    reporting = Reporting()
    fresh = reporting.reporter.make_status()
    assert (fresh.threshold, fresh.candidate_floor, fresh.sweeping) == (None, None, False)
    assert fresh.oldest_record_seconds >= 0
    await reporting.worker.assign([0])
    await reporting.worker.process(fetch(*labelled_shoppers(SHOP, customers=30)))
    await reporting.worker.refresh()
    weights, known = reporting.worker.weights, reporting.reporter.make_status()
    assert weights.threshold is not None
    assert (known.threshold, known.candidate_floor) == (weights.threshold, weights.candidate_floor)


async def test_events_and_batches_grow_from_report_to_report() -> None:
    reporting = Reporting()
    await reporting.worker.assign([0])
    seen = []
    for number in range(3):
        happened = purchase(f"p{number}"), assignment(f"a{number}", persona=SHOP.names[number])
        await reporting.worker.process(fetch(*happened, first=2 * number))
        await reporting.reporter.report()
        status = await reporting.stored()
        seen.append((status.events, sum(status.change_counts), status.changes["assignment"]))
    assert seen == [(2, 1, 1), (4, 2, 2), (6, 3, 3)]
    assert status.at >= status.started_at


async def test_a_worker_leaves_no_report_behind_and_takes_no_others() -> None:
    one = Reporting()
    other = Reporting(one.tables)
    await one.reporter.report()
    await other.reporter.report()
    assert await one.reporter.retire()
    assert set(await one.tables.load_reports()) == {other.reporter.name}


async def test_the_report_of_a_worker_that_crashed_goes_after_a_minute() -> None:
    ours, crashed = Reporting(), b"of another release"
    await ours.tables.save_report("crashed", crashed)
    other = Reporting(ours.tables)
    for second in range(0, 100, 2):
        ours.clock.now = other.clock.now = float(second)
        await other.reporter.report()
        await ours.reporter.report()
        if second < ORPHAN_SECONDS:
            assert "crashed" in await ours.tables.load_reports()
    assert set(await ours.tables.load_reports()) == {ours.reporter.name, other.reporter.name}


def test_an_orphan_is_a_report_that_stays_the_same_for_a_minute() -> None:
    found = Orphans()
    assert found.find_among({"a": b"1", "b": b"1"}, 100) == []
    assert found.find_among({"a": b"1", "b": b"2", "c": b"1"}, 159) == []
    assert found.find_among({"a": b"1", "b": b"2", "c": b"1"}, 160) == ["a"]
    assert found.find_among({"b": b"2", "c": b"2"}, 219) == ["b"]
    assert found.find_among({}, 1_000) == found.find_among({"c": b"2"}, 2_000) == []


@pytest.mark.parametrize("error", [UnavailableError("it is away"), TopologyError("not allowed")])
async def test_a_redis_that_is_away_costs_reports_and_is_logged_once(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    tables = FaultyTables()
    reporting = Reporting(tables)
    tables.fail("save_report", error, times=3)
    with caplog.at_level(logging.WARNING):
        assert [await reporting.reporter.report() for _ in range(3)] == [False] * 3
        assert await reporting.reporter.report()
    assert [record.getMessage() for record in caplog.records] == [
        f"no reports to dashboards for now: {error}"
    ]


async def test_a_redis_that_hangs_is_not_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    tables = FaultyTables()
    reporting = Reporting(tables)
    tables.hold("save_report", times=1)
    tables.hold("remove_reports", times=1)
    reporting.reporter.patience = 0.02
    async with asyncio.timeout(patience(5)):
        assert not await reporting.reporter.report()
        assert not await reporting.reporter.retire()
    assert tables.calls == {"save_report": 1, "remove_reports": 1}
    assert "Redis is slow" in caplog.text
    reporting.reporter.patience = 5.0
    assert await reporting.reporter.report()


async def test_workers_of_one_process_have_names_of_their_own() -> None:
    assert Reporting().reporter.name != Reporting().reporter.name


# --- figures as numbers ---


def test_counts_are_read_by_their_label() -> None:
    metrics = Metrics()
    metrics.changes.labels("behaviour").inc(3)
    metrics.changes.labels("model").inc()
    metrics.redelivered.inc(2)
    metrics.labelled.set(7)
    assert read_by_label(metrics.changes) == {"behaviour": 3, "model": 1}
    assert read_by_label(metrics.redelivered) == {"": 2}
    assert read_by_label(metrics.labelled) == {"": 7}
    assert read_by_label(metrics.events) == {}


def test_buckets_of_a_histogram_are_counted_each_for_itself() -> None:
    metrics = Metrics()
    for seconds in (0.0005, 0.004, 0.005, 3.0, 11.0, 12.0):
        metrics.change_seconds.observe(seconds)
    bounds, counts = read_histogram(metrics.change_seconds)
    assert len(counts) == len(bounds) + 1
    found = dict(zip([*bounds, None], counts, strict=True))
    assert {bound: n for bound, n in found.items() if n} == {0.001: 1, 0.005: 2, 5.0: 1, None: 2}


async def test_a_report_counts_the_labels_that_have_no_effect() -> None:
    reporting = Reporting()
    await commit(reporting.tables, SHOP, *labelled_shoppers(SHOP, customers=2))
    await reporting.worker.assign([0])
    assert reporting.reporter.make_status().unknown_labels == {}
    other = shop([*SHOP.names[1:], "somebody else"])
    reporting = Reporting(reporting.tables, other)
    await reporting.worker.assign([0])
    assert await reporting.reporter.report()
    assert (await reporting.stored()).unknown_labels == {SHOP.names[0]: 2}
