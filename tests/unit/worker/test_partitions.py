"""A worker writes and publishes for the partitions that it owns, and for no others."""

import asyncio
from collections.abc import Sequence

import pytest

from stream_persona.domain import record_codec
from stream_persona.errors import FencedError
from stream_persona.kafka.partitioner import find_home_partition
from stream_persona.kafka.publisher import StillOwns
from stream_persona.pipeline.messages import ChangeMessage
from stream_persona.store.memory import MemoryTables
from tests.support.constants import NOW
from tests.support.events import assignment, purchase
from tests.support.faulty_tables import FaultyTables
from tests.support.waiting import eventually
from tests.support.worker_runs import (
    SHOP,
    FakeClock,
    assert_changes_have_no_hole,
    changes,
    clocked,
    turns,
)
from tests.support.workers import RecordingPublisher, fetch, worker, worker_settings


async def test_events_that_come_before_their_partition_is_known_to_be_ours_wait() -> None:
    tables, outbox = MemoryTables(), RecordingPublisher()
    working = worker(tables, outbox, SHOP)
    with working.partitions.hold_while_rebalancing():
        processing = asyncio.ensure_future(working.process(fetch(purchase("p"))))
        await turns()
        await working.assign([0])
    await processing
    assert tables.states.keys() == {"c"}


async def test_a_worker_that_lost_its_partition_is_refused_and_writes_nothing() -> None:
    tables, outbox = MemoryTables(), RecordingPublisher()
    old, new = worker(tables, outbox, SHOP), worker(tables, outbox, SHOP)
    await old.assign([0])
    await new.assign([0])
    assert old._metrics.partitions._value.get() == 1
    with pytest.raises(FencedError):
        await old.process(fetch(purchase("p")))
    assert (tables.states, outbox.messages) == ({}, [])
    assert old._metrics.partitions._value.get() == 0


async def test_a_partition_that_was_lost_keeps_nothing_from_the_others_of_a_batch() -> None:
    settings, tables, outbox = worker_settings(partitions=2), MemoryTables(), RecordingPublisher()
    old, new = (worker(tables, outbox, SHOP, settings) for _ in range(2))
    await old.assign([0, 1])
    await new.assign([1])
    names = [f"c{number}" for number in range(10)]
    batch = [
        record
        for partition in (0, 1)
        for record in fetch(
            *(
                purchase(f"p-{c}", customer=c)
                for c in names
                if find_home_partition(c, 2) == partition
            ),
            partition=partition,
        )
    ]
    with pytest.raises(FencedError):
        await old.process(batch)
    kept = {c for c in names if find_home_partition(c, 2) == 0}
    assert set(tables.states) == {c["customer_id"] for c in changes(outbox)} == kept != set(names)
    assert old.owned == {0}
    await new.assign([0, 1])
    await new.process(batch)
    assert set(tables.states) == set(names)
    assert_changes_have_no_hole(outbox)


async def test_a_record_that_was_read_under_a_claim_is_not_written_under_the_next_one() -> None:
    tables, outbox = FaultyTables(), RecordingPublisher()
    old, new = worker(tables, outbox, SHOP), worker(tables, outbox, SHOP)
    await old.assign([0])
    gate = tables.hold("load", times=1, after=True)
    late = asyncio.create_task(old.process(fetch(purchase("p"))))
    await eventually(lambda: gate.waiting, 5, "it did not read")
    await new.assign([0])
    await new.process(fetch(purchase("q", NOW + 1), purchase("r", NOW + 2), first=5))
    await old.assign([0])
    gate.open()
    with pytest.raises(FencedError):
        await late
    record = record_codec.decode_records(tables.states, SHOP.fingerprint)["c"]
    assert record.counts.clock == NOW + 2
    assert len({change["change_id"] for change in changes(outbox)}) == 1


async def test_a_claim_that_was_held_up_publishes_nothing_that_is_out_of_date() -> None:
    tables, outbox = FaultyTables(), RecordingPublisher()
    first, late, new = (worker(tables, outbox, SHOP) for _ in range(3))
    await first.assign([0])
    await first.process(fetch(purchase("p")))
    gate = tables.hold("load", times=1, after=True)
    claiming = asyncio.create_task(late.assign([0]))
    await eventually(lambda: gate.waiting, 5, "it did not read")
    await new.assign([0])
    await new.process(fetch(assignment("a", NOW + 1), first=5))
    gate.open()
    with pytest.raises(FencedError):
        await claiming
    assert not late.owned
    assert [change["revision"] for change in changes(outbox)] == [1, 2, 2]


async def test_a_worker_that_found_out_it_lost_its_partition_does_not_take_it_back() -> None:
    tables, outbox = MemoryTables(), RecordingPublisher()
    old, new = worker(tables, outbox, SHOP), worker(tables, outbox, SHOP)
    await old.assign([0])
    await old.process(fetch(purchase("p"), assignment("a")))
    await new.assign([0])
    await old.refresh()
    with pytest.raises(FencedError):
        await old.process(fetch(purchase("q", NOW + 1), first=1))
    await new.process(fetch(purchase("q", NOW + 1), first=1))


class FencingOutbox(RecordingPublisher):
    """Notes which partitions were fenced."""

    def __init__(self) -> None:
        super().__init__()
        self.fenced: list[int] = []

    async def take_over(
        self, partition: int, changes: Sequence[ChangeMessage], still_owns: StillOwns
    ) -> None:
        await super().take_over(partition, changes, still_owns)
        self.fenced.append(partition)


async def test_a_fence_is_raised_again_before_the_broker_forgets_it() -> None:
    clock, outbox = FakeClock(), FencingOutbox()
    working = clocked(MemoryTables(), clock, outbox=outbox)
    await working.assign([0])
    for hours in (11, 13, 24, 26):
        clock.now = hours * 3_600.0
        await working.refresh()
    assert outbox.fenced == [0, 0, 0]


async def test_a_worker_that_lost_its_partition_does_not_fence_out_the_next_owner() -> None:
    clock, tables, outbox = FakeClock(), MemoryTables(), FencingOutbox()
    old, new = (clocked(tables, clock, outbox=outbox) for _ in range(2))
    await old.assign([0])
    await new.assign([0])
    clock.now = 13 * 3_600.0
    with pytest.raises(FencedError):
        await old.refresh()
    assert (old.owned, outbox.fenced) == (frozenset(), [0, 0])
