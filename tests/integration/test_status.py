"""A worker process reports what it does, for as long as it runs."""

import signal
from collections.abc import AsyncIterator, Callable

import pytest

from stream_persona.domain.events import Assignment, Browse, Item
from stream_persona.settings import Settings
from stream_persona.store.redis import RedisTables
from stream_persona.store.worker_status import (
    WorkerStatus,
    compute_figures,
    decode_report,
    merge_models,
)
from tests.support.constants import RECENT as NOW
from tests.support.shop import Shop, WorkerProcess
from tests.support.waiting import eventually


@pytest.fixture
async def tables(settings: Settings) -> AsyncIterator[RedisTables]:
    tables = RedisTables.connect(settings.redis_url, settings.prefix, 5)
    yield tables
    await tables.close()


async def statuses(tables: RedisTables) -> list[WorkerStatus]:
    return [decode_report(blob) for blob in (await tables.load_reports()).values()]


def browses(count: int) -> list[Browse]:
    item = Item("p", "tools")
    return [Browse(f"e{n}", f"c{n % 20}", NOW + n, "view", item) for n in range(count)]


def labels(count: int) -> list[Assignment]:
    personas = ("home_improver", "pet_owner")
    return [Assignment(f"a{n}", f"c{n}", NOW + 5_000 + n, personas[n % 2]) for n in range(count)]


async def test_a_worker_reports_until_it_ends_in_good_order(
    shop: Shop, tables: RedisTables, start_worker: Callable[[], WorkerProcess]
) -> None:
    worker = start_worker()

    async def owns_all() -> bool:
        found = await statuses(tables)
        return [len(each.partitions) for each in found] == [shop.settings.partitions]

    await eventually(owns_all, 60, "no report of a worker that owns all partitions")
    (idle,) = await statuses(tables)
    assert (idle.events, idle.changes, idle.labelled) == (0, {}, 0)
    assert f"-{worker.process.pid}-" in idle.worker
    await shop.produce(*browses(200))
    await shop.at_rest()
    await shop.produce(*labels(10))

    async def moved() -> bool:
        (status,) = await statuses(tables)
        return (status.events, status.labelled, status.models[0].trials) == (210, 10, 10)

    await eventually(moved, 60, "the report does not follow the events")
    (busy,) = await statuses(tables)
    assert (busy.worker, busy.started_at) == (idle.worker, idle.started_at)
    assert busy.at > idle.at
    assert busy.changes["behaviour"] + busy.changes["assignment"] > 20
    assert sum(busy.change_counts) > 0
    (model,) = merge_models([busy], shop.taxonomy.names)
    assert compute_figures(model)["log_loss"]
    assert worker.stop() == 0
    assert await tables.load_reports() == {}


@pytest.mark.faults
async def test_a_worker_that_is_killed_leaves_its_last_report_beside_the_next_ones(
    shop: Shop, tables: RedisTables, start_worker: Callable[[], WorkerProcess]
) -> None:
    shop.halve_session_timeout()
    first = start_worker()
    await eventually(tables.load_reports, 60, "the first worker does not report")
    first.stop(signal.SIGKILL)
    start_worker()

    async def both() -> bool:
        return len(await tables.load_reports()) == 2

    await eventually(both, 60, "the second worker does not report")
    ages = sorted((await statuses(tables)), key=lambda status: status.at)
    assert f"-{first.process.pid}-" in ages[0].worker
