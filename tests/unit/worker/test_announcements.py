"""Clients with a cache learn of what a takeover writes back, and of what nobody has announced."""

import json

import pytest

from stream_persona.domain.events import Event
from stream_persona.store.memory import MemoryTables
from tests.support.constants import DAY, NOW
from tests.support.events import assignment, deletion, purchase
from tests.support.faulty_tables import FaultyTables
from tests.support.worker_runs import CHANGES, SHOP, CachingClient, Tables, log_of
from tests.support.workers import Crash, RecordingPublisher, fetch, worker


async def test_a_restored_change_is_announced_as_the_topic_has_it_and_with_its_id() -> None:
    tables, outbox = Tables(), RecordingPublisher()
    batch = fetch(purchase("p"), assignment("a"), purchase("o", customer="other"))
    working = worker(tables, outbox, SHOP, log=log_of(batch))
    await working.assign([0])
    await working.process(batch[:1])
    older = tables.save()
    await working.process(batch[1:])
    tables.put_back(older)
    before = len(tables.announced)
    await worker(tables, outbox, SHOP, log=log_of(batch)).assign([0])
    last = {m.key: m.value for m in outbox.messages if m.topic == CHANGES}
    assert sorted(tables.announced[before:]) == sorted(last.values())


@pytest.mark.parametrize("last", [assignment("a"), deletion("d", NOW + DAY)])
async def test_what_was_published_and_not_announced_is_announced_by_the_next_owner(
    last: Event,
) -> None:
    tables, outbox = FaultyTables(), RecordingPublisher()
    first, second = fetch(purchase("p")), fetch(last)
    working = worker(tables, outbox, SHOP)
    await working.assign([0])
    await working.process(first)
    client = CachingClient(tables)
    tables.fail("announce", Crash(), times=1)
    with pytest.raises(Crash):
        await working.process(second)
    assert client.find_stale() == {"c"}
    published = len(outbox.messages)
    await worker(tables, outbox, SHOP).assign([0])
    assert client.find_stale() == set()
    assert len(outbox.messages) == published


async def test_nothing_is_announced_when_a_partition_changes_hands_with_all_published() -> None:
    tables, outbox = MemoryTables(), RecordingPublisher()
    for _ in range(2):  # the first one has the last batch's, whose end no write has stored
        working = worker(tables, outbox, SHOP)
        await working.assign([0])
        await working.process(fetch(purchase("p")))
    before = len(tables.announced)
    await worker(tables, outbox, SHOP).assign([0])
    assert len(tables.announced) == before


async def test_no_change_is_announced_of_a_customer_whose_tombstone_is_left_over() -> None:
    tables, outbox = MemoryTables(), RecordingPublisher()
    working = worker(tables, outbox, SHOP)
    await working.assign([0])
    await working.process(fetch(purchase("p")))
    before, outbox.crashes = len(tables.announced), 1
    with pytest.raises(Crash):
        await working.process(fetch(deletion("d", NOW + DAY), first=1))
    await worker(tables, outbox, SHOP).assign([0])
    (copy,) = tables.announced[before:]
    assert json.loads(copy) == {"customer_id": "c", "deleted": True}
    assert outbox.values(CHANGES)[-1] is None, "it is published first"
    assert await tables.load_pending(0) == []
