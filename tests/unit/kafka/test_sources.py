"""Events of sources are as exact as our own: forwarded whole, applied once, in any order."""

import json
import random
from itertools import pairwise
from pathlib import Path

import pytest
from aiokafka import ConsumerRecord

from stream_persona.domain.events import DELETION, PURCHASE, encode
from stream_persona.domain.inputs import (
    MOST_EVENTS,
    OFFSETS_END,
    is_of_file,
    is_of_source,
    is_own_topic,
    number_source_partition,
    place_events,
)
from stream_persona.kafka.mapped_reroutes import drop_mapped
from stream_persona.kafka.partitioner import find_home_partition
from stream_persona.kafka.router import MessageRouter, RereadRouter
from stream_persona.pipeline.types import Delivery
from stream_persona.replay.files import number_file_partition
from stream_persona.replay.messages import TopicMessages
from stream_persona.settings import Settings
from stream_persona.store.memory import MemoryTables
from tests.support.constants import DAY, HOUR, NOW
from tests.support.events import deletion, interleave, purchase, shop, split_into_batches
from tests.support.processing import fold_batches
from tests.support.sources import (
    MAPPED,
    SEGMENT,
    TOPIC,
    by_home,
    forward,
    message,
    order,
    search,
    source_settings,
)
from tests.support.workers import InMemoryLog, RecordingPublisher, fetch, raw, worker

SHOP = shop()
CUSTOMERS = ("ann", "bob", "cleo")
ENDS = {(TOPIC, partition): 1_000 for partition in range(3)}


def random_messages(rng: random.Random) -> list[ConsumerRecord]:
    """Messages of three partitions, each with up to six events of any customers."""
    made, offsets = [], [0, 0, 0]
    for number in range(rng.randint(5, 25)):
        partition, calls = rng.randrange(3), []
        for place in range(rng.randint(1, 6)):
            name, who, at = f"{number}-{place}", rng.choice(CUSTOMERS), NOW + rng.randint(0, DAY)
            calls.append(
                order(name, who, rng.choice("abc"), at) if rng.random() < 0.5
                else search(name, who, rng.choice(["red shoes", "tv"]), at)
            )  # fmt: skip
        made.append(message(offsets[partition], *calls, partition=partition))
        offsets[partition] += rng.randint(1, 3)
    return made


def read_again(messages: list[ConsumerRecord], rng: random.Random) -> list[ConsumerRecord]:
    """The same, where readers of a partition begin again at an earlier offset, several times."""
    read: list[ConsumerRecord] = []
    for partition in range(3):
        own, at = [each for each in messages if each.partition == partition], 0
        while at < len(own):
            end = rng.randint(at + 1, len(own))
            read += own[rng.randint(0, at) : end]
            at = end
    return read


def deliver(settings: Settings, reroutes: list[ConsumerRecord]) -> list[Delivery]:
    return MessageRouter(settings, SHOP).route(reroutes, ENDS).deliveries


@pytest.mark.long
@pytest.mark.parametrize("seed", range(40))
def test_messages_of_several_events_give_equal_bytes_however_often_and_in_whatever_order(
    tmp_path: Path, seed: int
) -> None:
    rng, settings = random.Random(seed), source_settings(tmp_path)
    messages = random_messages(rng)
    own = MessageRouter(settings, SHOP).route(
        [
            *fetch(purchase("own", NOW + HOUR, "ann"), deletion("d", NOW + DAY // 2, "ann"),
                   partition=find_home_partition("ann", 4), settings=settings),
            *fetch(purchase("own", NOW + HOUR, "bob"),
                   partition=find_home_partition("bob", 4), settings=settings),
        ]
    ).deliveries  # fmt: skip
    expected = fold_batches([[*deliver(settings, forward(settings, messages)[0]), *own]], SHOP)

    again, _ = forward(settings, read_again(messages, rng))
    runs = [deliver(settings, each) for each in by_home(again)]
    mixed = interleave([*runs, *([each] for each in own)], rng)
    assert fold_batches(split_into_batches(mixed, rng), SHOP) == expected
    replayed = [each for raw in messages for each in TopicMessages(settings, SHOP).read(raw)]
    assert all(isinstance(each, Delivery) for each in replayed)
    assert fold_batches([[*replayed, *own]], SHOP) == expected  # type: ignore[list-item]


def test_all_events_of_a_message_count_at_its_one_offset(tmp_path: Path) -> None:
    settings = source_settings(tmp_path)
    reroutes, routed = forward(settings, [message(5, order("a"), search("b"), order("c"))])
    deliveries = deliver(settings, reroutes)
    assert [each.event.event_id for each in deliveries] == ["a", "b", "c"]  # type: ignore[union-attr]
    assert len({(each.source, each.offset) for each in deliveries}) == 3
    assert (len(reroutes), routed.letters, routed.count_read(1)) == (1, [], 0)


def test_a_message_that_was_mapped_twice_counts_as_it_was_mapped_first(tmp_path: Path) -> None:
    settings = source_settings(tmp_path)
    first, _ = forward(settings, [message(5, order("a", category="x"))])
    second, _ = forward(settings, [message(5, order("a", category="y"), order("b", category="y"))])
    once = fold_batches([deliver(settings, first)], SHOP)
    assert fold_batches([deliver(settings, first), deliver(settings, second)], SHOP) == once
    past = drop_mapped(deliver(settings, [*first, *second]), settings.input_topics)
    assert past[0] == deliver(settings, first)[0]


@pytest.mark.parametrize("kinds", [(0,), (0, 0), (0, 1, 0), (4,), (0,) * MOST_EVENTS])
@pytest.mark.parametrize("offset", [0, 7, OFFSETS_END - 1])
def test_places_in_a_message_rise_by_kind_and_end_where_the_next_message_begins(
    kinds: tuple[int, ...], offset: int
) -> None:
    places = list(place_events(offset, kinds))
    for kind in kinds:
        own = [at for at, each in zip(places, kinds, strict=True) if each == kind]
        assert all(later - at == 1 for at, later in pairwise(own))
        assert own[-1] + 1 == (offset + 1) * MOST_EVENTS
        assert offset * MOST_EVENTS <= own[0] < 1 << 62


def test_inputs_of_topics_sources_and_files_are_told_apart() -> None:
    source = PURCHASE << 16 | number_source_partition(TOPIC, 5)
    file, own = DELETION << 16 | number_file_partition(TOPIC), DELETION << 16 | 5
    assert (is_own_topic(own), is_of_source(own), is_of_file(own)) == (True, False, False)
    assert (is_own_topic(source), is_of_source(source), is_of_file(source)) == (False, True, False)
    assert (is_own_topic(file), is_of_source(file), is_of_file(file)) == (False, False, True)
    assert source < 1 << 63


async def test_a_worker_forwards_and_another_one_applies(tmp_path: Path) -> None:
    settings = source_settings(tmp_path, partitions=1)
    tables, outbox = MemoryTables(), RecordingPublisher()
    working = worker(tables, outbox, SHOP, settings, InMemoryLog())
    await working.assign([0], [TOPIC])
    await working.process([message(3, order("a"), search("b"), partition=7)])
    assert tables.states == {}
    (sent,) = [each for each in outbox.messages if each.topic == settings.topic_reroutes]
    await working.process([raw(sent.topic, sent.value, 0, 0, sent.headers)])
    assert tables.states.keys() == {"c"}


def test_the_reroutes_of_another_group_are_its_own(tmp_path: Path) -> None:
    settings = source_settings(tmp_path)
    reroutes, _ = forward(source_settings(tmp_path, group="another"), [message(1, order("a"))])
    routed = MessageRouter(settings, SHOP).route(reroutes, ENDS)
    assert (routed.deliveries, routed.letters, routed.count_read(len(reroutes))) == ([], [], 0)


def test_a_reroute_is_read_after_its_source_was_taken_out(tmp_path: Path) -> None:
    reroutes, _ = forward(source_settings(tmp_path), [message(1, order("a"))])
    (found,) = deliver(source_settings(tmp_path, SEGMENT.replace(TOPIC, "other")), reroutes)
    assert is_of_source(found.source)


@pytest.mark.parametrize(
    ("offset", "headers"),
    [
        (1_000, {}),
        (1, {"kinds": b"0,0"}),
        (1, {"kinds": b"9"}),
        (1, {"kinds": b""}),
        (1, {"topic": b"nowhere"}),
        (1, {"partition": b"40000"}),
        (1, {"offset": b"9999999999999999"}),
    ],
)
def test_a_forged_reroute_of_mapped_events_is_a_dead_letter(
    tmp_path: Path, offset: int, headers: dict[str, bytes]
) -> None:
    settings = source_settings(tmp_path)
    reroutes, _ = forward(settings, [message(offset, order("a"))])
    (whole,) = reroutes
    forged = raw(
        whole.topic, whole.value, 0, whole.partition,
        [(name, headers.get(name, value)) for name, value in whole.headers],
    )  # fmt: skip
    routed = MessageRouter(settings, SHOP).route([forged], ENDS)
    assert (routed.deliveries, routed.reasons) == ([], ["invalid_field"])


def test_a_reroute_of_two_customers_is_a_dead_letter(tmp_path: Path) -> None:
    settings = source_settings(tmp_path)
    (whole,), _ = forward(settings, [message(1, order("a"), order("b"))])
    forged = whole.value.replace(b'"customer_id":"c"', b'"customer_id":"x"', 1)
    message_of_two = raw(whole.topic, forged, 0, whole.partition, whole.headers)
    routed = MessageRouter(settings, SHOP).route([message_of_two], ENDS)
    assert (routed.deliveries, routed.reasons) == ([], ["invalid_field"])


@pytest.mark.parametrize("value", [b"", b"{", b"[1]", b'"text"', b"\xff", b"[" * 300])
def test_what_cannot_be_read_is_a_dead_letter_with_its_bytes(tmp_path: Path, value: bytes) -> None:
    reroutes, routed = forward(source_settings(tmp_path), [raw(TOPIC, value, 4, 2)])
    (letter,) = routed.letters
    assert (reroutes, letter.value) == ([], value)
    assert dict(letter.headers)["topic"] == TOPIC.encode()


def test_the_wrong_event_of_a_message_is_a_dead_letter_and_the_others_count(tmp_path: Path) -> None:
    wrong = {**order("bad"), "timestamp": "yesterday"}
    reroutes, routed = forward(source_settings(tmp_path), [message(4, order("a"), wrong)])
    assert (len(reroutes), len(routed.letters)) == (1, 1)


def test_what_no_source_takes_and_links_of_ids_are_counted(tmp_path: Path) -> None:
    page = raw(TOPIC, json.dumps({"type": "page-ping"}).encode(), 1)
    _, routed = forward(source_settings(tmp_path, MAPPED), [page])
    assert (routed.anomalies, routed.letters) == ({"unmapped": 1}, [])
    assert routed.count_read(1) == 1
    link = {"type": "identify", "messageId": "l", "userId": "c", "anonymousId": "a-1",
            "timestamp": "2025-11-24T16:00:00Z"}  # fmt: skip
    reroutes, routed = forward(source_settings(tmp_path), [message(2, link)])
    assert (reroutes, routed.anomalies) == ([], {"identity_link": 1})


async def test_an_event_too_far_ahead_takes_its_whole_message_to_the_dead_letters(
    tmp_path: Path,
) -> None:
    late = message(1, order("a", at=NOW), order("b", at=NOW + 4_000 * DAY))
    undated = raw(TOPIC, late.value, 1, at=-1)
    reroutes, routed = forward(source_settings(tmp_path), [undated])
    assert (reroutes, routed.reasons) == ([], ["future_time"])


OWN = MAPPED.replace(TOPIC, "purchases")


def test_a_topic_of_ours_may_be_a_source_too(tmp_path: Path) -> None:
    settings = source_settings(tmp_path, OWN)
    foreign = {
        "type": "order", "id": "f", "user": "c", "at": NOW, "lines": [{"sku": "p", "cat": "food"}]
    }  # fmt: skip
    home = find_home_partition("c", 4)
    own, other = fetch(purchase("p"), partition=home, settings=settings), json.dumps(foreign)
    routed = MessageRouter(settings, SHOP).route([*own, raw("purchases", other.encode(), 9, home)])
    (delivered,), (rerouted,) = routed.deliveries, routed.reroutes
    assert (delivered.event, delivered.source) == (purchase("p"), home)
    assert dict(rerouted.headers)["kinds"] == b"0"
    assert routed.count_read(2) == 1


def test_the_past_of_a_topic_of_ours_is_as_it_was_mapped_then(tmp_path: Path) -> None:
    both = {**json.loads(encode(purchase("p"))), "type": "order", "id": "p", "user": "c",
            "at": NOW, "lines": [{"sku": "p", "cat": "toys"}]}  # fmt: skip
    settings, home = source_settings(tmp_path, OWN), find_home_partition("c", 4)
    as_read = raw("purchases", json.dumps(both).encode(), 9, home)
    reroutes, _ = forward(settings, [as_read])
    past = RereadRouter(source_settings(tmp_path), SHOP).route([as_read, *reroutes]).deliveries
    (mapped,) = drop_mapped(past, settings.input_topics)
    assert is_of_source(mapped.source)
    before = RereadRouter(settings, SHOP).route([as_read]).deliveries
    (unmapped,) = drop_mapped(before, settings.input_topics)
    assert is_own_topic(unmapped.source)


def test_a_source_cannot_be_a_topic_that_workers_write(tmp_path: Path) -> None:
    from stream_persona.errors import SettingsError
    from stream_persona.kafka.source_topics import find_source_topics

    with pytest.raises(SettingsError, match="persona-reroutes is written by the workers"):
        find_source_topics(source_settings(tmp_path, SEGMENT.replace(TOPIC, "persona-reroutes")))
