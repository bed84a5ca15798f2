"""Forged reroutes on real servers: no shopper is deaf for them; and the ends that show it."""

from collections.abc import Callable

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions

from stream_persona.domain import record_codec
from stream_persona.domain.events import encode
from stream_persona.kafka.log_ends import LogEndFinder
from stream_persona.kafka.partitioner import find_home_partition
from stream_persona.settings import Settings
from tests.support.constants import RECENT as NOW
from tests.support.events import purchase
from tests.support.servers import Kafka
from tests.support.shop import Shop, WorkerProcess
from tests.support.waiting import eventually


async def forge(settings: Settings, *offsets: int, partition: int = 0) -> None:
    """Send reroutes of purchases that nobody has sent, to their customer's home."""
    home = find_home_partition("c", settings.partitions)
    async with AIOKafkaProducer(bootstrap_servers=settings.brokers) as producer:
        for offset in offsets:
            headers = [
                ("topic", settings.topic_purchases.encode()), ("partition", b"%d" % partition),
                ("offset", b"%d" % offset), ("timestamp", b"%d" % NOW),
            ]  # fmt: skip
            value = encode(purchase(f"forged-{offset}"))
            await producer.send_and_wait(
                settings.topic_reroutes, value, b"c", home, headers=headers
            )


async def test_a_forged_offset_is_a_dead_letter_and_the_shoppers_events_count(
    shop: Shop, start_worker: Callable[[], WorkerProcess]
) -> None:
    home = find_home_partition("c", shop.settings.partitions)
    await forge(shop.settings, 1 << 61, 1_000, partition=home)
    await forge(shop.settings, 0, partition=9_999)
    worker = start_worker()
    await shop.produce(*(purchase(f"e{n}", NOW + n) for n in range(5)))
    elsewhere = (home + 1) % shop.settings.partitions
    await shop.produce(*(purchase(f"r{n}", NOW + n) for n in range(5)), partition=elsewhere)
    await shop.at_rest()
    letters = await shop.read(shop.settings.topic_dead_letters)
    assert {dict(letter.headers)["reason"] for letter in letters} == {b"invalid_field"}
    assert len(letters) == 3
    mark, oracle = shop.taxonomy.fingerprint, await shop.oracle()
    assert await shop.folded() == {"c": record_codec.encode_folded(oracle["c"], mark)}
    assert sorted(oracle["c"].positions.values()) == [5, 5]
    assert worker.process.poll() is None


async def test_ends_are_found_of_partitions_that_exist_and_of_those_that_come_later(
    declared_topics: Settings, real_kafka: Kafka
) -> None:
    topic, own = declared_topics.topic_browses, declared_topics.partitions
    first, later = TopicPartition(topic, 0), TopicPartition(topic, own)
    finder = LogEndFinder(declared_topics)
    async with AIOKafkaProducer(bootstrap_servers=real_kafka.brokers) as producer:
        assert await finder.find([first, later]) == {first: 0}
        await producer.send_and_wait(topic, b"1", partition=0)
        assert await finder.find([first, TopicPartition(topic, 60_000)]) == {first: 1}
        admin = AIOKafkaAdminClient(bootstrap_servers=real_kafka.brokers)
        await admin.start()
        await admin.create_partitions({topic: NewPartitions(own + 1)})
        await admin.close()

        async def is_found() -> bool:
            return await finder.find([later]) == {later: 0}

        await eventually(is_found, 20, "the new partition is not found")
    await finder.close()
