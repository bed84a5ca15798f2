"""A worker on tables in memory: what it writes and publishes of a batch."""

import json
from dataclasses import replace

import pytest

from stream_persona.domain import record_codec
from stream_persona.domain.events import Event, encode
from stream_persona.errors import UnavailableError
from stream_persona.kafka.partitioner import find_home_partition
from stream_persona.store.memory import MemoryTables
from tests.support.constants import DAY, NOW
from tests.support.events import assignment, browse, labelled_shoppers, purchase
from tests.support.faulty_tables import FaultyTables
from tests.support.names import load_all_carried
from tests.support.worker_runs import CHANGES, SHOP, assigned, changes, processed
from tests.support.workers import RecordingPublisher, fetch, raw, settle, worker, worker_settings

LETTERS, REROUTES = "persona-dead-letters", "persona-reroutes"


async def test_a_batch_is_stored_published_and_announced() -> None:
    tables, outbox = await processed(fetch(purchase("p"), assignment("a")))
    assert await load_all_carried(tables) == {"category:food": 1}
    (change,) = changes(outbox)
    public = json.loads(await tables.load_public("c") or b"")
    assert (public["persona"], public["revision"], change["revision"]) == ("parent", 1, 1)
    assert tables.announced == outbox.values(CHANGES)
    assert await tables.load_labelled(0) == ["c"]


async def test_a_message_that_cannot_be_read_goes_to_the_dead_letters_untouched() -> None:
    bad = [raw("browses", b"\xff", 5), raw("purchases", None, 6), *fetch(purchase("p"), first=7)]
    bad += fetch(assignment("a", persona="nobody"))
    tables, outbox = await processed(bad)
    letters = [message for message in outbox.messages if message.topic == LETTERS]
    assert [(m.key, m.value) for m in letters[:2]] == [(b"key", b"\xff"), (b"key", None)]
    assert dict(letters[0].headers)["reason"] == b"not_json"
    assert {name for name, _ in letters[0].headers} == {
        "reason", "detail", "topic", "partition", "offset",
    }  # fmt: skip
    assert dict(letters[1].headers)["offset"] == b"6"
    assert dict(letters[2].headers)["reason"] == b"unknown_persona"
    assert "c" in tables.states


async def test_the_model_learns_and_predicts() -> None:
    tables, outbox = MemoryTables(), RecordingPublisher()
    working = await assigned(tables, outbox)
    await working.process(fetch(*labelled_shoppers(SHOP, customers=10)))
    await settle(working)
    new = [browse("b", customer="new")]
    bought = [purchase(f"n{i}", customer="new", categories=["gamer"]) for i in range(40)]
    await working.process(fetch(*new, *bought, first=10_000))
    distribution = json.loads(await tables.load_public("new") or b"")["distribution"]
    assert max(distribution, key=distribution.__getitem__) == "gamer"
    assert working.weights.customers == 50


async def test_an_unavailable_server_ends_the_batch_unpublished() -> None:
    tables, outbox = FaultyTables(), RecordingPublisher()
    working = await assigned(tables, outbox)
    tables.fail("load", UnavailableError("Redis stayed away"))
    with pytest.raises(UnavailableError):
        await working.process(fetch(purchase("p")))
    assert not outbox.messages


def away_from_home(partitions: int) -> Event:
    names = (f"c{i}" for i in range(100))
    customer = next(name for name in names if find_home_partition(name, partitions) == 1)
    return purchase("p", customer=customer)


async def test_an_event_off_its_home_is_forwarded_and_applied_there_under_its_first_position() -> (
    None
):
    settings, tables, outbox = worker_settings(partitions=2), MemoryTables(), RecordingPublisher()
    event = away_from_home(2)
    working = worker(tables, outbox, SHOP, settings)
    await working.assign([0, 1])
    await working.process([raw("purchases", encode(event), 17, 0)])
    (forwarded,) = outbox.messages
    assert (forwarded.topic, forwarded.partition) == (REROUTES, 1)
    assert not tables.states
    there = raw(REROUTES, forwarded.value, 3, 1, forwarded.headers, at=NOW + DAY)
    await working.process([there])
    await working.process([replace(there, offset=4)])
    (record,) = record_codec.decode_records(tables.states, SHOP.fingerprint).values()
    assert record.positions == {0: 18}
    assert record.counts.values.max() > 0


async def test_a_poisoned_message_among_the_reroutes_does_not_stop_the_stream() -> None:
    _, outbox = await processed([raw(REROUTES, b"{}", 1), *fetch(purchase("p"))])
    assert outbox.values(LETTERS) == [b"{}"]
    assert len({change["change_id"] for change in changes(outbox)}) == 1


async def test_the_cache_holds_what_is_being_written_and_some_more() -> None:
    tables, outbox = MemoryTables(), RecordingPublisher()
    working = worker(tables, outbox, SHOP, worker_settings(cached_customers=10))
    await working.assign([0])
    happened = [purchase("p", customer=f"c{i}") for i in range(50)]
    await working.process(fetch(*happened))
    await working.process(fetch(*happened))
    assert sum(len(owned.cache) for owned in working.partitions.held.values()) == 50
    await working.process(fetch(purchase("q", NOW + 1), first=50))
    assert sum(len(owned.cache) for owned in working.partitions.held.values()) == 10
    assert len(changes(outbox)) == 51
