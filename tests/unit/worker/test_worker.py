"""A worker on tables in memory: what it writes, what it publishes, and what a crash leaves."""

import asyncio
import json
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.structs import ConsumerRecord

from stream_persona.domain import record_codec
from stream_persona.domain.events import Event, encode
from stream_persona.domain.slots import slot_of
from stream_persona.errors import FencedError, UnavailableError
from stream_persona.kafka.partitioner import home
from stream_persona.model.classifier import PersonaClassifier
from stream_persona.model.shard import unpack
from stream_persona.pipeline import training
from stream_persona.store.memory import MemoryTables
from stream_persona.store.tables import Claim
from stream_persona.worker import model_sync
from stream_persona.worker.worker import Worker
from tests.support.builders import (
    DAY,
    NOW,
    PERSONAS,
    Crash,
    CrashingTables,
    Log,
    LostTables,
    Outbox,
    assignment,
    browse,
    deletion,
    delivered,
    fetched,
    purchase,
    raw,
    settled,
    shop,
    tastes,
    worker,
    worker_settings,
)
from tests.support.waiting import eventually

SHOP = shop()
CHANGES, LETTERS, REROUTES = "persona-changes", "persona-dead-letters", "persona-reroutes"


def changes(outbox: Outbox) -> list[Any]:
    return [json.loads(v) if v is not None else None for v in outbox.values(CHANGES)]


def folded(tables: MemoryTables) -> dict[str, bytes]:
    blobs = {**tables.markers, **tables.states}
    read = record_codec.decode_records(list(blobs.values()), SHOP.fingerprint)
    return {
        c: record_codec.encode_folded(r, SHOP.fingerprint) for c, r in zip(blobs, read, strict=True)
    }


def sum_of(tables: MemoryTables) -> bytes:
    """The model that all stored records fold to."""
    stored = record_codec.decode_records(list(tables.states.values()), SHOP.fingerprint)
    model = PersonaClassifier()
    for lesson in training.derive_updates(dict(zip(tables.states, stored, strict=True)), SHOP):
        model.add(lesson.part, lesson.persona)
    return model.canonical()


async def parts_of(tables: MemoryTables, partitions: int = 1) -> bytes:
    total = PersonaClassifier()
    for _, blob in (await tables.parts(range(partitions))).values():
        total.merge(unpack(blob, SHOP).sums)
    return total.canonical()


async def assigned(tables: MemoryTables, outbox: Outbox) -> Worker:
    """A worker that starts anew and owns the one partition."""
    working = worker(tables, outbox, SHOP)
    await working.assign([0])
    return working


async def processed(
    *batches: Sequence[ConsumerRecord], tables: MemoryTables | None = None
) -> tuple[MemoryTables, Outbox]:
    tables, outbox = tables or MemoryTables(), Outbox()
    working = await assigned(tables, outbox)
    for batch in batches:
        await working.process(batch)
    await settled(working)
    return tables, outbox


class CostlyTables(MemoryTables):
    """To publish a part takes a tenth of a second on this clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now, self.saved = 0.0, list[int]()

    def monotonic(self) -> float:
        return self.now

    async def save_part(self, claim: Claim, part: bytes, stamp: bytes) -> None:
        await super().save_part(claim, part, stamp)
        self.now += 0.1
        self.saved.append(claim.partition)

    def saved_by(self, now: float) -> list[int]:
        """Partitions saved since the last call; it is ``now`` from here on."""
        self.now, saved = now, self.saved
        self.saved = []
        return saved


async def test_parts_that_keep_moving_are_published_in_turn_and_once_at_rest_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tables, settings = CostlyTables(), worker_settings(partitions=2)
    monkeypatch.setattr(model_sync.time, "monotonic", tables.monotonic)
    working = worker(tables, Outbox(), SHOP, settings)
    await working.assign([0, 1])
    names = {home(name, 2): name for name in ("a", "b", "c", "d", "e")}

    async def moved(turn: int) -> None:
        for partition, name in names.items():
            told = purchase(f"p{turn}", customer=name), assignment(f"a{turn}", customer=name)
            await working.process(fetched(*told, partition=partition, first=10 * turn))
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
    assert await parts_of(tables, 2) == sum_of(tables)


async def test_events_that_come_before_their_partition_is_known_to_be_ours_wait() -> None:
    tables, outbox = MemoryTables(), Outbox()
    working = worker(tables, outbox, SHOP)
    with working.ownership.rebalance():
        walking = asyncio.ensure_future(working.process(fetched(purchase("p"))))
        for _ in range(10):
            await asyncio.sleep(0)  # as far as it goes
        await working.assign([0])
    await walking
    assert tables.states.keys() == {"c"}


async def test_a_batch_is_stored_said_and_announced() -> None:
    tables, outbox = await processed(fetched(purchase("p"), assignment("a")))
    assert (slot_of("category:food", fine=False), "category:food") in await tables.names()
    (change,) = changes(outbox)
    public = json.loads(await tables.public("c") or b"")
    assert (public["persona"], public["revision"], change["revision"]) == ("parent", 1, 1)
    assert tables.announced == outbox.values(CHANGES)
    assert await tables.labelled(0) == ["c"]


async def test_what_cannot_be_read_goes_to_the_dead_letters_untouched() -> None:
    bad = [raw("browses", b"\xff", 5), raw("purchases", None, 6), *fetched(purchase("p"), first=7)]
    bad += fetched(assignment("a", persona="nobody"))
    tables, outbox = await processed(bad)
    letters = [message for message in outbox.sent if message.topic == LETTERS]
    assert [(m.key, m.value) for m in letters[:2]] == [(b"key", b"\xff"), (b"key", None)]
    assert dict(letters[0].headers)["reason"] == b"not_json"
    assert {name for name, _ in letters[0].headers} == {
        "reason", "detail", "topic", "partition", "offset",
    }  # fmt: skip
    assert dict(letters[1].headers)["offset"] == b"6"
    assert dict(letters[2].headers)["reason"] == b"unknown_persona"
    assert "c" in tables.states


async def test_the_model_learns_and_predicts() -> None:
    tables, outbox = MemoryTables(), Outbox()
    working = await assigned(tables, outbox)
    await working.process(fetched(*tastes(SHOP, customers=10)))
    await settled(working)
    new = [browse("b", customer="new")]
    bought = [purchase(f"n{i}", customer="new", categories=["gamer"]) for i in range(40)]
    await working.process(fetched(*new, *bought, first=10_000))
    distribution = json.loads(await tables.public("new") or b"")["distribution"]
    assert max(distribution, key=distribution.__getitem__) == "gamer"
    assert working.weights.customers == 50


def story() -> list[Event]:
    rng = random.Random(5)
    told = tastes(SHOP, customers=2)
    told += [assignment(f"o{i}", NOW + i, f"gamer-{i}", "student") for i in range(2)]
    told += [assignment("w", NOW + 9, "parent-0", None), deletion("d", NOW + 40 * DAY, "parent-1")]
    told += [assignment("x", NOW + 9, "builder-0", "athlete", NOW + DAY)]
    told += [purchase(f"z{i}", NOW + i * DAY, "builder-0") for i in range(3)]
    rng.shuffle(told)
    return told


def cut(batch: list[ConsumerRecord], size: int) -> list[list[ConsumerRecord]]:
    return [batch[i : i + size] for i in range(0, len(batch), size)]


async def test_the_published_part_is_the_fold_of_the_stored_records() -> None:
    tables = MemoryTables()
    for batch in cut(fetched(*story()), 11):  # each by a worker that starts anew
        await processed(batch, tables=tables)
        assert await parts_of(tables) == sum_of(tables) != b""


@pytest.mark.parametrize("point", ["before the commit", "after the commit", "after the publish"])
async def test_a_crash_anywhere_loses_nothing_and_changes_nothing(point: str) -> None:
    whole, quiet = await processed(*cut(fetched(*story()), 11))
    tables, outbox = CrashingTables(), Outbox()
    for batch in cut(fetched(*story()), 11):
        dying = await assigned(tables, outbox)
        if point == "after the publish":
            await dying.process(batch)
        else:
            tables.crash = point.partition(" ")[0]
            with pytest.raises(Crash):
                await dying.process(batch)
        living = await assigned(tables, outbox)
        await living.process(batch)
        await living.refresh()
    assert folded(tables) == folded(whole)
    assert await parts_of(tables) == sum_of(tables) == sum_of(whole)
    assert_told_without_a_hole(outbox)
    assert {m.key for m in outbox.sent} == {m.key for m in quiet.sent}


def assert_told_without_a_hole(outbox: Outbox) -> None:
    contents: dict[str, Any] = {}
    reached: dict[str, int] = {}
    for message in (message for message in outbox.sent if message.topic == CHANGES):
        customer = (message.key or b"").decode()
        if message.value is None:
            reached[customer] = 0
            continue
        change = json.loads(message.value)
        assert contents.setdefault(change["change_id"], message.value) == message.value
        assert change["revision"] <= reached.get(customer, 0) + 1
        reached[customer] = max(reached.get(customer, 0), change["revision"])


async def test_a_change_survives_a_crash_though_another_topic_comes_first_afterwards() -> None:
    tables, outbox = CrashingTables(), Outbox()
    dying = await assigned(tables, outbox)
    tables.crash = "after"
    with pytest.raises(Crash):
        await dying.process(fetched(purchase("p")))
    living = await assigned(tables, outbox)
    await living.process(fetched(assignment("a")))
    await living.process(fetched(purchase("p")))
    assert [change["revision"] for change in changes(outbox)] == [1, 2]


async def test_a_tombstone_survives_a_crash() -> None:
    tables, outbox = CrashingTables(), Outbox()
    await processed(fetched(purchase("p")), tables=tables)
    dying = await assigned(tables, outbox)
    tables.crash = "after"
    with pytest.raises(Crash):
        await dying.process(fetched(deletion("d")))
    await worker(tables, outbox, SHOP).assign([0])
    assert changes(outbox)[-1] is None
    assert await tables.public("c") is None
    assert "c" not in tables.states


async def test_a_crash_between_a_tombstone_and_the_first_change_since_leaves_both() -> None:
    tables, outbox, log = CrashingTables(), Outbox(), Log()
    log.deliveries = delivered(purchase("p"), purchase("q", NOW + 1))
    await processed(fetched(purchase("p"), purchase("q", NOW + 1)), tables=tables)
    dying = worker(tables, outbox, SHOP, log=log)
    await dying.assign([0])
    tables.crash = "after"
    with pytest.raises(Crash):
        await dying.process(fetched(deletion("d", NOW)))
    told = len(outbox.sent)
    await worker(tables, outbox, SHOP).assign([0])
    tombstone, change = changes(outbox)[told:]
    assert tombstone is None
    assert change["revision"] == 1
    public = json.loads(await tables.public("c") or b"")
    assert public["revision"] == 1
    assert public["evidence"] < 1.1  # one of the two purchases


async def test_a_worker_that_lost_its_partition_is_refused_and_writes_nothing() -> None:
    tables, outbox = MemoryTables(), Outbox()
    old, new = worker(tables, outbox, SHOP), worker(tables, outbox, SHOP)
    await old.assign([0])
    await new.assign([0])
    with pytest.raises(FencedError):
        await old.process(fetched(purchase("p")))
    assert (tables.states, outbox.sent) == ({}, [])


async def test_a_partition_that_was_lost_keeps_nothing_from_the_others_of_a_walk() -> None:
    settings, tables, outbox = worker_settings(partitions=2), MemoryTables(), Outbox()
    old, new = (worker(tables, outbox, SHOP, settings) for _ in range(2))
    await old.assign([0, 1])
    await new.assign([1])
    names = [f"c{number}" for number in range(10)]
    batch = [
        record
        for partition in (0, 1)
        for record in fetched(
            *(purchase(f"p-{c}", customer=c) for c in names if home(c, 2) == partition),
            partition=partition,
        )
    ]
    with pytest.raises(FencedError):
        await old.process(batch)
    kept = {c for c in names if home(c, 2) == 0}
    assert set(tables.states) == {c["customer_id"] for c in changes(outbox)} == kept != set(names)
    assert old.owned == {0}
    await new.assign([0, 1])
    await new.process(batch)
    assert set(tables.states) == set(names)
    assert_told_without_a_hole(outbox)


async def test_what_was_read_under_a_claim_is_not_written_under_the_next_one() -> None:
    tables, outbox = SlowTables(), Outbox()
    old, new = worker(tables, outbox, SHOP), worker(tables, outbox, SHOP)
    await old.assign([0])
    tables.held.clear()
    late = asyncio.create_task(old.process(fetched(purchase("p"))))
    await eventually(lambda: tables.waiting, 5, "it did not read")
    await new.assign([0])
    tables.slow = False
    await new.process(fetched(purchase("q", NOW + 1), purchase("r", NOW + 2), first=5))
    await old.assign([0])
    tables.held.set()
    with pytest.raises(FencedError):
        await late
    (record,) = record_codec.decode_records([tables.states["c"]], SHOP.fingerprint)
    assert record.counts.clock == NOW + 2
    assert len({change["change_id"] for change in changes(outbox)}) == 1


async def test_a_claim_that_was_held_up_says_nothing_of_what_has_moved_on() -> None:
    tables, outbox = SlowTables(), Outbox()
    first, late, new = (worker(tables, outbox, SHOP) for _ in range(3))
    await first.assign([0])
    await first.process(fetched(purchase("p")))
    tables.held.clear()
    claiming = asyncio.create_task(late.assign([0]))
    await eventually(lambda: tables.waiting, 5, "it did not read")
    tables.slow = False
    await new.assign([0])
    await new.process(fetched(assignment("a", NOW + 1), first=5))
    tables.held.set()
    with pytest.raises(FencedError):
        await claiming
    assert not late.owned
    assert [change["revision"] for change in changes(outbox)] == [1, 1, 2]


class SlowTables(MemoryTables):
    """Reads of customers wait until they are let go."""

    def __init__(self) -> None:
        super().__init__()
        self.held = asyncio.Event()
        self.held.set()
        self.waiting, self.slow = 0, True

    async def load(self, customers: Sequence[str]) -> dict[str, bytes]:
        found = await super().load(customers)
        self.waiting += self.slow and not self.held.is_set()
        if self.slow:
            await self.held.wait()
        return found


async def test_a_worker_that_found_out_it_lost_its_partition_does_not_take_it_back() -> None:
    tables, outbox = MemoryTables(), Outbox()
    old, new = worker(tables, outbox, SHOP), worker(tables, outbox, SHOP)
    await old.assign([0])
    await old.process(fetched(purchase("p"), assignment("a")))
    await new.assign([0])
    await old.refresh()
    with pytest.raises(FencedError):
        await old.process(fetched(purchase("q", NOW + 1), first=1))
    await new.process(fetched(purchase("q", NOW + 1), first=1))


async def test_an_unavailable_server_ends_the_batch_unpublished() -> None:
    outbox = Outbox()
    with pytest.raises(UnavailableError):
        await (await assigned(LostTables(), outbox)).process(fetched(purchase("p")))
    assert not outbox.sent


async def test_workers_share_the_model() -> None:
    settings, tables, outbox = worker_settings(partitions=2), MemoryTables(), Outbox()
    both = [worker(tables, outbox, SHOP, settings) for _ in range(2)]
    told = tastes(SHOP, customers=6)
    for partition, working in enumerate(both):
        await working.assign([partition])
        own = [event for event in told if home(event.customer_id, 2) == partition]
        await working.process(fetched(*own, partition=partition))
    for working in (*both, *both):
        await settled(working)
    assert both[0].weights.version == both[1].weights.version
    assert both[0].weights.customers == 30
    assert await parts_of(tables, 2) == sum_of(tables)
    await both[0].assign([0, 1])
    assert both[0].weights.customers == 30


def away_from_home(partitions: int) -> Event:
    names = (f"c{i}" for i in range(100))
    customer = next(name for name in names if home(name, partitions) == 1)
    return purchase("p", customer=customer)


async def test_an_event_off_its_home_is_forwarded_and_applied_there_under_its_first_position() -> (
    None
):
    settings, tables, outbox = worker_settings(partitions=2), MemoryTables(), Outbox()
    event = away_from_home(2)
    working = worker(tables, outbox, SHOP, settings)
    await working.assign([0, 1])
    await working.process([raw("purchases", encode(event), 17, 0)])
    (forwarded,) = outbox.sent
    assert (forwarded.topic, forwarded.partition) == (REROUTES, 1)
    assert not tables.states
    there = raw(REROUTES, forwarded.value, 3, 1, forwarded.headers, at=NOW + DAY)
    await working.process([there])
    await working.process([replace(there, offset=4)])
    (record,) = record_codec.decode_records(list(tables.states.values()), SHOP.fingerprint)
    assert record.positions == {0: 18}
    assert record.counts.values.max() > 0


async def test_a_poisoned_message_among_the_reroutes_does_not_stop_the_stream() -> None:
    _, outbox = await processed([raw(REROUTES, b"{}", 1), *fetched(purchase("p"))])
    assert outbox.values(LETTERS) == [b"{}"]
    assert len({change["change_id"] for change in changes(outbox)}) == 1


async def test_the_cache_holds_what_is_being_written_and_some_more() -> None:
    tables, outbox = MemoryTables(), Outbox()
    working = worker(tables, outbox, SHOP, worker_settings(cached_customers=10))
    await working.assign([0])
    happened = [purchase("p", customer=f"c{i}") for i in range(50)]
    await working.process(fetched(*happened))
    await working.process(fetched(*happened))
    assert sum(len(owned.cache) for owned in working.ownership.held.values()) == 50
    await working.process(fetched(purchase("q", NOW + 1), first=50))
    assert sum(len(owned.cache) for owned in working.ownership.held.values()) == 10
    assert len(changes(outbox)) == 51


def test_homes_are_those_of_other_producers() -> None:
    everything, chosen = list(range(12)), DefaultPartitioner()
    for name in [*PERSONAS, "é", "customer-1"]:
        assert home(name, 12) == chosen(name.encode(), everything, everything)
