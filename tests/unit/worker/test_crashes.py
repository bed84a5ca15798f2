"""A worker that crashes at any step leaves what its successor needs to go on."""

import json

import pytest

from tests.support.constants import NOW
from tests.support.events import assignment, deletion, deliver_promptly, purchase
from tests.support.faulty_tables import FaultyTables
from tests.support.worker_runs import (
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
)
from tests.support.workers import Crash, InMemoryLog, RecordingPublisher, fetch, worker


@pytest.mark.parametrize("point", ["before the commit", "after the commit", "after the publish"])
async def test_a_crash_anywhere_loses_nothing_and_changes_nothing(point: str) -> None:
    whole, quiet = await processed(*cut(fetch(*story()), 11))
    tables, outbox = FaultyTables(), RecordingPublisher()
    for batch in cut(fetch(*story()), 11):
        dying = await assigned(tables, outbox)
        if point == "after the publish":
            await dying.process(batch)
        else:
            tables.fail("commit", Crash(), times=1, after=point == "after the commit")
            with pytest.raises(Crash):
                await dying.process(batch)
        next_one = await assigned(tables, outbox)
        await next_one.process(batch)
        await next_one.refresh()
    assert folded(tables) == folded(whole)
    assert await published_sum(tables) == sum_of(tables) == sum_of(whole)
    assert_changes_have_no_hole(outbox)
    assert {m.key for m in outbox.messages} == {m.key for m in quiet.messages}


async def test_a_change_survives_a_crash_though_another_topic_comes_first_afterwards() -> None:
    tables, outbox = FaultyTables(), RecordingPublisher()
    dying = await assigned(tables, outbox)
    tables.fail("commit", Crash(), times=1, after=True)
    with pytest.raises(Crash):
        await dying.process(fetch(purchase("p")))
    next_one = await assigned(tables, outbox)
    await next_one.process(fetch(assignment("a")))
    await next_one.process(fetch(purchase("p")))
    assert [change["revision"] for change in changes(outbox)] == [1, 2]


async def test_a_tombstone_survives_a_crash() -> None:
    tables, outbox = FaultyTables(), RecordingPublisher()
    await processed(fetch(purchase("p")), tables=tables)
    dying = await assigned(tables, outbox)
    tables.fail("commit", Crash(), times=1, after=True)
    with pytest.raises(Crash):
        await dying.process(fetch(deletion("d")))
    await worker(tables, outbox, SHOP).assign([0])
    assert changes(outbox)[-1] is None
    assert await tables.load_public("c") is None
    assert "c" not in tables.states


async def test_a_crash_between_a_tombstone_and_the_first_change_since_leaves_both() -> None:
    tables, outbox, log = FaultyTables(), RecordingPublisher(), InMemoryLog()
    log.deliveries = deliver_promptly(purchase("p"), purchase("q", NOW + 1))
    await processed(fetch(purchase("p"), purchase("q", NOW + 1)), tables=tables)
    dying = worker(tables, outbox, SHOP, log=log)
    await dying.assign([0])
    tables.fail("commit", Crash(), times=1, after=True)
    with pytest.raises(Crash):
        await dying.process(fetch(deletion("d", NOW)))
    published = len(outbox.messages)
    await worker(tables, outbox, SHOP).assign([0])
    tombstone, change = changes(outbox)[published:]
    assert tombstone is None
    assert change["revision"] == 1
    public = json.loads(await tables.load_public("c") or b"")
    assert public["revision"] == 1
    assert public["evidence"] < 1.1  # one of the two purchases
