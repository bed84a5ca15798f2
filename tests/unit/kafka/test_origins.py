"""A reroute is believed only as far as the input logs reach: forged origins are dead letters."""

from dataclasses import replace

import pytest
from aiokafka import ConsumerRecord, TopicPartition

from stream_persona.domain.events import encode
from stream_persona.errors import DecodeError
from stream_persona.kafka.origins import Origin, Origins, check_origin
from stream_persona.kafka.partitioner import find_home_partition
from stream_persona.kafka.router import MessageRouter
from stream_persona.store.memory import MemoryTables
from tests.support.constants import DAY, HOUR, NOW
from tests.support.events import purchase
from tests.support.one_worker import SHOP, good, stored
from tests.support.workers import InMemoryLog, RecordingPublisher, raw, worker, worker_settings

LETTERS, REROUTES = "persona-dead-letters", "persona-reroutes"


def reroute(offset: int, partition: int = 5, arrived: int = NOW, number: int = 0) -> ConsumerRecord:
    """A reroute of a purchase, set by the broker to an arrival of ``NOW``."""
    headers = (
        ("topic", b"purchases"), ("partition", b"%d" % partition), ("offset", b"%d" % offset),
        ("timestamp", b"%d" % arrived),
    )  # fmt: skip
    made = raw(REROUTES, encode(purchase(f"e{offset}")), number, 0, headers)
    return replace(made, timestamp_type=1)


async def left_by(
    *batches: list[ConsumerRecord], log: InMemoryLog
) -> tuple[MemoryTables, RecordingPublisher]:
    tables, outbox = MemoryTables(), RecordingPublisher()
    working = worker(tables, outbox, SHOP, log=log)
    await working.assign([0])
    for batch in batches:
        await working.process(batch)
    return tables, outbox


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("topic", b"purchases"), ("partition", b"0"), ("offset", b"1")),
        (("topic", b"purchases"), ("partition", b"0"), ("offset", None), ("timestamp", b"1")),
        (("topic", None), ("partition", b"0"), ("offset", b"1"), ("timestamp", b"1")),
        (("topic", b"\xff"), ("partition", b"0"), ("offset", b"1"), ("timestamp", b"1")),
        (("topic", b"elsewhere"), ("partition", b"0"), ("offset", b"1"), ("timestamp", b"1")),
        (("topic", b"purchases"), ("partition", b"-1"), ("offset", b"1"), ("timestamp", b"1")),
        (("topic", b"purchases"), ("partition", b"65536"), ("offset", b"1"), ("timestamp", b"1")),
        (("topic", b"purchases"), ("partition", b"0"), ("offset", b"9" * 30), ("timestamp", b"1")),
        (("topic", b"purchases"), ("partition", b"0"), ("offset", b"9" * 9_999),
         ("timestamp", b"1")),
        (("topic", b"purchases"), ("partition", b"0"), ("offset", b"1"), ("timestamp", b"-2")),
        (("topic", b"purchases"), ("partition", b"0"), ("offset", b"1"), ("timestamp", b"1.5")),
    ],
)  # fmt: skip
async def test_a_reroute_without_its_origin_is_a_dead_letter(
    headers: tuple[tuple[str, bytes], ...],
) -> None:
    stray = raw(REROUTES, encode(purchase("p")), 3, 0, headers)
    tables, outbox = await left_by([stray, *good()], log=InMemoryLog())
    (letter,) = [message for message in outbox.messages if message.topic == LETTERS]
    assert dict(letter.headers)["reason"] == b"invalid_field"
    assert tables.states.keys() == {"good"}


async def test_headers_that_others_add_to_a_reroute_do_no_harm() -> None:
    origin = (("topic", b"purchases"), ("partition", b"5"), ("offset", b"9"), ("timestamp", b"-1"))
    odd = (("traceparent", b"\xff\0"), ("nothing", None))
    message = raw(REROUTES, encode(purchase("p")), 3, 0, (*odd, *origin))
    tables, _ = await left_by([message], log=InMemoryLog())
    assert stored(tables).positions == {5: 10}


@pytest.mark.parametrize("at", [-(1 << 63), -1, 0, 1 << 62, (1 << 63) - 1])
async def test_a_message_of_any_timestamp_is_an_event_at_home_and_when_rerouted(at: int) -> None:
    bought, two = encode(purchase("p")), worker_settings(partitions=2)
    home = find_home_partition("c", 2)
    router = MessageRouter(two, SHOP)
    elsewhere = router.route([raw("purchases", bought, 3, 1 - home, at=at)])
    (message,) = elsewhere.reroutes
    rerouted = raw(REROUTES, message.value, 5, home, message.headers)
    came_home = router.route([raw("purchases", bought, 3, home, at=at), rerouted])
    assert not came_home.letters
    first, second = came_home.deliveries
    assert first.arrived_at == second.arrived_at == (at if at >= 0 else None)


@pytest.mark.parametrize(
    "forged",
    [reroute(100), reroute(1 << 61), reroute(0, partition=64), reroute(0, partition=65_535),
     reroute(1, arrived=NOW + DAY), reroute(1, arrived=(1 << 63) - 1)],
    ids=["at the end", "2 to the 61", "a partition too many", "the last partition",
         "tomorrow", "the last millisecond"],
)  # fmt: skip
async def test_a_reroute_from_where_no_log_reaches_is_a_dead_letter_and_no_shopper_is_deaf(
    forged: ConsumerRecord,
) -> None:
    tables, outbox = await left_by([forged, *good()], [reroute(7)], log=InMemoryLog(100))
    (letter,) = [message for message in outbox.messages if message.topic == LETTERS]
    assert dict(letter.headers)["reason"] == b"invalid_field"
    assert (letter.key, letter.value) == (forged.key, forged.value)
    assert stored(tables).positions == {5: 8}
    assert "good" in tables.states


async def test_the_last_message_of_a_log_and_a_clock_that_is_ahead_are_believed() -> None:
    tables, outbox = await left_by([reroute(99, arrived=NOW + HOUR)], log=InMemoryLog(100))
    assert not outbox.values(LETTERS)
    assert stored(tables).positions == {5: 100}


async def test_a_reroute_that_its_producer_has_dated_is_not_held_against_its_date() -> None:
    dated = replace(reroute(1, arrived=NOW + DAY), timestamp_type=0)
    _, outbox = await left_by([dated], log=InMemoryLog(100))
    assert not outbox.values(LETTERS)


async def test_ends_are_asked_for_only_where_an_origin_lies_beyond_what_is_known() -> None:
    log = InMemoryLog(100)
    origins = Origins(worker_settings(), log)
    for batch in ([reroute(50)], good(), [reroute(99), reroute(0)], [reroute(3, partition=6)]):
        await origins.find_ends(batch)
    assert log.asked == [{TopicPartition("purchases", 5)}, {TopicPartition("purchases", 6)}]
    log.end = 200
    assert (await origins.find_ends([reroute(100)]))[0, 5] == 200
    assert await origins.find_ends([reroute(150)]) == {(0, 5): 200, (0, 6): 100}
    assert len(log.asked) == 3


def test_an_origin_in_a_log_of_which_nothing_is_known_is_refused() -> None:
    with pytest.raises(DecodeError, match="offset 0 of a log that ends at 0"):
        check_origin(Origin(0, 0, 0, -1), reroute(0), {})
