"""A worker processes the next batch while the last one is written: it ends as one that waits."""

import asyncio
from collections.abc import Sequence

import pytest
from aiokafka.structs import ConsumerRecord

from stream_persona.errors import FencedError, UnavailableError
from stream_persona.store.memory import MemoryTables
from stream_persona.worker.worker import Worker
from tests.support.constants import NOW
from tests.support.events import assignment, purchase
from tests.support.faulty_tables import FaultyTables
from tests.support.waiting import eventually, patience
from tests.support.worker_runs import (
    CHANGES,
    SHOP,
    assert_changes_have_no_hole,
    assigned,
    changes,
    cut,
    folded,
    processed,
    published_sum,
    story,
    sum_of,
    turns,
)
from tests.support.workers import Crash, RecordingPublisher, fetch, settle, worker, worker_settings


class FailingOutbox(RecordingPublisher):
    """The broker takes nothing of the next changes."""

    fails = 0

    async def publish_changes(
        self, partition: int, changes: Sequence[tuple[str, bytes | None]]
    ) -> int:
        if changes and self.fails:
            self.fails -= 1
            raise UnavailableError("Kafka stayed away")
        return await super().publish_changes(partition, changes)


class Acks:
    """Which batches were acknowledged, in their order."""

    def __init__(self) -> None:
        self.done: list[int] = []

    async def begin(
        self, working: Worker, batch: Sequence[ConsumerRecord], number: int = 0
    ) -> asyncio.Task[None]:
        """Let a batch be processed, and be written in the background."""
        return await working.process_batch(batch, lambda: self.done.append(number))


@pytest.mark.parametrize("cached", [1, 1_000])
async def test_batches_that_overlap_end_as_those_that_wait_for_each_other(cached: int) -> None:
    whole, quiet = await processed(*cut(fetch(*story()), 7))
    tables, outbox, acks = MemoryTables(), RecordingPublisher(), Acks()
    working = worker(tables, outbox, SHOP, worker_settings(cached_customers=cached))
    await working.assign([0])
    batches = cut(fetch(*story()), 7)
    await asyncio.gather(*[await acks.begin(working, b, n) for n, b in enumerate(batches)])
    await settle(working)
    assert acks.done == list(range(len(batches)))
    assert folded(tables) == folded(whole)
    assert await published_sum(tables) == sum_of(tables) == sum_of(whole)
    assert_changes_have_no_hole(outbox)
    assert {m.key for m in outbox.messages} == {m.key for m in quiet.messages}


async def test_the_next_batch_is_written_after_the_last_one_and_builds_upon_it() -> None:
    tables, acks = FaultyTables(), Acks()
    working = await assigned(tables, RecordingPublisher())
    gate = tables.hold("commit")
    first = await acks.begin(working, fetch(purchase("p")))
    second = asyncio.ensure_future(working.process(fetch(purchase("q", NOW + 1), first=1)))
    await turns()
    assert (gate.waiting, tables.states, first.done(), second.done()) == (1, {}, False, False)
    gate.open()
    await asyncio.gather(first, second)
    alone, _ = await processed(fetch(purchase("p"), purchase("q", NOW + 1)))
    assert tables.calls["commit"] == 2
    assert folded(tables) == folded(alone)


async def test_a_record_leaves_the_cache_only_once_it_is_stored() -> None:
    tables, acks = FaultyTables(), Acks()
    working = worker(tables, RecordingPublisher(), SHOP, worker_settings(cached_customers=1))
    await working.assign([0])
    gate = tables.hold("commit", times=1)
    batches = [
        fetch(purchase(f"p{n}", NOW + n, customer), first=n) for n, customer in enumerate("aba")
    ]
    begun = [await acks.begin(working, batches[0])]
    rest = asyncio.ensure_future(acks.begin(working, batches[1]))
    await turns()
    cache = working.partitions.held[0].cache
    assert cache.get("a") is not None
    assert cache.get("b") is None
    gate.open()
    await asyncio.gather(*begun, await rest, await acks.begin(working, batches[2]))
    alone, _ = await processed([record for batch in batches for record in batch])
    assert folded(tables) == folded(alone)


async def test_copies_for_dashboards_keep_no_write_waiting_and_stay_in_order() -> None:
    tables, outbox, acks = FaultyTables(), RecordingPublisher(), Acks()
    working = await assigned(tables, outbox)
    gate = tables.hold("announce")
    batches = [fetch(purchase(f"p{n}", customer=f"c{n}"), first=n) for n in range(2)]
    begun = [await acks.begin(working, batch, n) for n, batch in enumerate(batches)]
    await eventually(lambda: len(outbox.values(CHANGES)) == 2, 5, "the second one waits")
    assert (gate.waiting, acks.done) == (1, [])
    gate.open()
    await asyncio.gather(*begun)
    assert acks.done == [0, 1]
    assert tables.announced == outbox.values(CHANGES)


async def test_copies_of_at_most_two_batches_wait_to_be_announced() -> None:
    tables, outbox, acks = FaultyTables(), RecordingPublisher(), Acks()
    working = await assigned(tables, outbox)
    gate = tables.hold("announce")
    batches = [fetch(purchase(f"p{n}", customer=f"c{n}"), first=n) for n in range(3)]
    begun = [await acks.begin(working, batch, n) for n, batch in enumerate(batches[:2])]
    third = asyncio.ensure_future(acks.begin(working, batches[2], 2))
    await turns()
    assert (len(outbox.values(CHANGES)), third.done()) == (2, False)
    gate.open()
    await asyncio.gather(*begun, await third)
    assert acks.done == [0, 1, 2]


async def test_a_batch_that_builds_upon_a_failed_write_is_never_written() -> None:
    tables, outbox, acks = FaultyTables(), RecordingPublisher(), Acks()
    working = await assigned(tables, outbox)
    tables.fail("commit", Crash(), times=1)
    first = await acks.begin(working, fetch(purchase("p")))
    with pytest.raises(Crash):
        await working.process(fetch(purchase("q", NOW + 1), first=1))
    with pytest.raises(Crash):
        await first
    assert (tables.states, outbox.messages, acks.done) == ({}, [], [])


async def test_a_batch_whose_copies_were_not_announced_is_the_last_one_written() -> None:
    tables, acks = FaultyTables(), Acks()
    working = await assigned(tables, RecordingPublisher())
    tables.fail("announce", UnavailableError("Redis stayed away"), times=1)
    with pytest.raises(UnavailableError):
        await (await acks.begin(working, fetch(purchase("p", customer="a"))))
    with pytest.raises(UnavailableError):
        await working.process(fetch(purchase("q", customer="b"), first=1))
    assert (set(tables.states), acks.done) == ({"a"}, [])


async def test_a_batch_written_while_copies_of_the_last_one_fail_is_not_acknowledged() -> None:
    tables, acks = FaultyTables(), Acks()
    working = await assigned(tables, RecordingPublisher())
    gate = tables.hold("announce", times=1)
    error = UnavailableError("Redis stayed away")
    batches = [fetch(purchase(f"p{n}", customer=f"c{n}"), first=n) for n in range(3)]
    first = await acks.begin(working, batches[0], 0)
    await eventually(lambda: gate.waiting, 5, "it does not announce")
    gate.error = error
    held = tables.hold("commit", times=1)
    second = await acks.begin(working, batches[1], 1)
    await eventually(lambda: held.waiting, 5, "it does not commit")
    gate.open()
    await turns()
    held.open()
    for task in (first, second, asyncio.ensure_future(working.process(batches[2]))):
        with pytest.raises(UnavailableError):
            await task
    assert (set(tables.states), acks.done) == ({"c0", "c1"}, [])


async def test_a_write_that_is_cancelled_closes_the_writer_and_holds_up_nothing() -> None:
    tables, acks = FaultyTables(), Acks()
    working = await assigned(tables, RecordingPublisher())
    tables.hold("commit")
    first = await acks.begin(working, fetch(purchase("p")))
    second = asyncio.ensure_future(working.process(fetch(purchase("q", NOW + 1), first=1)))
    await turns()
    first.cancel()
    async with asyncio.timeout(patience(5)):
        await working.drain()
        with pytest.raises(asyncio.CancelledError):
            await second
        await working.refresh()
    assert (tables.states, acks.done, tables.calls["commit"]) == ({}, [], 1)


async def test_changes_that_were_not_published_are_not_overwritten_by_the_next_ones() -> None:
    tables, outbox, acks = MemoryTables(), FailingOutbox(), Acks()
    working = await assigned(tables, outbox)
    outbox.fails = 1
    batches = [fetch(purchase("p", customer="a")), fetch(purchase("q", customer="b"), first=1)]
    first = await acks.begin(working, batches[0])
    with pytest.raises(UnavailableError):
        await working.process(batches[1])
    with pytest.raises(UnavailableError):
        await first
    assert (set(tables.states), acks.done) == ({"a"}, [])
    heir = await assigned(tables, outbox)
    assert [change["customer_id"] for change in changes(outbox)] == ["a"]
    for batch in batches:
        await heir.process(batch)
    assert {change["customer_id"] for change in changes(outbox)} == {"a", "b"}
    assert_changes_have_no_hole(outbox)


async def test_a_partition_that_is_given_away_while_a_batch_waits_is_not_written() -> None:
    tables, acks = FaultyTables(), Acks()
    working = await assigned(tables, RecordingPublisher())
    gate = tables.hold("commit")
    first = await acks.begin(working, fetch(purchase("p")), 1)
    second = asyncio.ensure_future(working.process(fetch(assignment("a"), first=1)))
    await eventually(lambda: gate.waiting, 5, "it did not commit")
    await working.assign([])
    gate.open()
    await first
    with pytest.raises(FencedError):
        await second
    assert (acks.done, tables.calls["commit"]) == ([1], 1)
