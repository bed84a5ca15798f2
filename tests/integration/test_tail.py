"""The newest of a customer's messages, read backwards from a real broker, and within bounds."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from stream_persona.api.customer_log import (
    ENOUGH_EVENTS,
    KEPT_SECONDS,
    SECONDS,
    STEPS,
    CustomerMessages,
    Tail,
)
from stream_persona.kafka.partitioner import find_home_partition
from stream_persona.kafka.publisher import KafkaPublisher
from stream_persona.settings import Settings
from tests.support.customer_logs import LATE, crowd, mine, produce, tail_of, values
from tests.support.servers import EmbeddedKafka, Kafka, declare_topics, settings_for, topics_of
from tests.support.waiting import eventually


@pytest.fixture
async def tail(declared_topics: Settings) -> AsyncIterator[Tail]:
    async with tail_of(declared_topics) as tail:
        yield tail


async def test_messages_with_the_customers_key_are_found_in_the_order_of_each_topic(
    tail: Tail, declared_topics: Settings
) -> None:
    settings = declared_topics
    await produce(settings, settings.topic_purchases, [*mine(1), *crowd(3), *mine(2)])
    await produce(settings, settings.topic_reroutes, mine(3))
    await produce(settings, settings.topic_assignments, mine(4))
    await produce(settings, settings.topic_changes, [*mine(5), ("c", None), ("cc", b"6")])
    found = await tail.find("c")
    assert sorted(values(found.events)) == [b"1", b"2", b"3"]
    purchases = [raw for raw in found.events if raw.topic == settings.topic_purchases]
    assert values(purchases) == [b"1", b"2"]
    assert values(found.changes) == [b"5", None]
    assert found.complete


async def test_a_customer_without_messages_and_empty_topics_have_nothing_to_find(
    tail: Tail, declared_topics: Settings
) -> None:
    assert await tail.find("c") == CustomerMessages((), (), complete=True)
    await produce(declared_topics, declared_topics.topic_browses, crowd(5))
    assert await tail.find("cc") == CustomerMessages((), (), complete=True)


async def test_topics_that_do_not_exist_are_neither_waited_for_nor_made(
    settings: Settings,
) -> None:
    async with tail_of(settings) as tail:
        begun = time.monotonic()
        assert await tail.find("c") == CustomerMessages((), (), complete=True)
        assert time.monotonic() - begun < LATE
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.brokers)
    await admin.start()
    try:
        assert not {*topics_of(settings)} & {*await admin.list_topics()}
    finally:
        await admin.close()


async def test_a_topic_that_is_made_later_is_read_from_then_on(
    settings: Settings, kafka: Kafka
) -> None:
    await declare_topics(kafka, [settings.topic_browses], settings.partitions)
    await produce(settings, settings.topic_browses, mine(1))
    async with tail_of(settings) as tail:
        assert values((await tail.find("c")).events) == [b"1"]
        await declare_topics(kafka, [settings.topic_purchases], settings.partitions)
        await produce(settings, settings.topic_purchases, mine(2))

        async def is_found() -> bool:
            return len((await tail.find("c")).events) == 2

        await eventually(is_found, KEPT_SECONDS + LATE, "the new topic is not read")


async def test_older_messages_are_read_only_until_there_are_enough(
    tail: Tail, declared_topics: Settings
) -> None:
    topic, enough = declared_topics.topic_browses, range(ENOUGH_EVENTS)
    await produce(declared_topics, topic, [*mine(1_000), *crowd(STEPS[0]), *mine(*enough)])
    found = await tail.find("c")
    assert values(found.events) == [b"%d" % n for n in enough]
    assert not found.complete


async def test_older_messages_are_read_while_there_are_not_enough(
    tail: Tail, declared_topics: Settings
) -> None:
    topic = declared_topics.topic_browses
    older = [*mine(1), *crowd(STEPS[1]), *mine(2), *crowd(STEPS[0]), *mine(3)]
    await produce(declared_topics, topic, older)
    found = await tail.find("c")
    assert values(found.events) == [b"1", b"2", b"3"]
    assert found.complete


async def test_a_busy_partition_is_read_to_a_bound_and_the_event_loop_stays_free(
    real_kafka: Kafka, tail: Tail, declared_topics: Settings
) -> None:
    assert real_kafka.brokers == declared_topics.brokers
    topic = declared_topics.topic_browses
    await produce(declared_topics, topic, [*mine(1), *crowd(10_000), *mine(2), *crowd(19_990)])
    begun = time.monotonic()
    with no_garbage_collection():
        found, busy = await asyncio.gather(tail.find("c"), longest_turn(lambda: bool(tail._kept)))
    assert time.monotonic() - begun < SECONDS + LATE
    assert values(found.events) == [b"2"]
    assert not found.complete
    assert busy < 0.25  # of the processor, and 0.006 is usual


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """What the tests before have left behind takes a collection longer than all that is tested."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


async def longest_turn(done: Callable[[], bool]) -> float:
    """The longest time of the processor for which the event loop did not come back, in seconds."""
    longest, last = 0.0, time.thread_time()
    while not done():
        await asyncio.sleep(0.001)
        now = time.thread_time()
        longest, last = max(longest, now - last), now
    return longest


async def test_markers_at_the_end_of_transactions_are_not_waited_for(
    real_kafka: Kafka, tail: Tail, declared_topics: Settings
) -> None:
    assert real_kafka.brokers == declared_topics.brokers
    publisher = KafkaPublisher(declared_topics)
    await publisher.start()

    async def yes() -> bool:
        return True

    try:
        for partition in range(declared_topics.partitions):
            await publisher.take_over(partition, [], yes)
        at = find_home_partition("c", declared_topics.partitions)
        await publisher.take_over(at, [("c", b"1")], yes)
        await publisher.publish_changes(at, [("c", b"2"), ("other", b"3")])
        await publisher.take_over(at, [], yes)
    finally:
        await publisher.stop()
    begun = time.monotonic()
    found = await tail.find("c")
    assert values(found.changes) == [b"1", b"2"]
    assert found.complete
    for customer in range(20):
        assert await tail.find(f"nobody-{customer}") == CustomerMessages((), (), complete=True)
    assert time.monotonic() - begun < 21 * 0.25, "a reader that waits takes half a second each time"


async def test_holes_that_compaction_leaves_are_passed_over(
    real_kafka: Kafka, settings: Settings
) -> None:
    compacting = {
        "cleanup.policy": "compact", "segment.ms": "100", "min.cleanable.dirty.ratio": "0.01",
        "max.compaction.lag.ms": "100",
    }  # fmt: skip
    await declare_topics(real_kafka, [settings.topic_changes], settings.partitions, compacting)
    messages = [message for n in range(300) for message in (*mine(n), ("other", b"%d" % n))]
    await produce(settings, settings.topic_changes, messages)

    async def compacted() -> bool:
        await produce(settings, settings.topic_changes, [("last", b"x")])  # begins a segment
        async with tail_of(settings) as fresh:
            found = await fresh.find("c")
        assert found.complete
        assert values(found.changes)[-1] == b"299"
        return len(found.changes) == 1

    await eventually(compacted, 40, "nothing was compacted")


async def test_the_embedded_broker_is_read_as_well() -> None:
    embedded = EmbeddedKafka()
    try:
        settings = settings_for(embedded, "redis://127.0.0.1:1")
        async with tail_of(settings) as tail:
            assert await tail.find("c") == CustomerMessages((), (), complete=True)
        await declare_topics(embedded, topics_of(settings), settings.partitions)
        await produce(settings, settings.topic_purchases, [*mine(1), *crowd(2_500), *mine(2)])
        async with tail_of(settings) as tail:
            begun = time.monotonic()
            found = await tail.find("c")
        assert time.monotonic() - begun < SECONDS + LATE
        assert (values(found.events), found.complete) == ([b"1", b"2"], True)
    finally:
        embedded.close()
