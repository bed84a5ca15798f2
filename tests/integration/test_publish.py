"""Changes reach the broker while their publisher owns the partition, and not after that."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from stream_persona.errors import FencedError
from stream_persona.kafka.producer import Message
from stream_persona.kafka.publisher import KafkaPublisher
from stream_persona.pipeline.messages import ChangeMessage
from stream_persona.settings import Settings
from tests.support.servers import Kafka, declare_topics
from tests.support.shop import Shop
from tests.support.waiting import patience

Start = Callable[[], KafkaPublisher]


@pytest.fixture
async def topics(settings: Settings, kafka: Kafka) -> Settings:
    await declare_topics(kafka, [settings.topic_changes], settings.partitions)
    return settings


@pytest.fixture
async def publishers(topics: Settings) -> AsyncIterator[list[KafkaPublisher]]:
    started = [KafkaPublisher(topics), KafkaPublisher(topics)]
    for publisher in started:
        await publisher.start()
    yield started
    for publisher in started:
        await publisher.stop()


def changes_of(*values: str) -> list[ChangeMessage]:
    return [("c", value.encode()) for value in values]


async def yes() -> bool:
    return True


async def no() -> bool:
    return False


async def read(settings: Settings, partition: int) -> list[bytes | None]:
    shop = Shop(settings, None)  # type: ignore[arg-type]  # it asks Kafka only
    found = await shop.read(settings.topic_changes)
    return [record.value for record in found if record.partition == partition]


async def test_an_owner_publishes_what_was_left_over_first(
    topics: Settings, publishers: list[KafkaPublisher]
) -> None:
    publisher = publishers[0]
    await publisher.take_over(1, changes_of("left over", "over"), yes)
    await publisher.publish_changes(1, [*changes_of("new"), ("c", None)])
    await publisher.take_over(2, [], yes)
    await publisher.publish_changes(2, changes_of("elsewhere"))
    assert await read(topics, 1) == [b"left over", b"over", b"new", None]
    assert await read(topics, 2) == [b"elsewhere"]


async def test_taking_many_partitions_over_at_once_waits_for_no_time_out_of_the_broker(
    topics: Settings, publishers: list[KafkaPublisher]
) -> None:
    """Ended together, some of these transactions kept their ids busy for 30 s, again and again."""
    async with asyncio.timeout(patience(25)):
        for publisher in publishers * 2:
            await asyncio.gather(
                *(publisher.take_over(p, [], yes) for p in range(topics.partitions))
            )


async def test_a_publisher_that_lost_a_partition_cannot_publish_its_last_change(
    real_kafka: Kafka, topics: Settings, publishers: list[KafkaPublisher]
) -> None:
    assert real_kafka.brokers == topics.brokers
    old, new = publishers
    await old.take_over(1, [], yes)
    await old.take_over(2, [], yes)
    await old.publish_changes(1, changes_of("1"))
    await new.take_over(1, [], yes)
    with pytest.raises(FencedError):
        await old.publish_changes(1, changes_of("late"))
    await new.publish_changes(1, changes_of("2"))
    await old.publish_changes(2, changes_of("still its own"))
    assert await read(topics, 1) == [b"1", b"2"]
    assert await read(topics, 2) == [b"still its own"]


async def test_a_publisher_that_lost_a_partition_meanwhile_publishes_no_left_overs(
    real_kafka: Kafka, topics: Settings, publishers: list[KafkaPublisher]
) -> None:
    assert real_kafka.brokers == topics.brokers
    late, new = publishers
    with pytest.raises(FencedError):
        await late.take_over(1, changes_of("left over"), no)
    answers = [True, False]

    async def just_still() -> bool:
        if answers[0]:  # the next owner comes right after the question
            await new.take_over(1, changes_of("left over"), yes)
            await new.publish_changes(1, changes_of("newer"))
        return answers.pop(0)

    with pytest.raises(FencedError):
        await late.take_over(1, changes_of("left over"), just_still)
    assert await read(topics, 1) == [b"left over", b"newer"]


async def test_a_publisher_that_owns_nothing_publishes_nothing(
    topics: Settings, publishers: list[KafkaPublisher]
) -> None:
    with pytest.raises(FencedError):
        await publishers[0].publish_changes(1, changes_of("mine"))
    await publishers[0].take_over(1, [], yes)
    await publishers[0].release([1])
    with pytest.raises(FencedError):
        await publishers[0].publish_changes(1, changes_of("mine"))
    assert await read(topics, 1) == []


async def test_a_dead_letter_that_does_not_fit_names_where_its_value_is(
    real_kafka: Kafka, settings: Settings
) -> None:
    small = {"max.message.bytes": "20000"}
    await declare_topics(real_kafka, [settings.topic_dead_letters], settings.partitions, small)
    where = (("reason", b"not_json"), ("topic", b"browses"), ("offset", b"7"))
    big = Message(settings.topic_dead_letters, b"k", b"x" * 50_000, where, 0)
    fits = Message(settings.topic_dead_letters, b"k", b"y", where, 0)
    publisher = KafkaPublisher(settings)
    await publisher.start()
    await publisher.publish([big, fits])
    await publisher.stop()
    shop = Shop(settings, None)  # type: ignore[arg-type]  # it asks Kafka only
    whole, cut = await shop.read(settings.topic_dead_letters)
    assert (whole.value, tuple(whole.headers)) == (b"y", where)
    assert (cut.key, cut.value) == (b"k", None)
    assert tuple(cut.headers) == (*where, ("omitted_bytes", b"50000"))
