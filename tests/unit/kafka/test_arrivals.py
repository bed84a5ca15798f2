"""An arrival is what the broker says; without one, the reader's clock bounds what is claimed."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from aiokafka import ConsumerRecord

from stream_persona.domain.events import Event, encode, get_event_time
from stream_persona.domain.features import compute_profiles
from stream_persona.errors import DecodeError
from stream_persona.kafka.arrivals import EventReader, find_arrival
from stream_persona.kafka.partitioner import find_home_partition
from stream_persona.kafka.router import MessageRouter
from stream_persona.store.memory import MemoryTables
from tests.support.constants import DAY, HOUR, NOW
from tests.support.events import assignment, browse, deletion, engagement, kind_of, purchase
from tests.support.one_worker import SHOP, stored
from tests.support.workers import (
    InMemoryLog,
    RecordingPublisher,
    fetch,
    raw,
    worker,
    worker_settings,
)

LETTERS = "persona-dead-letters"
YEAR_2045 = 2_366_841_600_000


def claimed(*happened: Event, first: int = 0) -> list[ConsumerRecord]:
    """Messages of topics that keep their producers' times, of which each is the event's own."""
    return [replace(each, timestamp_type=0) for each in fetch(*happened, first=first)]


async def left_by(
    *batches: Sequence[ConsumerRecord], now: int = NOW
) -> tuple[MemoryTables, RecordingPublisher]:
    """What a worker leaves behind whose clock says ``now``."""
    tables, outbox, log = MemoryTables(), RecordingPublisher(), InMemoryLog()
    working = worker(tables, outbox, SHOP, log=log, now=lambda: now)
    await working.assign([0])
    router = MessageRouter(worker_settings(), SHOP, now=lambda: now)
    for batch in batches:
        await working.process(batch)
        log.deliveries += router.route(batch).deliveries
    return tables, outbox


def evidence(tables: MemoryTables) -> float:
    return float(compute_profiles([stored(tables).counts], SHOP.features).events[0])


@pytest.mark.parametrize(
    ("kind_of_time", "timestamp", "arrival"),
    [(1, NOW, NOW), (0, NOW, -1), (None, NOW, -1), (1, -1, -1), (1, 0, 0), (2, NOW, -1)],
)
def test_an_arrival_is_a_timestamp_that_the_broker_has_set(
    kind_of_time: int | None, timestamp: int, arrival: int
) -> None:
    message = replace(raw("purchases", b"", at=timestamp), timestamp_type=kind_of_time)
    assert find_arrival(message) == arrival


@pytest.mark.parametrize("make", [purchase, browse, engagement, assignment])
async def test_an_event_far_ahead_without_an_arrival_is_a_dead_letter(make: type) -> None:
    for at, reasons in ((NOW + DAY, []), (NOW + DAY + 1, [b"future_time"])):
        (message,) = claimed(make("e", at))
        _, outbox = await left_by([message])
        letters = [each for each in outbox.messages if each.topic == LETTERS]
        assert [dict(each.headers)["reason"] for each in letters] == reasons
        assert all(each.value == message.value for each in letters)


async def test_an_arrival_is_believed_whatever_the_readers_clock_says() -> None:
    tables, outbox = await left_by(fetch(purchase("p", YEAR_2045)), now=0)
    assert not outbox.values(LETTERS)
    assert stored(tables).counts.clock == YEAR_2045


async def test_one_phone_in_2045_neither_ages_the_other_orders_nor_saves_its_data() -> None:
    around = [purchase(f"a{i}", NOW + i) for i in range(3)]
    orders = [*around, purchase("far", YEAR_2045)]
    orders += [purchase(f"c{i}", NOW + 10 + i) for i in range(12)]
    tables, outbox = await left_by(claimed(*orders))
    assert len(outbox.values(LETTERS)) == 1
    assert evidence(tables) == pytest.approx(15, abs=0.01)
    tables, _ = await left_by(claimed(*orders), claimed(deletion("r", NOW + 30)))
    assert "c" not in tables.states


async def test_two_orders_of_a_clock_two_hours_ahead_go_with_a_deletion_now() -> None:
    orders = [purchase("a", NOW + 2 * HOUR), purchase("b", NOW + 2 * HOUR)]
    for asked in (deletion("r", NOW), deletion("r", YEAR_2045)):
        for batch, late in (
            (claimed(*orders), claimed(asked)),
            ([replace(each, timestamp=NOW) for each in fetch(*orders)],
             [replace(each, timestamp=NOW + 1) for each in fetch(asked)]),
        ):  # fmt: skip
            tables, outbox = await left_by(batch, late, now=NOW + 1)
            assert "c" not in tables.states
            assert not outbox.values(LETTERS)


async def test_a_deletion_far_ahead_without_an_arrival_counts_as_of_now() -> None:
    tables, _ = await left_by(
        claimed(purchase("p")), claimed(deletion("d", YEAR_2045)),
        fetch(purchase("q", NOW + 2), first=1), now=NOW + 1,
    )  # fmt: skip
    assert stored(tables).deleted_at == NOW + 1
    assert evidence(tables) == 1.0


def test_a_deletion_that_is_clamped_is_counted() -> None:
    router = MessageRouter(worker_settings(), SHOP, now=lambda: NOW)
    routed = router.route(claimed(deletion("d", YEAR_2045), purchase("p")))
    assert [each.at for each in routed.deliveries] == [NOW, NOW]
    assert routed.anomalies == {"future": 1}


def test_a_reroute_of_an_event_without_an_arrival_has_none_either() -> None:
    two = worker_settings(partitions=2)
    router = MessageRouter(two, SHOP, now=lambda: NOW)
    home = find_home_partition("c", 2)
    away = [replace(each, partition=1 - home) for each in claimed(purchase("p"))]
    (moved,) = router.route(away).reroutes
    assert dict(moved.headers)["timestamp"] == b"-1"
    back = raw(moved.topic, moved.value, 3, home, moved.headers, at=NOW)
    (delivery,) = router.route([back]).deliveries
    assert delivery.arrived_at is None
    far = [replace(each, partition=1 - home) for each in claimed(purchase("f", YEAR_2045))]
    assert router.route(far).reasons == ["future_time"]


@pytest.mark.parametrize(
    "event", [purchase("e", YEAR_2045), assignment("a", YEAR_2045), deletion("d", YEAR_2045)]
)
def test_every_reader_bounds_times_by_its_own_clock(event: Event) -> None:
    kind, (message,) = kind_of(event), claimed(event)
    later = EventReader(SHOP, lambda: YEAR_2045)
    assert later.read(kind, message).at == get_event_time(event)
    assert later.read(kind, replace(message, timestamp_type=1)).arrived_at == YEAR_2045
    early = EventReader(SHOP, lambda: NOW)
    if kind == kind_of(deletion("d")):
        assert early.read(kind, message).at == NOW
        return
    with pytest.raises(DecodeError, match=r"2045-01-01.*is more than 86400 s ahead"):
        early.read(kind, message)


def test_a_message_of_a_clock_that_is_wrong_but_dated_by_the_broker_is_read() -> None:
    early = EventReader(SHOP, lambda: NOW)
    message = raw("purchases", encode(purchase("e", YEAR_2045)), at=NOW)
    assert early.read(0, message).at == YEAR_2045  # the pipeline takes the arrival
