"""A process that has just begun gives what was published before it."""

import asyncio

import orjson
import pytest
from redis.asyncio import Redis

from stream_persona.api.changes import ChangeFeed
from stream_persona.api.refill import read_newest, refill
from stream_persona.kafka.publisher import KafkaPublisher
from stream_persona.settings import Settings
from tests.support.servers import Kafka, declare_topics


async def yes() -> bool:
    return True


async def published(settings: Settings, changes: int) -> None:
    """So many changes, one after another, of customers on all partitions in turn."""
    publisher = KafkaPublisher(settings)
    await publisher.start()
    for partition in range(settings.partitions):
        await publisher.take_over(partition, [], yes)
    for number in range(changes):
        value = orjson.dumps({"change_id": f"{number:024x}", "customer_id": f"c{number}"})
        await publisher.publish_changes(number % settings.partitions, [(f"c{number}", value)])
    await publisher.publish_changes(0, [("c0", None)])
    await publisher.stop()


@pytest.fixture
async def topic(settings: Settings, kafka: Kafka) -> Settings:
    await declare_topics(kafka, [settings.topic_changes], settings.partitions)
    return settings


async def test_the_newest_changes_of_all_partitions_come_in_their_order(topic: Settings) -> None:
    await published(topic, 3 * topic.partitions)
    found = await read_newest(topic, 2 * topic.partitions)
    assert [at for at, _ in found] == sorted(raw.timestamp for _, raw in found)
    newest_of = {raw.partition: raw.key for _, raw in found}
    assert newest_of == {
        p: b"c0" if p == 0 else f"c{2 * topic.partitions + p}".encode()
        for p in range(topic.partitions)
    }


async def test_a_listener_of_a_new_process_catches_up_with_what_it_missed(topic: Settings) -> None:
    await published(topic, 4)
    feed = ChangeFeed(Redis(), "channel", lambda _: None)
    feed.ready = True
    filling = asyncio.create_task(refill(topic, feed))
    await asyncio.sleep(0)  # one turn, in which it begins
    assert not feed.refilled.is_set()
    stream = feed.listen(f"{2:024x}")
    assert (await anext(stream)).startswith(b"retry:")
    piece = await anext(stream)
    filling.cancel()
    assert b'"customer_id":"c3"' in piece
    assert b'"deleted":true' in piece
    assert b'"customer_id":"c2"' not in piece


async def test_a_topic_that_is_not_there_has_nothing_and_is_not_created(settings: Settings) -> None:
    assert await read_newest(settings, 10) == []
    assert await read_newest(settings, 10) == []
