"""A deletion leaves nothing of its customer in the tables, whatever a worker dies of meanwhile."""

import json
from collections.abc import Iterable
from dataclasses import replace

import pytest

from stream_persona.domain.taxonomy import Taxonomy
from stream_persona.errors import UnavailableError
from stream_persona.kafka.router import MessageRouter
from stream_persona.store.memory import MemoryTables
from stream_persona.store.tables import Claim, Write
from tests.support.constants import NOW, PERSONAS
from tests.support.events import browse, deletion, purchase
from tests.support.faulty_tables import FaultyTables
from tests.support.names import CARRIERS, carry, load_all_carried, load_shown, slot_mate
from tests.support.worker_runs import CHANGES, SHOP, assigned, processed
from tests.support.workers import InMemoryLog, RecordingPublisher, fetch, worker, worker_settings


def says_that_nothing_is_pending(claim: Claim, write: Write) -> bool:
    return write == Write(pending=[])


class HalfOlder(MemoryTables):
    """Tables of which a part comes back older at the next claim: that of the names."""

    lost: dict[str, int] | None = None

    async def claim(self, partitions: Iterable[int]) -> dict[int, Claim]:
        claims = await super().claim(partitions)
        if self.lost is None:
            return claims
        return {
            p: replace(each, offsets={**(each.offsets or {}), **self.lost}, newest=each.offsets)
            for p, each in claims.items()
        }


async def test_nothing_is_pending_of_a_deleted_customer_once_their_tombstone_is_out() -> None:
    happened = fetch(purchase("p"), purchase("q", customer="other"))
    tables, outbox = await processed(happened, fetch(deletion("d", NOW + 1)))
    assert await tables.load_pending(0) == []
    assert outbox.messages[-1].value is None


async def test_what_is_pending_of_others_stays_until_it_is_published() -> None:
    tables, _ = await processed(fetch(purchase("p")))
    assert await tables.load_pending(0) == ["c"]


async def test_whoever_takes_over_lets_nothing_pend_that_a_dying_worker_left_so() -> None:
    tables, outbox, away = FaultyTables(), RecordingPublisher(), UnavailableError("Redis is away")
    tables.fail("commit", away, times=1, when=says_that_nothing_is_pending)
    dying = await assigned(tables, outbox)
    await dying.process(fetch(purchase("p")))
    with pytest.raises(UnavailableError):
        await dying.process(fetch(deletion("d", NOW + 1)))
    assert await tables.load_pending(0) == ["c"]
    await assigned(tables, outbox)
    assert await tables.load_pending(0) == []
    assert [value for value in outbox.values(CHANGES) if value is None] == [None]


async def test_names_go_with_the_last_customer_who_carries_them() -> None:
    mine = browse("mine", NOW, "carrier-0", "johnsmith6586 kibble")
    tables, _ = await processed(fetch(*carry("toys"), mine))
    assert await load_shown(tables) == {"category:toys"}
    assert "query:johnsmith6586" in await load_all_carried(tables)
    working = await assigned(tables, RecordingPublisher())
    await working.process(fetch(deletion("d", NOW + 1, "carrier-0")))
    assert await load_all_carried(tables) == {"category:toys": 2}
    await working.refresh()
    assert await load_shown(tables) == set()


async def test_events_from_before_a_deletion_that_come_again_bring_no_names_back() -> None:
    working = await assigned(tables := MemoryTables(), RecordingPublisher())
    await working.process(fetch(deletion("d", NOW + 1)))
    again = fetch(purchase("p", NOW, categories=["mine"]), browse("b", NOW, query="mine"))
    await working.process(again)
    await working.process(again)
    assert await load_all_carried(tables) == {}


async def test_a_worker_that_is_new_to_a_partition_knows_who_carries_its_names() -> None:
    tables, outbox = MemoryTables(), RecordingPublisher()
    for number, bought in enumerate(carry("toys")):
        working = await assigned(tables, outbox)
        await working.process(fetch(bought, first=number))
        await working.refresh()
        assert await load_all_carried(tables) == {"category:toys": number + 1}
    assert await load_shown(tables) == {"category:toys"}


async def test_names_that_a_part_of_a_cluster_has_back_of_deleted_customers_go_again() -> None:
    happened = fetch(*carry("toys"))
    deleted = fetch(deletion("d", NOW + 1, CARRIERS[0]))
    log, tables, outbox = InMemoryLog(), HalfOlder(), RecordingPublisher()
    log.deliveries = MessageRouter(worker_settings(), SHOP).route([*happened, *deleted]).deliveries
    working = worker(tables, outbox, SHOP, log=log)
    await working.assign([0])
    await working.process(happened)
    older = dict(tables._names[0])
    await working.process(deleted)
    tables._names[0] = older
    tables.lost = {worker_settings().topic_deletions: 0}
    working = worker(tables, outbox, SHOP, log=log)
    await working.assign([0])
    assert await load_all_carried(tables) == {"category:toys": 2}


async def test_names_in_tables_that_came_back_from_before_a_deletion_go_again() -> None:
    happened = fetch(*carry("toys"))
    deleted = fetch(deletion("d", NOW + 1, CARRIERS[0]))
    log, tables, outbox = InMemoryLog(), MemoryTables(), RecordingPublisher()
    log.deliveries = MessageRouter(worker_settings(), SHOP).route([*happened, *deleted]).deliveries
    working = worker(tables, outbox, SHOP, log=log)
    await working.assign([0])
    await working.process(happened)
    older = dict(tables.states), dict(tables.public_records), dict(tables._names[0])
    offsets = dict(tables._offsets[0])
    await working.process(deleted)
    tables.states, tables.public_records, tables._names[0] = older
    tables._offsets[0], tables._markers = offsets, {}
    working = worker(tables, outbox, SHOP, log=log)
    await working.assign([0])
    assert CARRIERS[0] not in tables.states
    assert await load_all_carried(tables) == {"category:toys": 2}


async def test_a_shopper_is_not_told_of_what_a_slot_mate_has_bought() -> None:
    seeded = Taxonomy.model_validate(
        {"persona": [{"name": n, "seeds": {"category": [f"for-{n}"]}} for n in PERSONAS]}
    )
    mate = slot_mate("category:for-parent").removeprefix("category:")
    tables, outbox = MemoryTables(), RecordingPublisher()
    working = worker(tables, outbox, seeded)
    await working.assign([0])
    await working.refresh()

    async def reasons(customer: str, category: str, first: int) -> set[str]:
        bought = [purchase(f"p{n}", NOW, customer, [category]) for n in range(9)]
        await working.process(fetch(*bought, first=first))
        why = json.loads(await tables.load_public(customer) or b"")["why"]
        return {reason["value"] for reason in why}

    assert "for-parent" in await reasons("first", "for-parent", 0)
    told = await reasons("second", mate, 100)
    assert told
    assert told.isdisjoint({mate, "for-parent", f"{mate} | category:for-parent"})
    await working.process(fetch(deletion("d", NOW + 1, "second")))
    await working.refresh()
    assert "for-parent" in await reasons("third", "for-parent", 200)
