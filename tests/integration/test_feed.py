import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.partitioner import murmur2

from stream_persona.demo.feeder import Feeder
from stream_persona.demo.simulation import simulate
from stream_persona.demo.simulator import Simulator
from stream_persona.domain.events import BROWSE, PURCHASE, Browse, Item, Purchase
from stream_persona.domain.taxonomy import load
from stream_persona.errors import UnavailableError
from stream_persona.settings import Settings
from tests.support.waiting import eventually, patience

NOTE = "x" * 1_000


def purchase(number: int) -> Purchase:
    items = (Item("P-1", attributes={"note": NOTE}),)
    return Purchase(f"E-{number}", f"C-{number % 50}", 1_500_000_000_000 + number, items)


@asynccontextmanager
async def consumer_of(settings: Settings, topic: str) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=settings.brokers,
        group_id=settings.group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    async with consumer:
        yield consumer


async def test_an_event_goes_to_its_topic_and_its_customers_home(declared_topics: Settings) -> None:
    settings = declared_topics
    async with Feeder(settings) as feeder:
        await feeder.send(PURCHASE, purchase(1))
        await feeder.send(BROWSE, Browse("E-2", "C-1", 1_500_000_000_000, "view"))
        assert feeder.produced == [1, 1, 0, 0, 0]
    async with consumer_of(settings, settings.topic_browses) as consumer:
        record = await asyncio.wait_for(consumer.getone(), patience(30))
    assert record.key == b"C-1"
    assert record.partition == (murmur2(b"C-1") & 0x7FFFFFFF) % settings.partitions


async def test_the_feeder_waits_for_workers_that_are_behind(declared_topics: Settings) -> None:
    settings, limit = declared_topics, 300_000
    async with Feeder(settings, limit=limit) as feeder:

        async def feed() -> None:
            for number in range(4_000):
                await feeder.send(PURCHASE, purchase(number))
            await feeder.drain()

        feeding = asyncio.create_task(feed())
        await eventually(lambda: feeder.is_waiting, 30)
        sent, seen, most = sum(feeder.produced), 0, 0
        async with consumer_of(settings, settings.topic_purchases) as consumer:
            while not feeding.done():
                batch = await consumer.getmany(timeout_ms=200, max_records=500)
                seen += sum(map(len, batch.values()))
                most = max(most, feeder.backlog.largest)
                await consumer.commit()
        await feeding
    assert sent < 4_000
    assert (seen, feeder.backlog.consumed, feeder.backlog.events) == (4_000, 4_000, 0)
    assert most <= limit + 512 * 1024
    assert feeder.waited_seconds > 0


async def test_a_feeder_without_a_limit_waits_for_no_worker(declared_topics: Settings) -> None:
    async with Feeder(declared_topics) as feeder:
        for number in range(1_000):
            await feeder.send(PURCHASE, purchase(number))
    assert (feeder.produced[PURCHASE], feeder.waited_seconds) == (1_000, 0.0)


async def test_a_feeder_that_is_left_waits_for_no_worker(declared_topics: Settings) -> None:
    async with asyncio.timeout(patience(30)), Feeder(declared_topics, limit=0) as feeder:
        await feeder.send(PURCHASE, purchase(1))
    assert feeder.produced[PURCHASE] == 1


async def test_an_absent_broker_is_named(settings: Settings) -> None:
    nowhere = settings.model_copy(update={"brokers": "127.0.0.1:1"})
    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:1"):
        async with Feeder(nowhere):
            pass


async def test_simulated_shoppers_are_produced_until_the_count(declared_topics: Settings) -> None:
    simulator = Simulator(load(None), shoppers=5)
    batches = simulate(declared_topics, simulator, rate=2_000, count=100)
    assert sum([number async for number in batches]) == 100


async def test_simulated_shoppers_keep_to_their_rate(declared_topics: Settings) -> None:
    batches = simulate(declared_topics, Simulator(load(None)), rate=100, seconds=1.0)
    assert 0 < sum([number async for number in batches]) <= 150
