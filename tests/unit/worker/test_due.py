"""What ends while customers send nothing is published once, when it is due, by who owns them."""

import asyncio
from dataclasses import replace

import pytest

from stream_persona.domain import record_codec
from stream_persona.domain.events import Event
from stream_persona.errors import FencedError
from stream_persona.kafka.partitioner import find_home_partition
from stream_persona.store.memory import MemoryTables
from stream_persona.store.tables import Write
from stream_persona.worker.due import CHUNK
from stream_persona.worker.metrics import Metrics, read_histogram
from tests.support.constants import DAY, NOW, SECOND
from tests.support.events import assignment, deletion, purchase, shop
from tests.support.faulty_tables import FaultyTables
from tests.support.processing import find_due
from tests.support.worker_runs import FakeClock, changes, folded, published_sum, sum_of, turns
from tests.support.workers import (
    Crash,
    InMemoryLog,
    PatientWorker,
    RecordingPublisher,
    fetch,
    settle,
    worker_settings,
)

SHOP = shop()
ENDS = NOW + 8 * SECOND


def ending(customer: str = "c", expires_at: int = ENDS) -> list[Event]:
    given_ = assignment(f"a-{customer}", NOW, customer, expires_at=expires_at)
    return [given_, *(purchase(f"p-{customer}-{i}", NOW, customer) for i in range(9))]


class Place:
    """Workers on one clock and on the same tables, each after the other."""

    def __init__(self, tables: MemoryTables, partitions: int = 1) -> None:
        self.tables, self.outbox, self.clock = tables, RecordingPublisher(), FakeClock()
        self.metrics, self._partitions = Metrics(), partitions

    async def start(self) -> PatientWorker:
        """Let a new worker own all partitions."""
        working = PatientWorker(
            worker_settings(self._partitions), SHOP, self.tables, self.outbox, InMemoryLog(),
            self.metrics, self.clock.clocks,
        )  # fmt: skip
        await working.assign(range(self._partitions))
        return working

    @property
    def causes(self) -> list[str]:
        return [change["cause"] for change in changes(self.outbox)]

    async def due(self) -> dict[int, list[tuple[str, int]]]:
        return await self.tables.load_due(range(self._partitions), 1 << 50, 1_000)


async def test_an_assignment_ends_on_time_and_once() -> None:
    place = Place(MemoryTables())
    working = await place.start()
    await working.process(fetch(*ending()))
    await settle(working)
    assert await place.due() == {0: [("c", ENDS)]}
    place.clock.now = 7.999
    assert (await working.end_due(), place.causes) == (0, ["assignment"])
    place.clock.now = 8.0
    assert (await working.end_due(), place.causes) == (1, ["assignment", "expiry"])
    assert (await working.end_due(), place.causes) == (0, ["assignment", "expiry"])
    public = changes(place.outbox)[-1]["current"]
    assert public["source"] == "predicted"


async def test_the_model_unlearns_an_assignment_that_has_ended() -> None:
    place = Place(MemoryTables())
    working = await place.start()
    await working.process(fetch(*ending("c"), *ending("other", NOW + DAY)))
    place.clock.now = 8.0
    await working.end_due()
    await settle(working)
    assert await place.tables.load_labelled(0) == ["other"]
    assert await published_sum(place.tables) == sum_of(place.tables)
    assert working.weights.customers == 1


async def test_faded_evidence_is_known_and_next_due_never() -> None:
    place = Place(MemoryTables())
    working = await place.start()
    await working.process(fetch(purchase("p"), purchase("q")))
    ((_, at),) = (await place.due())[0]
    place.clock.now = (at - NOW) / 1_000
    assert await working.end_due() == 1
    assert record_codec.decode_records(place.tables.states, SHOP.fingerprint)["c"].faded_at == at
    assert await place.due() == {}


@pytest.mark.parametrize("crash", ["before", "after"])
async def test_a_worker_that_dies_with_its_write_leaves_the_change_to_the_next(crash: str) -> None:
    tables = FaultyTables()
    place = Place(tables)
    working = await place.start()
    await working.process(fetch(*ending()))
    place.clock.now = 8.0
    tables.fail("commit", Crash(), times=1, after=crash == "after")
    with pytest.raises(Crash):
        await working.end_due()
    assert place.causes == ["assignment"]
    other = await place.start()
    await other.end_due()
    assert place.causes == ["assignment", "expiry"]
    await settle(other)
    assert await published_sum(tables) == sum_of(tables)


async def test_a_worker_that_dies_before_it_has_published_leaves_the_change_to_the_next() -> None:
    place = Place(MemoryTables())
    working = await place.start()
    await working.process(fetch(*ending()))
    place.clock.now, place.outbox.crashes = 8.0, 1
    with pytest.raises(Crash):
        await working.end_due()
    await (await place.start()).end_due()
    assert place.causes == ["assignment", "expiry"]


async def test_a_worker_that_lost_its_partition_publishes_nothing() -> None:
    place = Place(MemoryTables())
    working = await place.start()
    await working.process(fetch(*ending()))
    other = await place.start()
    place.clock.now = 8.0
    with pytest.raises(FencedError):
        await working.end_due()
    assert place.causes == ["assignment"]
    await other.end_due()
    assert place.causes == ["assignment", "expiry"]


async def test_customers_of_a_partition_that_leaves_meanwhile_are_left_alone() -> None:
    tables = FaultyTables()
    place = Place(tables)
    working = await place.start()
    await working.process(fetch(*ending()))
    place.clock.now, gate = 8.0, tables.hold("load_due", times=1, after=True)
    before = dict(tables.states)
    looking = asyncio.ensure_future(working.end_due())
    await turns()
    assert gate.waiting
    await working.assign([])
    gate.open()
    await looking
    assert (tables.states, place.causes) == (before, ["assignment"])


async def test_all_partitions_are_asked_in_one_call_and_many_customers_come_in_parts() -> None:
    tables = FaultyTables()
    place = Place(tables, partitions=4)
    working = await place.start()
    names = [f"c{n}" for n in range(CHUNK + 50)]
    for partition in range(4):
        own = [name for name in names if find_home_partition(name, 4) == partition]
        happened = [assignment(f"a-{n}", NOW, n, expires_at=ENDS) for n in own]
        await working.process(fetch(*happened, partition=partition))
    place.clock.now = 9.0
    tables.watch("load_due")
    assert [await working.end_due() for _ in range(3)] == [CHUNK, 50, 0]
    assert tables.calls["load_due"] == 3
    assert place.causes.count("expiry") == len(names)


async def test_a_deletion_takes_its_entry_away() -> None:
    place = Place(MemoryTables())
    working = await place.start()
    await working.process(fetch(*ending()))
    await working.process(fetch(deletion("d", NOW + 1)))
    assert await place.due() == {}


async def test_an_entry_that_is_not_right_is_filed_anew() -> None:
    place = Place(MemoryTables())
    working = await place.start()
    await working.process(fetch(*ending()))
    place.tables._due[0] |= {"c": NOW - 5, "nobody": NOW - 9}
    assert await working.end_due() == 2
    assert (await place.due(), place.causes) == ({0: [("c", ENDS)]}, ["assignment"])
    assert "nobody" not in place.tables.states


async def test_a_thorough_sweep_files_what_an_older_version_left_without_an_entry() -> None:
    place = Place(MemoryTables())
    working = await place.start()
    await working.process(fetch(*ending()))
    await settle(working)
    place.tables._due.clear()
    before = folded(place.tables)
    while await working.sweep() or working.sweeping:
        pass
    assert await place.due() == {0: [("c", ENDS)]}
    assert folded(place.tables) == before


async def test_a_sweep_ends_what_is_due_and_has_no_entry() -> None:
    place = Place(MemoryTables())
    working = await place.start()
    await working.process(fetch(*ending()))
    await settle(working)
    place.tables._due.clear()
    place.clock.now = 8.0
    while await working.sweep() or working.sweeping:
        pass
    await settle(working)
    assert place.causes == ["assignment", "expiry"]
    assert await published_sum(place.tables) == sum_of(place.tables)


async def test_what_is_due_of_a_damaged_record_is_done_when_it_is_restored() -> None:
    place = Place(MemoryTables())
    working = await place.start()
    await working.process(fetch(*ending()))
    place.tables.states["c"] = b"damaged"
    place.clock.now = 8.0
    fresh = await place.start()
    fresh._records.restorer._refolding._log = log = InMemoryLog()  # type: ignore[assignment]
    log.deliveries = working._router.route(fetch(*ending())).deliveries
    await fresh.end_due()
    await settle(fresh)
    record = record_codec.decode_records(place.tables.states, SHOP.fingerprint)["c"]
    assert record.label is not None
    assert record.label.ended
    assert await published_sum(place.tables) == sum_of(place.tables)


async def test_how_late_a_change_was_is_measured() -> None:
    place = Place(MemoryTables())
    working = await place.start()
    await working.process(fetch(*ending()))
    place.clock.now = 8.3
    await working.end_due()
    bounds, counts = read_histogram(place.metrics.due_seconds)
    assert [bound for bound, number in zip(bounds, counts, strict=False) if number] == [0.5]


async def test_a_write_without_due_times_leaves_the_entries() -> None:
    tables = MemoryTables()
    claim = (await tables.claim([0]))[0]
    await tables.commit(claim, Write(due={"c": 5}))
    await tables.commit(replace(claim), Write(states={"c": b"1"}))
    assert await tables.load_due([0], 5, 9) == {0: [("c", 5)]}


async def test_events_put_a_time_off_and_the_entry_is_filed_anew_when_it_is_looked_at() -> None:
    place = Place(MemoryTables())
    working = await place.start()
    await working.process(fetch(purchase("p"), purchase("q")))
    early = await place.due()
    await working.process(fetch(*(purchase(f"r{i}", NOW + DAY) for i in range(9)), first=5))
    assert await place.due() == early, "that is no reason to write to the index"
    ((_, at),) = early[0]
    place.clock.now = (at - NOW) / 1_000
    assert await working.end_due() == 1
    ((_, later),) = (await place.due())[0]
    record = record_codec.decode_records(place.tables.states, SHOP.fingerprint)["c"]
    assert (later, record.faded_at) == (find_due(record, SHOP), 0)
    assert later > at
    assert await working.end_due() == 0
