"""The answers that dashboards draw: figures, limits, what is wrong."""

from __future__ import annotations

import time
from typing import Any

import pytest

from stream_persona.api.dashboard import overview
from stream_persona.api.dashboard.health import check_health
from stream_persona.api.dashboard.label_queue import LabelCandidate
from stream_persona.api.dashboard.overview import ChangeRate
from stream_persona.api.dashboard.population_scan import Population
from stream_persona.api.dashboard.workers import WorkerReports
from stream_persona.api.model_reader import CurrentModel
from stream_persona.errors import UnavailableError
from stream_persona.model.classifier import PersonaClassifier
from stream_persona.model.estimator import derive
from stream_persona.model.quality_counts import BINS, Bin
from stream_persona.model.weights import Weights
from stream_persona.store import worker_status
from stream_persona.store.memory import MemoryTables
from tests.support.constants import PERSONAS
from tests.support.events import shop
from tests.support.faulty_tables import FaultyTables
from tests.support.public_records import assigned_posterior, change, posterior, record
from tests.support.reports import model_status, report

UNSURE = posterior(None, 0.3)


def counted(*records: bytes) -> Population:
    population = Population()
    population.begin_pass()
    population.count(records)
    population.end_pass()
    return population


async def reported(*reports: Any) -> WorkerReports:
    """Reports that were read from tables."""
    tables = MemoryTables()
    for each in reports:
        await tables.save_report(each.worker, worker_status.encode_report(each))
    found = WorkerReports(tables, PERSONAS)
    await found.refresh()
    return found


def now_ms() -> int:
    return time.time_ns() // 1_000_000


# --- figures ---


def test_changes_are_counted_over_the_last_minute() -> None:
    now = 1_000.0
    rate = ChangeRate(lambda: now)
    rate.add()
    now = 1_030.0
    rate.add()
    rate.add()
    assert rate.per_minute == 3
    now = 1_061.0
    assert rate.per_minute == 2
    now = 1_200.0
    assert rate.per_minute == 0


def test_the_summary_counts_shoppers_by_persona_as_of_now() -> None:
    population = counted(
        record("a"), record("b", UNSURE), record("c", assigned_posterior("student"))
    )
    population.apply(change("d", posterior("student")))
    assert overview.summarize(population.personas, ["parent", "student"]) == {
        "shoppers": 4, "ambiguous": 1, "ambiguous_share": 0.25, "assigned": 1,
        "mix": {"parent": 1, "student": 2},
    }  # fmt: skip


def test_the_ambiguous_share_of_no_shopper_is_unknown() -> None:
    assert overview.summarize(Population().personas, ["parent"])["ambiguous_share"] is None


async def test_a_snapshot_holds_no_shoppers_before_they_are_counted() -> None:
    reports = await reported()
    snapshot = overview.take_snapshot(Population(), reports, 5, PERSONAS)
    assert (snapshot.mix, snapshot.shoppers, snapshot.ambiguous, snapshot.lag_events) == (
        None,
        None,
        None,
        5,
    )
    snapshot = overview.take_snapshot(counted(record("a")), reports, None, ["parent"])
    assert (snapshot.mix, snapshot.shoppers, snapshot.log_loss) == ({"parent": 1}, 1, None)


async def test_a_snapshot_holds_the_recent_losses_of_all_models() -> None:
    models = [
        model_status(trials=4, loss=8.0, prior_loss=6.0, recent=2, recent_loss=3.0, recent_right=1),
        model_status("forest", trials=4, recent=4, recent_loss=5.0),
    ]
    reports = await reported(report(at=now_ms(), models=models))
    snapshot = overview.take_snapshot(Population(), reports, None, PERSONAS)
    assert (snapshot.log_loss, snapshot.prior_log_loss, snapshot.accuracy) == (1.5, 1.5, 0.5)
    assert snapshot.challengers == {"forest": 1.25}


async def test_reports_of_another_release_are_left_out() -> None:
    tables = MemoryTables()
    await tables.save_report("old", b'{"worker": "old"}')
    await tables.save_report("w", worker_status.encode_report(report(at=now_ms())))
    reports = WorkerReports(tables, PERSONAS)
    await reports.refresh()
    assert [each.worker for each in reports.alive] == ["w"]


async def test_workers_stay_as_they_were_and_rates_are_unknown_while_redis_is_away() -> None:
    tables = FaultyTables()
    await tables.save_report("w", worker_status.encode_report(report(at=now_ms())))
    reports = WorkerReports(tables, PERSONAS)
    assert reports.away is None
    await reports.refresh()
    assert (reports.away, len(reports.alive)) == (False, 1)
    tables.fail("load_reports", UnavailableError("Redis was not usable for 2 s"))
    await reports.refresh()
    assert (reports.away, len(reports.alive)) == (True, 1)
    assert (reports.events_per_second, reports.change_p99_ms) == (None, None)


# --- limits, personas, model ---


def weights_of(**parts: Any) -> Weights:
    weights = derive(PersonaClassifier(), PERSONAS)
    return Weights(**{name: getattr(weights, name) for name in weights.__slots__} | parts)


def test_limits_are_the_policys_until_they_are_measured() -> None:
    taxonomy = shop(policy={"min_confidence": 0.55, "candidate_coverage": 0.9})
    assert overview.find_limits(weights_of(), taxonomy) == {
        "threshold": 0.55, "candidate_floor": pytest.approx(0.02)
    }  # fmt: skip
    measured = weights_of(threshold=0.7, candidate_floor=0.04)
    assert overview.find_limits(measured, taxonomy) == {"threshold": 0.7, "candidate_floor": 0.04}


def test_a_threshold_that_no_shopper_reaches_is_one() -> None:
    assert overview.find_limits(weights_of(threshold=2.0), shop())["threshold"] == 1.0


def test_each_persona_has_the_threshold_that_decides_its_names() -> None:
    taxonomy = shop(policy={"min_confidence": 0.55})
    measured = (None, 0.7, 0.8, 2.0, 0.7)
    found = overview.list_persona_limits(weights_of(threshold=0.7, thresholds=measured), taxonomy)
    assert list(found.values()) == [0.55, 0.7, 0.8, 1.0, 0.7]
    assert list(found) == list(PERSONAS)


def test_a_persona_is_described_by_shoppers_trials_and_defining_features() -> None:
    bins = [Bin()] * BINS
    bins[8] = Bin(4, 3, 3_400_000)
    current = model_status(reliability=[bins, *([[Bin()] * BINS] * (len(PERSONAS) - 1))])
    model = CurrentModel(weights_of(), {"parent": 3})
    lifts = {"parent": [("category", "baby", 4.0)]}
    population = counted(record("a"), record("b", assigned_posterior()), record("c", UNSURE))
    found = overview.describe_personas(shop(), model, population, current, lifts)
    parent, student = found["personas"][:2]
    assert (parent["shoppers"], parent["assigned"], parent["labelled"]) == (2, 1, 3)
    assert (parent["trials"], parent["title"]) == (4, "parent")
    assert parent["reliability"] == [
        {"confidence": pytest.approx(0.85), "accuracy": 0.75, "trials": 4}
    ]
    assert parent["lifts"] == [{"feature": "category", "value": "baby", "lift": 4.0}]
    assert (student["shoppers"], student["trials"], student["lifts"]) == (0, 0, [])
    assert found["ambiguous"]["shoppers"] == 1
    assert len(found["edges"]) == len(found["ambiguous"]["confidence"]) + 1


async def test_the_model_is_described_with_its_workers_and_alarms_the_newest_first() -> None:
    models = [
        model_status(trials=2, alarms=[(10, 1), (30, 2)]),
        model_status("forest", alarms=[(20, 9)]),
    ]
    reports = await reported(
        report("v", now_ms(), models=models, sweeping=True, oldest_record_seconds=2.5),
        report("w", now_ms(), partitions=[3]),
    )
    found = overview.describe_model(shop(), CurrentModel(weights_of(), {"parent": 3}), reports)
    assert [alarm["at"] for alarm in found["alarms"]] == [30, 20, 10]
    assert [each["name"] for each in found["models"]] == ["current", "forest"]
    assert [each["alarms"] for each in found["models"]] == [2, 1]
    assert [each["partitions"] for each in found["workers"]] == [2, 1]
    assert (found["sweeping"], found["oldest_record_seconds"]) == (True, 2.5)
    assert found["labels"] == dict.fromkeys(PERSONAS, 0) | {"parent": 3}
    assert found["confusion"]["personas"] == PERSONAS


async def test_the_model_without_workers_is_described_alone() -> None:
    found = overview.describe_model(shop(), CurrentModel(weights_of()), await reported())
    assert (found["workers"], found["models"], found["alarms"]) == ([], [], [])
    assert (found["oldest_record_seconds"], found["confusion"]["counts"]) == (None, [])


def test_a_candidate_is_described_with_epoch_milliseconds() -> None:
    queued = LabelCandidate("a", 1.5, 3.0, {"parent": 1.0}, ["parent"], "2025-11-24T16:00:00.250Z")
    assert overview.describe_candidate(queued)["updated_at"] == 1_764_000_000_250


# --- health findings ---


def findings_of(**parts: Any) -> list[tuple[str, str]]:
    well: dict[str, Any] = {
        "disagreement": None, "redis_away": False, "storage": [], "kafka_away": False,
        "silence": 1.0, "waiting": 0, "stalled": None,
    }  # fmt: skip
    return [(each["part"], each["message"]) for each in check_health(**well | parts)]


def test_a_healthy_deployment_has_no_findings() -> None:
    assert findings_of(silence=14.9, waiting=50_000) == []


@pytest.mark.parametrize(
    ("parts", "part", "sentence"),
    [
        (
            {"disagreement": "this API is set otherwise: set it to 8"}, "deployment",
            "This API is set otherwise: set it to 8.",
        ),
        ({"redis_away": True}, "redis", "Redis does not answer: what you see may be old."),
        ({"storage": ["Redis is full"]}, "storage", "Redis is full."),
        ({"kafka_away": True}, "kafka", "Kafka does not answer: nothing new can come in, and"),
        ({"silence": 20.4}, "workers", "No worker has reported for 20 s: personas don't move."),
        ({"silence": 600.0}, "workers", "No worker has reported for 10 min: personas"),
        (
            {"waiting": 1_240, "stalled": 14.2}, "stream",
            "The stream stands still: 1,240 events wait and none was worked off for 14 s.",
        ),
        ({"waiting": 1, "stalled": 10.0}, "stream", "The stream stands still: 1 event waits and"),
    ],
)  # fmt: skip
def test_each_finding_is_a_sentence(parts: dict[str, Any], part: str, sentence: str) -> None:
    ((found, message),) = findings_of(**parts)
    assert (found, message[: len(sentence)], message[-1]) == (part, sentence, ".")


def test_silent_workers_are_no_finding_while_redis_is_away() -> None:
    assert [part for part, _ in findings_of(redis_away=True, silence=60.0)] == ["redis"]


def test_what_redis_said_before_it_was_away_is_no_finding() -> None:
    assert [part for part, _ in findings_of(redis_away=True, storage=["full"])] == ["redis"]
