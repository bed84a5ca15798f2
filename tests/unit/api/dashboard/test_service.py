"""The dashboard's service: what it makes of changes, of reports, and of nothing yet."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest

from stream_persona.api.agreement import Agreement
from stream_persona.api.dashboard.service import OLD_MS, DashboardService
from stream_persona.api.model_reader import ModelReader
from stream_persona.api.schemas.dashboard import Overview
from stream_persona.clocks import MACHINE_CLOCKS, Clocks
from stream_persona.domain.events import format_rfc3339
from stream_persona.settings import Settings
from stream_persona.store import worker_status
from stream_persona.store.last_hour import LastHour
from stream_persona.store.memory import MemoryTables
from stream_persona.store.redis import RedisTables
from stream_persona.store.redis_health import RedisWatch
from tests.support.constants import NOW
from tests.support.events import shop
from tests.support.public_records import message, posterior
from tests.support.reports import report
from tests.support.worker_runs import FakeClock

UNSURE = posterior(None, 0.3)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def service_of(tables: MemoryTables, clocks: Clocks = MACHINE_CLOCKS) -> DashboardService:
    settings, taxonomy = Settings(_env_file=None), shop()
    reader = ModelReader(settings, taxonomy, tables)
    agreement = Agreement(settings, taxonomy, tables)
    elsewhere = RedisWatch(RedisTables.connect(settings.redis_url))  # which is not looked at
    return DashboardService(settings, taxonomy, tables, reader, agreement, elsewhere, clocks)


async def test_a_change_moves_all_figures_and_a_deletion_is_none() -> None:
    service = service_of(MemoryTables())
    service.receive(message("a", posterior("student"), UNSURE))
    service.receive(message("b", None))
    assert service.answer_overview(stream=True)["changes_per_minute"] == 1
    history = await service.answer_history(60)
    assert (history["changes"], len(history["at"])) == ([1], 1)
    assert history["flows"] == [{"from": None, "to": "student", "count": 1}]


async def test_all_figures_go_by_the_clocks_that_the_service_is_given() -> None:
    clock, tables = FakeClock(), MemoryTables()
    service = service_of(tables, clock.clocks)
    service.receive(message("a", posterior("student"), UNSURE))
    assert service.answer_overview(stream=True)["changes_per_minute"] == 1
    await tables.save_report("w", worker_status.encode_report(report(at=NOW)))
    await service._reports.refresh()
    assert service.answer_overview(stream=True)["workers"] == 1
    clock.now += 120.0
    later = service.answer_overview(stream=True)
    assert (later["changes_per_minute"], later["workers"]) == (0, 0)
    assert later["at"] == NOW + 120_000


async def test_a_change_that_is_announced_again_long_after_it_was_published_is_none_of_now() -> (
    None
):
    clock = FakeClock()
    service = service_of(MemoryTables(), clock.clocks)
    for age in (0, OLD_MS - 1, OLD_MS + 1):
        change = message(f"c{age}", posterior("student"), UNSURE)
        service.receive({**change, "published_at": format_rfc3339(NOW - age)})
    assert service.answer_overview(stream=True)["changes_per_minute"] == 2
    assert (await service.answer_history(60))["changes"] == [2]


@pytest.mark.parametrize(
    "junk", [{}, {"customer_id": "a"}, {"customer_id": "a", "current": {}}, {"customer_id": 3}, []]
)
async def test_a_message_that_is_no_change_moves_nothing(junk: Any) -> None:
    service = service_of(MemoryTables())
    with pytest.raises(msgspec.ValidationError):
        service.receive(junk)
    assert service.answer_overview(stream=True)["changes_per_minute"] == 0


async def test_figures_are_unknown_and_nothing_is_wrong_before_a_first_refresh() -> None:
    found = service_of(MemoryTables()).answer_overview(stream=False)
    assert (found["counted"], found["shoppers"], found["workers"]) == (False, 0, 0)
    assert [found[name] for name in ("lag_events", "lag_seconds", "change_p99_ms")] == [None] * 3
    assert found["troubles"] == []


# --- the last hour ---


async def test_the_last_hours_of_all_workers_are_summed_and_their_excesses_are_troubles() -> None:
    tables = MemoryTables()
    one = LastHour(600, {"retry": 150}, {"not_json": 2}, [("bot", 200)], [(43_380_000, 5)])
    other = LastHour(400, {"retry": 100, "nobody": 1})
    labels = {"old": 35}
    reports = (
        report("v", now_ms(), last_hour=one),
        report("w", now_ms(), last_hour=other, unknown_labels=labels),
    )
    for each in reports:
        await tables.save_report(each.worker, worker_status.encode_report(each))
    service = service_of(tables)
    await service._reports.refresh()
    found = service.answer_overview(stream=True)
    hour = found["last_hour"]
    assert [each["text"] for each in hour["odd"]] == [
        "2 unreadable", "1 belonged to nobody", "250 retries",
    ]  # fmt: skip
    assert (hour["events"], hour["heaviest"][0]["share"]) == (1_000, 0.2)
    assert found["unknown_labels"] == labels
    troubles = [(each["part"], each["message"][:28]) for each in found["troubles"]]
    assert troubles == [
        ("storage", "Redis came back older at 12:"),
        ("events", "25 % of the last hour's 1,00"),
        ("labels", "35 labels are of personas th"),
    ]


async def test_an_overview_is_as_it_is_documented() -> None:
    tables = MemoryTables()
    hour = LastHour(10, {"retry": 1}, {}, [("bot", 5)], [(1, 2)])
    await tables.save_report(
        "w", worker_status.encode_report(report("w", now_ms(), last_hour=hour))
    )
    service = service_of(tables)
    await service._reports.refresh()
    Overview.model_validate(service.answer_overview(stream=True), strict=True)
