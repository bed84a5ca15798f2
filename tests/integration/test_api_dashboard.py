"""What the dashboard draws of shoppers and over time, behind a worker and a real Redis."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import pytest

from stream_persona.api.dashboard import history, recorder
from stream_persona.domain.events import (
    Assignment,
    Deletion,
)
from stream_persona.settings import Settings
from tests.support.api import (
    NOW,
    ManualWorker,
    becomes_ready,
    calling,
)
from tests.support.dashboard import ask, becomes, population
from tests.support.servers import client_of
from tests.support.waiting import eventually

pytestmark = pytest.mark.usefixtures("quick_refreshes")


# --- the population ---


async def test_all_shoppers_are_counted(manual_worker: ManualWorker, settings: Settings) -> None:
    await manual_worker.feed(*population(2_000))
    async with calling(settings) as client:
        found = await becomes(client, counted=True, shoppers=2_000)
        assert sum(found["mix"].values()) + found["ambiguous"] == 2_000
        assert found["ambiguous_share"] == found["ambiguous"] / 2_000
        portraits = await ask(client, "/v1/portraits")
        assert {each["name"]: each["shoppers"] for each in portraits["personas"]} == found["mix"]
        for each in portraits["personas"]:
            assert sum(each["confidence"]) == each["shoppers"]
        assert sum(portraits["ambiguous"]["confidence"]) == found["ambiguous"]
        queue = await ask(client, "/v1/queue?limit=100")
        information = [each["information"] for each in queue["shoppers"]]
        assert queue["counted"]
        assert information == sorted(information, reverse=True)
        for each in queue["shoppers"]:
            record = (await client.get(f"/v1/customers/{each['customer_id']}/persona")).json()
            assert record["ambiguous"]
            assert each["distribution"] == record["distribution"]


async def test_an_assignment_moves_the_figures_and_flows_at_once(
    manual_worker: ManualWorker, settings: Settings
) -> None:
    await manual_worker.feed(*population(30))
    async with calling(settings) as client:
        await becomes_ready(client)
        before = await becomes(client, counted=True, shoppers=30)
        queue = (await ask(client, "/v1/queue"))["shoppers"]
        customer = queue[0]["customer_id"]
        await manual_worker.feed(Assignment("a1", customer, NOW, "student"))
        await becomes(client, 5, assigned=1, ambiguous=before["ambiguous"] - 1)
        queue = (await ask(client, "/v1/queue"))["shoppers"]
        assert customer not in [each["customer_id"] for each in queue]
        series = await ask(client, "/v1/history?seconds=60")
        assert {"from": None, "to": "student", "count": 1} in series["flows"]
        assert sum(filter(None, series["changes"])) >= 1
        assert series["mix"]["student"][-1] == before["mix"]["student"] + 1
        student = (await ask(client, "/v1/portraits"))["personas"]
        assert [each["assigned"] for each in student if each["name"] == "student"] == [1]


async def test_a_deleted_shopper_leaves_the_queue_at_once_and_the_count_with_the_next_pass(
    manual_worker: ManualWorker, settings: Settings
) -> None:
    await manual_worker.feed(*population(30))
    async with calling(settings) as client:
        await becomes_ready(client)
        await becomes(client, counted=True, shoppers=30)
        queue = (await ask(client, "/v1/queue"))["shoppers"]
        customer = queue[0]["customer_id"]
        await manual_worker.feed(Deletion("d1", customer, NOW + 1))

        async def left() -> bool:
            now = (await ask(client, "/v1/queue"))["shoppers"]
            return customer not in [each["customer_id"] for each in now]

        await eventually(left, 5, "it stays in the queue")
        await becomes(client, 15, shoppers=29)


async def test_a_personas_defining_features_are_what_its_labelled_shoppers_buy(
    manual_worker: ManualWorker, settings: Settings
) -> None:
    events = population(60)
    labels = [
        Assignment(f"a{n}", f"c{n:04}", NOW, ("parent_of_young_kids", "pet_owner")[n % 3])
        for n in range(60)
        if n % 3 < 2
    ]
    await manual_worker.feed(*events, *labels)
    async with calling(settings) as client:
        await becomes_ready(client)

        async def defined() -> bool:
            found = (await ask(client, "/v1/portraits"))["personas"]
            lifts = {each["name"]: [lift["value"] for lift in each["lifts"]] for each in found}
            return (
                "baby/diapers" in lifts["parent_of_young_kids"]
                and "pets/dog" in (lifts["pet_owner"])
            )

        await eventually(defined, 20, "the defining features do not come")


# --- history ---


@pytest.fixture
def short_steps(monkeypatch: pytest.MonkeyPatch) -> int:
    """Milliseconds of a sample of the history: three seconds, not ten."""
    assert history.STEP_MS == 10_000
    for module in ("history", "recorder", "service"):
        monkeypatch.setattr(f"stream_persona.api.dashboard.{module}.STEP_MS", 3_000)
    for module in ("history", "service"):
        monkeypatch.setattr(f"stream_persona.api.dashboard.{module}.STEP", 3)
    return 3_000


async def test_two_processes_write_one_history(
    settings: Settings, short_steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "FRESH", 0.2)
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(calling(settings)) for _ in range(2)]
        for client in clients:
            await becomes_ready(client)
        redis = await stack.enter_async_context(client_of(settings.redis_url))

        async def stored() -> list[Any]:
            entries: list[Any] = await redis.xrange(f"{settings.prefix}persona-history")
            return entries

        async def two() -> bool:
            return len(await stored()) >= 2

        await eventually(two, 45, "no history is stored")
        times = [int(entry.partition(b"-")[0]) for entry, _ in await stored()]
        assert times == list(range(times[0], times[-1] + 1, short_steps))
        for client in clients:
            series = await ask(client, "/v1/history")
            assert series["at"][: len(times)] == times
            assert series["changes"][: len(times)] == [0] * len(times)


@pytest.mark.parametrize("query", ["seconds=59", "seconds=21601", "seconds=x"])
async def test_history_is_refused_beyond_what_is_stored(settings: Settings, query: str) -> None:
    async with calling(settings) as client:
        response = await client.get(f"/v1/history?{query}")
        assert response.status_code == 400
        assert response.json()["message"].startswith("seconds: ")
