"""Ranges of offsets are read once and to their ends, whatever lies or is missing in them."""

import time
import uuid
from collections.abc import AsyncIterator, Iterable

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from stream_persona.errors import UnavailableError
from stream_persona.kafka.range_reader import RangeReader
from stream_persona.settings import Settings
from tests.support.servers import Kafka
from tests.support.waiting import eventually


@pytest.fixture
def partitions(declared_topics: Settings) -> list[TopicPartition]:
    return [TopicPartition(declared_topics.topic_browses, number) for number in range(3)]


@pytest.fixture
async def reader(declared_topics: Settings) -> AsyncIterator[RangeReader]:
    async with RangeReader(declared_topics, patience=20, chunk=10) as reader:
        yield reader


async def produce(settings: Settings, partitions: Iterable[TopicPartition], count: int) -> None:
    """So many messages to each partition; their values are their offsets in an empty one."""
    async with AIOKafkaProducer(bootstrap_servers=settings.brokers) as producer:
        for tp in partitions:
            for number in range(count):
                await producer.send(tp.topic, b"%d" % number, partition=tp.partition)


async def read_all(reader: RangeReader, *wanted: TopicPartition) -> dict[TopicPartition, list[int]]:
    """The offsets that come, by partition."""
    found: dict[TopicPartition, list[int]] = {}
    async for batch in reader.read(*wanted):
        (at,) = {TopicPartition(record.topic, record.partition) for record in batch}
        found.setdefault(at, []).extend(record.offset for record in batch)
        assert len(batch) <= 10
    return found


async def test_each_range_is_read_to_its_end_in_the_order_of_its_offsets(
    reader: RangeReader, partitions: list[TopicPartition], declared_topics: Settings
) -> None:
    await produce(declared_topics, partitions, 40)
    one, two, three = partitions
    assert await reader.load_bounds(partitions) == dict.fromkeys(partitions, range(40))
    reader.begin({one: range(5, 35), two: range(40), three: range(7, 7)})
    assert await read_all(reader) == {one: [*range(5, 35)], two: [*range(40)]}
    assert not reader.unread


async def test_ranges_may_be_read_one_by_one_and_begun_again(
    reader: RangeReader, partitions: list[TopicPartition], declared_topics: Settings
) -> None:
    await produce(declared_topics, partitions, 20)
    one, two, _ = partitions
    for _ in range(2):
        reader.begin({one: range(10), two: range(20)})
        assert await read_all(reader, two) == {two: [*range(20)]}
        assert reader.unread == {one: range(10)}
        assert await read_all(reader, one, two) == {one: [*range(10)]}


async def test_what_is_given_up_is_read_from_where_it_was_given_up(
    reader: RangeReader, partitions: list[TopicPartition], declared_topics: Settings
) -> None:
    await produce(declared_topics, partitions, 40)
    one = partitions[0]
    reader.begin({one: range(40)})
    async for batch in reader.read():
        assert [record.offset for record in batch] == [*range(10)]
        break
    left = dict(reader.unread)
    assert left == {one: range(10, 40)}
    reader.stop_fetching()
    assert not reader.unread
    reader.begin(left)
    assert await read_all(reader) == {one: [*range(10, 40)]}


async def test_aborted_messages_are_left_out_and_the_ends_of_transactions_passed(
    real_kafka: Kafka,
    reader: RangeReader,
    partitions: list[TopicPartition],
    declared_topics: Settings,
) -> None:
    assert real_kafka.brokers == declared_topics.brokers
    one = partitions[0]
    async with AIOKafkaProducer(
        bootstrap_servers=declared_topics.brokers, transactional_id=uuid.uuid4().hex
    ) as producer:
        for end in (producer.commit_transaction, producer.abort_transaction) * 2:
            await producer.begin_transaction()
            for _ in range(3):
                await producer.send(one.topic, b"x", partition=one.partition)
            await end()
    held = await reader.load_bounds([one])
    assert held == {one: range(16)}  # three messages and a marker, four times
    reader.begin(held)
    assert await read_all(reader) == {one: [0, 1, 2, 8, 9, 10]}


async def test_times_of_arrival_are_resolved_to_offsets_where_there_are_any(
    reader: RangeReader, partitions: list[TopicPartition], declared_topics: Settings
) -> None:
    one, two, _ = partitions
    await produce(declared_topics, [one], 3)
    assert await reader.find_offsets_at(0, [one, two]) == {one: 0}
    assert await reader.find_offsets_at(1 << 45, [one, two]) == {}


async def test_a_range_that_gives_nothing_more_is_an_error_after_the_patience(
    partitions: list[TopicPartition], declared_topics: Settings
) -> None:
    await produce(declared_topics, partitions, 3)
    async with RangeReader(declared_topics, patience=0.5) as reader:
        reader.begin({partitions[0]: range(5)})
        with pytest.raises(UnavailableError, match=r"browses.*/0 gave nothing more for 0\.5 s"):
            await read_all(reader)
        assert reader.unread == {partitions[0]: range(3, 5)}


async def test_a_caller_that_takes_its_time_is_no_lack_of_messages(
    partitions: list[TopicPartition], declared_topics: Settings
) -> None:
    await produce(declared_topics, partitions[:1], 20)
    async with RangeReader(declared_topics, patience=0.3, chunk=10) as reader:
        reader.begin({partitions[0]: range(20)})
        seen = 0
        async for batch in reader.read():
            seen += len(batch)
            later = time.monotonic() + 0.4
            await eventually(lambda later=later: time.monotonic() > later, 5)
        assert seen == 20


async def test_a_position_that_the_log_does_not_have_is_an_error(
    real_kafka: Kafka, partitions: list[TopicPartition], declared_topics: Settings
) -> None:
    assert real_kafka.brokers == declared_topics.brokers
    await produce(declared_topics, partitions[:1], 3)
    async with RangeReader(declared_topics, patience=20) as strict:
        strict.begin({partitions[0]: range(50, 60)})
        with pytest.raises(OffsetOutOfRangeError):
            await read_all(strict)
