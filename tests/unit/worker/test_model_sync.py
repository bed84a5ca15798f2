"""Workers publish their shards of the model and follow those of the others."""

import pytest

from stream_persona.domain.common_tastes import decode_common
from stream_persona.domain.events import Event
from stream_persona.domain.slots import hash_to_slot
from stream_persona.domain.taxonomy import Taxonomy
from stream_persona.errors import RolledBackError
from stream_persona.kafka.partitioner import find_home_partition
from stream_persona.store.memory import MemoryTables
from stream_persona.store.tables import Claim
from stream_persona.worker.worker import Worker
from tests.support.constants import PERSONAS
from tests.support.events import assignment, deletion, labelled_shoppers, purchase
from tests.support.faulty_tables import FaultyTables
from tests.support.names import CARRIERS, carry, load_shown, slot_mate
from tests.support.worker_runs import (
    SHOP,
    FakeClock,
    clocked,
    cut,
    processed,
    published_sum,
    story,
    sum_of,
)
from tests.support.workers import RecordingPublisher, fetch, settle, worker, worker_settings


class CostlyTables(MemoryTables):
    """Tables that take a tenth of a second to publish a shard."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._clock, self._saved = clock, list[int]()

    async def save_shard(self, claim: Claim, part: bytes, stamp: bytes) -> None:
        await super().save_shard(claim, part, stamp)
        self._clock.now += 0.1
        self._saved.append(claim.partition)

    def saved_by(self, now: float) -> list[int]:
        """Partitions saved since the last call; it is ``now`` from here on."""
        self._clock.now, saved = now, self._saved
        self._saved = []
        return saved


async def test_shards_that_keep_moving_are_published_in_turn_and_at_once_when_at_rest() -> None:
    clock = FakeClock()
    tables = CostlyTables(clock)
    working = clocked(tables, clock, partitions=2)
    await working.assign([0, 1])
    names = {find_home_partition(name, 2): name for name in ("a", "b", "c", "d", "e")}

    async def moved(turn: int) -> None:
        for partition, name in names.items():
            happened = purchase(f"p{turn}", customer=name), assignment(f"a{turn}", customer=name)
            await working.process(fetch(*happened, partition=partition, first=10 * turn))
        await working.refresh()

    await moved(0)
    assert sorted(tables.saved_by(4.0)) == [0, 1]  # they were never published
    await moved(1)
    assert tables.saved_by(6.0) == []  # the last one took a fiftieth of five seconds
    await moved(2)
    first = tables.saved_by(12.0)
    await moved(3)
    second = tables.saved_by(12.2)
    assert sorted(first + second) == [0, 1]
    await moved(4)
    assert tables.saved_by(12.3) == []
    await working.refresh()
    assert sorted(tables.saved_by(12.4)) == [0, 1]
    assert await published_sum(tables, 2) == sum_of(tables)


async def test_the_published_shard_is_the_fold_of_the_stored_records() -> None:
    tables = MemoryTables()
    for batch in cut(fetch(*story()), 11):  # each by a worker that starts anew
        await processed(batch, tables=tables)
        assert await published_sum(tables) == sum_of(tables) != b""


async def test_workers_share_the_model() -> None:
    settings, tables, outbox = worker_settings(partitions=2), MemoryTables(), RecordingPublisher()
    both = [worker(tables, outbox, SHOP, settings) for _ in range(2)]
    happened = labelled_shoppers(SHOP, customers=6)
    for partition, working in enumerate(both):
        await working.assign([partition])
        own = [
            event for event in happened if find_home_partition(event.customer_id, 2) == partition
        ]
        await working.process(fetch(*own, partition=partition))
    for working in (*both, *both):
        await settle(working)
    assert both[0].weights.version == both[1].weights.version
    assert both[0].weights.customers == 30
    assert await published_sum(tables, 2) == sum_of(tables)
    await both[0].assign([0, 1])
    assert both[0].weights.customers == 30


SEEDED = Taxonomy.model_validate(
    {"persona": [{"name": name, "seeds": {"category": [f"for-{name}"]}} for name in PERSONAS]}
)


async def moved_on(working: Worker, clock: FakeClock) -> None:
    """Some time later the worker follows the model."""
    clock.now += 60.0
    await working.refresh()


async def test_affinities_are_renewed_when_only_the_name_of_a_token_comes_or_goes() -> None:
    clock, tables = FakeClock(), MemoryTables()
    working = clocked(tables, clock, taxonomy=SEEDED)
    await working.assign([0])
    await moved_on(working, clock)
    version, before = working.weights.version, tables.affinities["parent"]
    lift, mate = before["category:for-parent"], slot_mate("category:for-parent")
    assert lift > 1
    await working.process(fetch(*carry(mate.removeprefix("category:"))))
    await moved_on(working, clock)
    both = " | ".join(sorted(["category:for-parent", mate]))
    assert tables.affinities["parent"][both] == lift
    await working.process(fetch(deletion("d", customer=CARRIERS[2])))
    await moved_on(working, clock)
    assert working.weights.version == version
    assert tables.affinities["parent"] == before


async def test_a_name_that_a_deletion_took_is_shown_again_once_another_one_carries_it() -> None:
    """The listing has the same names as before both, and yet it is another one."""
    clock, tables = FakeClock(), MemoryTables()
    working = clocked(tables, clock)
    await working.assign([0])
    await working.process(fetch(*carry("toys")))
    await moved_on(working, clock)
    slot = hash_to_slot("category:toys", fine=False)
    shown = working._tokenizer.names
    assert shown.name_slot(slot) == "category:toys"
    await working.process(fetch(deletion("d", customer=CARRIERS[2]), first=100))
    assert shown.name_slot(slot) == f"slot:{slot}"
    await working.process(fetch(purchase("p", categories=["toys"]), first=200))
    assert shown.name_slot(slot) == f"slot:{slot}"
    await moved_on(working, clock)
    assert shown.name_slot(slot) == "category:toys"


async def test_a_slot_mate_that_another_worker_has_forgotten_gives_the_name_back() -> None:
    clock, tables = FakeClock(), MemoryTables()
    first, second = (clocked(tables, clock, partitions=2) for _ in range(2))
    await first.assign([0, 1])
    customers = [f"c{n}" for n in range(100)]
    here = [name for name in customers if find_home_partition(name, 2) == 0]
    there = next(name for name in customers if find_home_partition(name, 2) == 1)
    settings, mate = worker_settings(partitions=2), slot_mate("category:toys")
    bought = [purchase(f"p-{name}", customer=name, categories=["toys"]) for name in here]
    rare = purchase("rare", customer=there, categories=[mate.removeprefix("category:")])
    await first.process(fetch(*bought, settings=settings))
    await first.process(fetch(rare, partition=1, settings=settings))
    await moved_on(first, clock)
    slot = hash_to_slot(mate, fine=False)
    assert first._tokenizer.names.name_slot(slot) == f"slot:{slot}"
    await first.assign([0])
    await second.assign([1])
    gone = deletion("d", customer=there)
    await second.process(fetch(gone, partition=1, first=100, settings=settings))
    for n, each in enumerate((second, first)):
        late = purchase(f"late-{n}", customer=here[n], categories=[f"late {n}"])
        await first.process(fetch(late, first=200 + n, settings=settings))
        await moved_on(each, clock)
        await moved_on(first, clock)
    assert first._tokenizer.names.name_slot(slot) == "category:toys"


@pytest.mark.parametrize("model", ["additive", "river.naive_bayes:MultinomialNB"])
async def test_common_tastes_are_renewed_when_only_the_name_of_a_token_comes_or_goes(
    model: str,
) -> None:
    """A River classifier gives no token a weight, and tokens have common shares all the same."""
    clock, tables = FakeClock(), MemoryTables()
    working = clocked(tables, clock, tastes=True, model=model)
    await working.assign([0])
    await working.process(fetch(*labelled_shoppers(SHOP, customers=4)))
    await moved_on(working, clock)
    await moved_on(working, clock)
    version, mate = working.weights.version, slot_mate("category:food")
    assert is_reason(tables, "category:food")
    await working.process(fetch(*carry(mate.removeprefix("category:")), first=10_000))
    await moved_on(working, clock)
    assert mate in tables.common_tastes
    assert not is_reason(tables, "category:food")
    await working.process(fetch(deletion("d", customer=CARRIERS[2]), first=20_000))
    await moved_on(working, clock)
    assert working.weights.version == version
    assert mate not in tables.common_tastes


def is_reason(tables: MemoryTables, token: str) -> bool:
    """Whether a common taste that is stored may be shown as a reason."""
    fields = {name.encode(): text.encode() for name, text in tables.common_tastes.items()}
    return decode_common(fields)[0][token].is_reason


async def test_names_are_shown_once_the_customers_of_all_workers_are_enough() -> None:
    clock, tables = FakeClock(), MemoryTables()
    first, second = (clocked(tables, clock, partitions=2) for _ in range(2))
    for partition, working in enumerate((first, second)):
        await working.start()
        await working.assign([partition])
    customers = [f"c{n}" for n in range(100)]
    here, *_ = (name for name in customers if find_home_partition(name, 2) == 0)
    there = [name for name in customers if find_home_partition(name, 2) == 1][:3]

    async def shown_after(working: Worker, partition: int, *happened: Event) -> set[str]:
        settings, first_offset = worker_settings(partitions=2), int(clock.now) * 10
        batch = fetch(*happened, partition=partition, first=first_offset, settings=settings)
        await working.process(batch)
        for each in (second, first, second):
            await moved_on(each, clock)
        return await load_shown(tables)

    def bought(name: str) -> Event:
        return purchase(f"p-{name}", customer=name, categories=["toys"])

    assert await shown_after(first, 0, bought(here)) == set()
    assert await shown_after(second, 1, *map(bought, there[:1])) == set()
    assert await shown_after(second, 1, *map(bought, there[1:])) == {"category:toys"}
    slot = hash_to_slot("category:toys", fine=False)
    assert {each._tokenizer.names.name_slot(slot) for each in (first, second)} == {"category:toys"}
    assert await shown_after(second, 1, deletion("d", customer=there[0])) == {"category:toys"}
    assert await shown_after(first, 0, deletion("e", customer=here)) == set()
    assert {each._tokenizer.names.name_slot(slot) for each in (first, second)} == {f"slot:{slot}"}


async def test_affinities_are_left_alone_while_neither_weights_nor_their_names_move() -> None:
    clock, tables = FakeClock(), MemoryTables()
    working = clocked(tables, clock, taxonomy=SEEDED)
    await working.assign([0])
    await working.process(fetch(purchase("p", categories=["for-parent", "for-gamer"])))
    await moved_on(working, clock)
    tables.affinities.clear()
    await working.process(fetch(purchase("q", categories=["shoes"]), first=1))
    await moved_on(working, clock)
    assert not tables.affinities


async def test_a_new_owner_of_the_first_partition_writes_the_affinities_anew() -> None:
    clock, tables = FakeClock(), MemoryTables()
    working = clocked(tables, clock, taxonomy=SEEDED)
    await working.assign([0])
    await moved_on(working, clock)
    await working.assign([])
    tables.affinities.clear()
    await working.assign([0])
    await moved_on(working, clock)
    assert tables.affinities.keys() == set(PERSONAS)


async def test_a_listing_of_names_that_is_damaged_is_written_again() -> None:
    clock, tables = FakeClock(), MemoryTables()
    working = clocked(tables, clock)
    await working.assign([0])
    await working.process(fetch(*carry("toys")))
    await moved_on(working, clock)
    assert tables.listing is not None
    tables.listing = tables.listing[:-3]
    await moved_on(working, clock)
    assert await load_shown(tables) == {"category:toys"}
    tables.listing = None
    await moved_on(working, clock)
    assert await load_shown(tables) == {"category:toys"}


@pytest.mark.parametrize("is_own", [True, False], ids=["its own shard", "another's"])
async def test_a_worker_follows_what_a_refresh_has_read_that_failed_half_way(is_own: bool) -> None:
    clock, tables = FakeClock(), FaultyTables()
    working, other = clocked(tables, clock), clocked(tables, clock)
    await working.refresh()
    owner = working if is_own else other
    await owner.assign([0])
    await owner.process(fetch(*labelled_shoppers(SHOP)))
    await other.refresh()  # publishes the shard, if it is the owner
    tables.fail("load_listing_stamp", RolledBackError(0), times=1)
    with pytest.raises(RolledBackError):
        await working.refresh()
    await moved_on(working, clock)
    assert working.weights.customers == 4 * len(SHOP.names)


async def test_a_calibration_that_growth_calls_for_knows_all_who_are_labelled() -> None:
    """Publishing shards is paced, and a panel is read with it; first names would wait for it."""
    clock = FakeClock()
    working = clocked(CostlyTables(clock), clock, partitions=1)
    await working.assign([0])
    await working.process(fetch(*labelled_shoppers(SHOP, customers=2)))
    await working.refresh()  # publishes the shard, which takes a fiftieth of the next seconds
    await working.process(fetch(*labelled_shoppers(SHOP, customers=12), first=10_000))
    await working.refresh()
    (owned,) = working.partitions.held.values()
    assert owned.unsaved
    assert len(owned.shard.panel) == len(owned.labelled) == 12 * len(SHOP.names)
    assert working.weights.threshold is not None
