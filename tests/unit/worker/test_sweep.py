"""Records of customers who send nothing follow the model."""

import asyncio
import json
from typing import Any

import pytest

from stream_persona.store.memory import MemoryTables
from stream_persona.worker.sweep import Sweep
from stream_persona.worker.worker import Worker
from tests.support.events import labelled_shoppers, purchase
from tests.support.faulty_tables import FaultyTables
from tests.support.worker_runs import SHOP, FakeClock, folded, turns
from tests.support.workers import RecordingPublisher, fetch, settle, worker, worker_settings


async def idle_shop(tables: MemoryTables, outbox: RecordingPublisher, idle: int = 40) -> Worker:
    """Customers who bought before any was labelled, and then labelled ones."""
    working = worker(tables, outbox, SHOP, worker_settings(partitions=1))
    await working.assign([0])
    bought = [
        purchase(f"i{n}-{i}", customer=f"idle-{n:03d}", categories=["gamer"])
        for n in range(idle)
        for i in range(30)
    ]
    await working.process(fetch(*bought))
    await working.process(fetch(*labelled_shoppers(SHOP, customers=12), first=50_000))
    await settle(working)
    return working


def public(tables: MemoryTables, customer: str) -> dict[str, Any]:
    return json.loads(tables.public_records[customer])


async def swept(working: Worker) -> int:
    """Sweep until nothing is left to do."""
    total = 0
    while scored := await working.sweep():
        total += scored
    return total


async def test_idle_customers_are_named_once_the_model_knows_their_kind() -> None:
    tables, outbox = MemoryTables(), RecordingPublisher()
    working = await idle_shop(tables, outbox)
    assert public(tables, "idle-000")["persona"] is None
    assert await swept(working) == 40 + 60
    for n in range(40):
        record = public(tables, f"idle-{n:03d}")
        assert (record["persona"], record["revision"]) == ("gamer", 2)
        assert record["model_version"] == working.weights.version
    published = [json.loads(value) for value in outbox.values("persona-changes") if value]
    assert {
        c["cause"] for c in published if c["customer_id"].startswith("idle") and c["previous"]
    } == {"model"}


async def test_a_sweep_changes_nothing_of_what_is_folded() -> None:
    tables, outbox = MemoryTables(), RecordingPublisher()
    working = await idle_shop(tables, outbox)
    before = folded(tables)
    await swept(working)
    assert folded(tables) == before


async def test_a_model_that_stands_still_is_not_swept_for_again() -> None:
    tables, outbox = MemoryTables(), RecordingPublisher()
    working = await idle_shop(tables, outbox)
    await swept(working)
    sent = len(outbox.messages)
    assert await working.sweep() == 0
    assert len(outbox.messages) == sent


@pytest.mark.long
async def test_a_sweep_goes_on_where_it_was_when_a_partition_leaves() -> None:
    tables, outbox = MemoryTables(), RecordingPublisher()
    working = await idle_shop(tables, outbox, idle=1_500)
    first = await working.sweep()
    await working.assign([])
    assert await working.sweep() == 0
    await working.assign([0])
    assert 0 < first < 1_500
    assert await swept(working) > 0
    assert public(tables, "idle-000")["persona"] == "gamer"


async def test_live_events_after_a_sweep_go_on_from_its_revision() -> None:
    tables, outbox = MemoryTables(), RecordingPublisher()
    working = await idle_shop(tables, outbox, idle=1)
    await swept(working)
    bought = [purchase(f"b{i}", customer="idle-000", categories=["parent"]) for i in range(200)]
    await working.process(fetch(*bought, first=90_000))
    record = public(tables, "idle-000")
    assert record["revision"] == 3
    assert record["persona"] != "gamer"


async def test_a_customer_who_is_new_while_the_model_moves_is_not_passed_by() -> None:
    tables, outbox = FaultyTables(), RecordingPublisher()
    working = worker(tables, outbox, SHOP, worker_settings(partitions=1))
    await working.assign([0])
    await working.process(fetch(*labelled_shoppers(SHOP, customers=12), first=50_000))
    gate = tables.hold("commit", times=1)
    first = asyncio.ensure_future(
        working.process(fetch(purchase("f", customer="first"), first=70_000))
    )
    bought = [purchase(f"n{i}", customer="new", categories=["gamer"]) for i in range(30)]
    second = asyncio.ensure_future(working.process(fetch(*bought, first=80_000)))
    await turns()  # the model that processed it knows nothing yet, and it waits to be written
    assert (gate.waiting, "new" in tables.states) == (1, False)
    await settle(working)
    sweeping = asyncio.ensure_future(swept(working))
    await turns()
    gate.open()
    await asyncio.gather(first, second, sweeping)
    assert public(tables, "new")["persona"] == "gamer"


async def steps(busy_seconds: float, *, busy: bool = False, rate: float = 0.0) -> Sweep:
    """A sweep after a step over 100 customers who took so many seconds to score."""
    clock, tables = FakeClock(), MemoryTables()
    tables.states = {f"c{n}": b"" for n in range(100)}
    sweep = Sweep(tables, 1, rate, clock)

    async def score(_: dict[str, int]) -> float:
        clock.now += busy_seconds
        return busy_seconds

    assert await sweep.step("v", frozenset({0}), score, busy=busy) == 100
    return sweep


async def test_a_sweep_works_for_a_quarter_of_the_time_and_for_less_while_events_are_many() -> None:
    assert (await steps(2.0)).pause == pytest.approx(6.0)
    assert (await steps(2.0, busy=True)).pause == pytest.approx(48.0)


async def test_a_sweep_scores_no_more_customers_of_a_second_than_its_rate() -> None:
    assert (await steps(2.0, rate=10.0)).pause == pytest.approx(8.0)
    assert (await steps(2.0, rate=1_000.0)).pause == pytest.approx(6.0)
