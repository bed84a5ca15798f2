"""A worker walks the next batch while the last one is written: it ends as one that waits does."""

import asyncio
from collections.abc import Sequence

import pytest
from aiokafka.structs import ConsumerRecord

from stream_persona.errors import FencedError, UnavailableError
from stream_persona.store.memory import MemoryTables
from stream_persona.store.tables import Claim, Write
from stream_persona.worker.worker import Worker
from tests.support.builders import (
    NOW,
    Crash,
    CrashingTables,
    Outbox,
    assignment,
    fetched,
    purchase,
    settled,
    worker,
    worker_settings,
)
from tests.support.waiting import eventually
from tests.unit.worker.test_worker import (
    CHANGES,
    SHOP,
    assert_told_without_a_hole,
    assigned,
    changes,
    cut,
    folded,
    parts_of,
    processed,
    story,
    sum_of,
)


class HeldTables(MemoryTables):
    """Tables whose commits wait to be let go."""

    def __init__(self) -> None:
        super().__init__()
        self.free = asyncio.Event()
        self.asked = 0

    async def commit(self, claim: Claim, write: Write) -> None:
        self.asked += 1
        await self.free.wait()
        await super().commit(claim, write)


class UnheardTables(MemoryTables):
    """Tables that take their time to announce."""

    def __init__(self) -> None:
        super().__init__()
        self.free = asyncio.Event()

    async def announce(self, messages: Sequence[bytes]) -> None:
        if messages:
            await self.free.wait()
        await super().announce(messages)


class FailingOutbox(Outbox):
    """The broker takes nothing of the next changes."""

    fails = 0

    async def change(self, partition: int, changes: Sequence[tuple[str, bytes | None]]) -> None:
        if changes and self.fails:
            self.fails -= 1
            raise UnavailableError("Kafka stayed away")
        await super().change(partition, changes)


async def overlapped(working: Worker, batches: Sequence[Sequence[ConsumerRecord]]) -> None:
    """Each is walked while the one before is written."""
    await asyncio.gather(
        *[asyncio.ensure_future((await working.walk(batch))()) for batch in batches]
    )


@pytest.mark.parametrize("cached", [1, 1_000])
async def test_overlapping_walks_end_as_those_do_that_wait(cached: int) -> None:
    whole, quiet = await processed(*cut(fetched(*story()), 7))
    tables, outbox = MemoryTables(), Outbox()
    working = worker(tables, outbox, SHOP, worker_settings(cached_customers=cached))
    await working.assign([0])
    await overlapped(working, cut(fetched(*story()), 7))
    await settled(working)
    assert folded(tables) == folded(whole)
    assert await parts_of(tables) == sum_of(tables) == sum_of(whole)
    assert_told_without_a_hole(outbox)
    assert {m.key for m in outbox.sent} == {m.key for m in quiet.sent}


async def test_the_next_batch_is_written_after_the_last_one_and_builds_upon_it() -> None:
    tables, outbox = HeldTables(), Outbox()
    working = await assigned(tables, outbox)
    first = asyncio.ensure_future((await working.walk(fetched(purchase("p"))))())
    second = asyncio.ensure_future(working.process(fetched(purchase("q", NOW + 1), first=1)))
    await eventually(lambda: tables.asked, 5, "it did not commit")
    for _ in range(100):
        await asyncio.sleep(0)
    assert (tables.asked, tables.states, first.done(), second.done()) == (1, {}, False, False)
    tables.free.set()
    await asyncio.gather(first, second)
    alone, _ = await processed(fetched(purchase("p"), purchase("q", NOW + 1)))
    assert tables.asked == 2
    assert folded(tables) == folded(alone)


async def test_copies_for_dashboards_keep_no_write_waiting_and_stay_in_order() -> None:
    tables, outbox = UnheardTables(), Outbox()
    working = await assigned(tables, outbox)
    batches = [fetched(purchase(f"p{n}", customer=f"c{n}"), first=n) for n in range(2)]
    writing = [asyncio.ensure_future((await working.walk(batch))()) for batch in batches]
    await eventually(lambda: len(outbox.values(CHANGES)) == 2, 5, "the second one waits")
    assert [each.done() for each in writing] == [False, False]
    tables.free.set()
    await asyncio.gather(*writing)
    assert tables.announced == outbox.values(CHANGES)


async def test_what_builds_upon_a_write_that_failed_is_never_written() -> None:
    tables, outbox = CrashingTables(), Outbox()
    working = await assigned(tables, outbox)
    tables.crash = "before"
    first = asyncio.ensure_future((await working.walk(fetched(purchase("p"))))())
    with pytest.raises(Crash):
        await working.process(fetched(purchase("q", NOW + 1), first=1))
    with pytest.raises(Crash):
        await first
    assert (tables.states, outbox.sent) == ({}, [])


async def test_changes_that_were_not_published_are_not_overwritten_by_the_next_ones() -> None:
    tables, outbox = MemoryTables(), FailingOutbox()
    working = await assigned(tables, outbox)
    outbox.fails = 1
    batches = [fetched(purchase("p", customer="a")), fetched(purchase("q", customer="b"), first=1)]
    first = asyncio.ensure_future((await working.walk(batches[0]))())
    with pytest.raises(UnavailableError):
        await working.process(batches[1])
    with pytest.raises(UnavailableError):
        await first
    assert set(tables.states) == {"a"}
    heir = await assigned(tables, outbox)
    assert [change["customer_id"] for change in changes(outbox)] == ["a"]
    for batch in batches:
        await heir.process(batch)
    assert {change["customer_id"] for change in changes(outbox)} == {"a", "b"}
    assert_told_without_a_hole(outbox)


async def test_a_partition_that_is_given_away_between_walk_and_write_is_not_written() -> None:
    tables, outbox = HeldTables(), Outbox()
    working = await assigned(tables, outbox)
    first = asyncio.ensure_future((await working.walk(fetched(purchase("p"))))())
    second = asyncio.ensure_future(working.process(fetched(assignment("a"), first=1)))
    await eventually(lambda: tables.asked, 5, "it did not commit")
    await working.assign([])
    tables.free.set()
    await first
    with pytest.raises(FencedError):
        await second
    assert tables.asked == 1
