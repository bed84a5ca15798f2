"""A worker whose tables come back older reads again what they lack, and ends as if they had not."""

import json
from collections.abc import Sequence

import pytest
from aiokafka.structs import ConsumerRecord

from stream_persona.errors import RolledBackError
from stream_persona.worker.worker import Worker
from tests.support.constants import DAY, NOW
from tests.support.events import assignment, deletion, purchase
from tests.support.worker_runs import (
    SHOP,
    CachingClient,
    Tables,
    assert_changes_have_no_hole,
    changes,
    committed,
    folded,
    log_of,
    published_sum,
    story,
    sum_of,
)
from tests.support.workers import (
    RecordingPublisher,
    fetch,
    settle,
    worker,
)


async def read_again(working: Worker, batch: Sequence[ConsumerRecord]) -> None:
    """Read what comes after the starts that the worker names."""
    starts = working.find_starts(committed(batch))
    again = [raw for raw in batch if raw.offset >= starts.get((raw.topic, raw.partition), 10**9)]
    if again:
        await working.process(again)


@pytest.mark.parametrize("lives", [True, False])
@pytest.mark.parametrize(("kept", "known"), [(0, 30), (1, 2), (20, 50), (45, 46), (10, 1_000)])
async def test_whatever_tables_have_lost_is_read_again(kept: int, known: int, lives: bool) -> None:
    happened = fetch(*story())
    tables, outbox, log = Tables(), RecordingPublisher(), log_of(happened)
    whole = Tables()
    lasting = worker(whole, RecordingPublisher(), SHOP, log=log)
    await lasting.assign([0])
    await lasting.process(happened)
    working = worker(tables, outbox, SHOP, log=log)
    await working.assign([0])
    await working.process(happened[:kept])
    older = tables.save()
    await working.process(happened[kept:known])
    await working.refresh()
    tables.put_back(older)
    client = CachingClient(tables)
    if lives:
        with pytest.raises(RolledBackError):
            await working.process(happened[known:] or happened[-1:])
        assert working.is_older
        await working.reclaim()
    else:
        working = worker(tables, outbox, SHOP, log=log)
        await working.assign([0])
    await read_again(working, happened[:known])
    await working.process(happened[known:])
    await settle(working)
    assert folded(tables) == folded(whole)
    assert await published_sum(tables) == sum_of(whole)
    assert_changes_have_no_hole(outbox)
    last = {change["customer_id"]: change for change in changes(outbox) if change}
    for name, public in tables.public_records.items():
        assert b'"revision":%d,' % last[name]["revision"] in public
    assert client.find_stale() == set()


async def test_a_worker_without_events_finds_out_that_its_tables_are_older() -> None:
    tables, outbox = Tables(), RecordingPublisher()
    working = worker(tables, outbox, SHOP)
    await working.assign([0])
    older = tables.save()
    await working.process(fetch(purchase("p")))
    await working.refresh()
    tables.put_back(older)
    with pytest.raises(RolledBackError):
        await working.refresh()
    with pytest.raises(RolledBackError):
        await working.process(fetch(purchase("q", NOW + 1), first=1))
    assert tables.states == {}
    await working.reclaim()
    await read_again(working, fetch(purchase("p")))
    await working.refresh()
    assert set(tables.states) == {"c"}


async def test_a_worker_tells_how_many_events_it_reads_again() -> None:
    tables, outbox = Tables(), RecordingPublisher()
    working = worker(tables, outbox, SHOP)
    await working.assign([0])
    batch = fetch(purchase("p"), purchase("q", NOW + 1), assignment("a"), purchase("r", NOW + 2))
    working.find_starts(dict.fromkeys(committed(batch), 0))
    await working.process(batch[:1])
    older = tables.save()
    await working.process(batch[1:])
    tables.put_back(older)
    with pytest.raises(RolledBackError):
        await working.refresh()
    await working.reclaim()
    (rollback,) = working.last_hour.summarize(working.owned).rollbacks
    starts = working.find_starts(committed(batch))
    assert starts == {("purchases", 0): 1, ("persona-assignments", 0): 0}
    assert rollback[1] == sum((committed(batch)[at] or 0) - start for at, start in starts.items())


async def test_a_customer_whose_deletion_was_lost_is_not_seen_again() -> None:
    happened = [purchase("p"), purchase("q", NOW + 1), deletion("d", NOW + DAY)]
    tables, outbox = Tables(), RecordingPublisher()
    batch = fetch(*happened)
    log = log_of(batch)
    working = worker(tables, outbox, SHOP, log=log)
    await working.assign([0])
    await working.process(batch[:1])
    older = tables.save()
    await working.process(batch[1:])
    assert tables.public_records == {}
    sent = len(outbox.messages)
    tables.put_back(older)
    assert set(tables.public_records) == {"c"}
    client = CachingClient(tables)
    working = worker(tables, outbox, SHOP, log=log)
    await working.assign([0])
    assert (tables.public_records, tables.states, set(tables.markers)) == ({}, {}, {"c"})
    await read_again(working, batch)
    assert tables.public_records == {}
    assert [m.value for m in outbox.messages[sent:]] == []
    assert client.find_stale() == set()
    assert json.loads(tables.announced[-1]) == {"customer_id": "c", "deleted": True}


async def test_a_deletion_without_a_published_tombstone_gets_one_when_it_is_found() -> None:
    happened = [
        purchase("p"), purchase("other", customer="x"),
        deletion("d", NOW + DAY), purchase("q", NOW + 2 * DAY),
        deletion("e", NOW + 3 * DAY), purchase("r", NOW + 4 * DAY),
    ]  # fmt: skip
    batch = fetch(*happened)
    tables, outbox, log = Tables(), RecordingPublisher(), log_of(batch)
    working = worker(tables, outbox, SHOP, log=log)
    await working.assign([0])
    await working.process(batch[:1])
    await working.process(batch[1:2])  # so that nothing of the first is left over
    older = tables.save()
    await working.process(batch[2:4])
    tables.put_back(older)
    working = worker(tables, outbox, SHOP, log=log)
    await working.assign([0])
    await working.process(batch[2:])
    own = [c for c, m in zip(changes(outbox), outbox.messages, strict=True) if m.key == b"c"]
    lives = [change and change["revision"] for change in own]
    assert lives == [1, None, 1, None, 1]


async def test_revisions_count_on_from_what_was_published() -> None:
    tables, outbox = Tables(), RecordingPublisher()
    working = worker(tables, outbox, SHOP)
    await working.assign([0])
    first = fetch(purchase("p"), assignment("a"))
    await working.process(first[:1])
    older = tables.save()
    await working.process(first[1:])
    tables.put_back(older)
    working = worker(tables, outbox, SHOP, log=log_of(first))
    await working.assign([0])
    assert b'"revision":2,' in tables.public_records["c"]
    await read_again(working, first)
    await working.refresh()
    await working.process(fetch(assignment("b", NOW + DAY, persona="student"), first=1))
    assert [change["revision"] for change in changes(outbox)] == [1, 2, 3]
    last = changes(outbox)[-1]
    assert (last["previous"]["persona"], last["current"]["persona"]) == ("parent", "student")
