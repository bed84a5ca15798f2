"""What is compressed by any codec that Kafka has is read by every reader there is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from itertools import cycle, islice
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition

from stream_persona.api.customer_log import Tail
from stream_persona.api.refill import read_newest
from stream_persona.client import AsyncPersonaClient, PersonaClient
from stream_persona.domain import record_codec, taxonomy
from stream_persona.domain.events import PURCHASE, encode
from stream_persona.kafka.log_reader import KafkaEventLog
from stream_persona.kafka.range_reader import RangeReader
from stream_persona.pipeline.process import Delivery, LateDeletion
from stream_persona.replay.topics import Range, Topics
from stream_persona.settings import Settings
from stream_persona.worker.startup import prepare
from tests.support.api import becomes_ready, calling
from tests.support.clients import encode_change
from tests.support.constants import RECENT as NOW
from tests.support.events import browse, engagement, purchase
from tests.support.servers import Kafka, client_of, declare_topics
from tests.support.shop import Shop, WorkerProcess

CODECS = (None, "gzip", "snappy", "lz4", "zstd")
#: Events of each customer: they make up one batch.
EACH = 4


def customer_of(codec: str | None) -> str:
    return f"by-{codec}"


CUSTOMERS = {customer_of(codec) for codec in CODECS}


async def send_by_all(settings: Settings, topic: str, value_of: Callable[[str, int], bytes]) -> int:
    """Send a batch by each codec, of a customer of its own; return how many messages these are."""
    for codec in CODECS:
        name = customer_of(codec)
        async with AIOKafkaProducer(
            bootstrap_servers=settings.brokers, compression_type=codec, linger_ms=50
        ) as producer:
            sent = [
                await producer.send(topic, value_of(name, n), name.encode()) for n in range(EACH)
            ]
            await asyncio.gather(*sent)
    return len(CODECS) * EACH


def bought(name: str, number: int) -> bytes:
    return encode(purchase(f"{name}-{number}", NOW + number, name))


def changed(name: str, number: int) -> bytes:
    return encode_change(name, number + 1)


@pytest.fixture
async def compressed(declared_topics: Settings) -> Settings:
    """A deployment whose purchases were sent by all codecs."""
    await send_by_all(declared_topics, declared_topics.topic_purchases, bought)
    return declared_topics


def purchases(settings: Settings) -> list[TopicPartition]:
    return [TopicPartition(settings.topic_purchases, p) for p in range(settings.partitions)]


# --- what producers compress ---


async def test_ranges_are_read(compressed: Settings) -> None:
    async with RangeReader(compressed, patience=20) as reader:
        reader.begin(await reader.load_bounds(purchases(compressed)))
        found = [record async for batch in reader.read() for record in batch]
    assert sorted(record.value for record in found) == sorted(
        bought(name, number) for name in CUSTOMERS for number in range(EACH)
    )


async def test_a_customers_newest_messages_are_found(compressed: Settings) -> None:
    tail = Tail(compressed)
    try:
        for name in CUSTOMERS:
            found = await tail.find(name)
            assert [each.value for each in found.events] == [bought(name, n) for n in range(EACH)]
    finally:
        await tail.close()


async def test_topics_are_replayed(compressed: Settings) -> None:
    loaded = taxonomy.load(compressed.taxonomy)
    async with Topics([PURCHASE], Range(), compressed, loaded) as topics:
        found = [each for chunk in [c async for c in topics.read_chunks()] for each in chunk]
    assert all(isinstance(each, Delivery) for each in found)
    assert {each.event.customer_id for each in found if isinstance(each, Delivery)} == CUSTOMERS
    assert len(found) == EACH * len(CODECS)


async def test_older_events_are_read_again_for_a_late_deletion(
    real_kafka: Kafka, compressed: Settings
) -> None:
    """The embedded broker does not look offsets up by time."""
    assert real_kafka.brokers == compressed.brokers
    history = KafkaEventLog(compressed, taxonomy.load(compressed.taxonomy))
    async with RangeReader(compressed, patience=20) as reader:
        held = await reader.load_bounds(purchases(compressed))
    positions = {PURCHASE << 16 | tp.partition: offsets.stop for tp, offsets in held.items()}
    wanted = {name: LateDeletion(0, positions) for name in CUSTOMERS}
    found = await history.read(wanted)
    assert {name: len(each) for name, each in found.items()} == dict.fromkeys(CUSTOMERS, EACH)


async def test_the_newest_changes_are_read_for_listeners(declared_topics: Settings) -> None:
    number = await send_by_all(declared_topics, declared_topics.topic_changes, changed)
    found = await read_newest(declared_topics, 1_000)
    assert len(found) == number
    assert {(record.key or b"").decode() for _, record in found} == CUSTOMERS


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_changes_are_watched(declared_topics: Settings, kind: str) -> None:
    settings = declared_topics
    number = await send_by_all(settings, settings.topic_changes, changed)
    await check_watched(settings, kind, number)


async def check_watched(settings: Settings, kind: str, number: int) -> None:
    """So many changes, at least, are watched, and those of every customer among them."""
    brokers, topic = settings.brokers, settings.topic_changes
    if kind == "sync":
        with PersonaClient() as client:
            seen = client.watch(brokers, topic, from_beginning=True)
            found = await asyncio.to_thread(lambda: list(islice(seen, number)))
            await asyncio.to_thread(seen.close)
    else:
        found = []
        async with AsyncPersonaClient() as other:
            async for change in other.watch(brokers, topic, from_beginning=True):
                found.append(change)
                if len(found) == number:
                    break
    assert {change.customer_id for change in found} == CUSTOMERS


async def test_a_worker_applies_all_of_it(
    shop: Shop, start_worker: Callable[[], WorkerProcess]
) -> None:
    worker = start_worker()
    await send_by_all(shop.settings, shop.settings.topic_purchases, bought)
    await shop.at_rest()
    await check_applied(shop)
    assert worker.process.poll() is None


async def check_applied(shop: Shop) -> None:
    mark, oracle = shop.taxonomy.fingerprint, await shop.oracle()
    assert await shop.folded() == {
        name: record_codec.encode_folded(record, mark) for name, record in oracle.items()
    }
    assert oracle.keys() == CUSTOMERS
    assert await shop.read(shop.settings.topic_dead_letters) == []


# --- what topics compress ---


@pytest.fixture
async def zipped(real_kafka: Kafka, settings: Settings) -> AsyncIterator[Shop]:
    """A deployment whose topics compress, each by the next codec."""
    topics = [
        *settings.input_topics, settings.topic_reroutes, settings.topic_changes,
        settings.topic_dead_letters,
    ]  # fmt: skip
    for topic, codec in zip(topics, cycle(["lz4", "zstd", "snappy"]), strict=False):
        policy = "compact" if topic == settings.topic_changes else "delete"
        config = {
            "compression.type": codec,
            "cleanup.policy": policy,
            "message.timestamp.type": "LogAppendTime",
        }
        await declare_topics(real_kafka, [topic], settings.partitions, config)
    await prepare(settings)
    async with client_of(settings.redis_url) as redis:
        yield Shop(settings, redis)


@pytest.mark.faults
async def test_topics_that_compress_are_read_by_workers_the_api_and_watchers(
    zipped: Shop, tmp_path: Path
) -> None:
    settings = zipped.settings
    worker = WorkerProcess(settings, tmp_path / "worker.log")
    try:
        for name in sorted(CUSTOMERS):
            await zipped.produce(
                purchase(f"p-{name}", NOW, name), browse(f"b-{name}", NOW, name),
                engagement(f"e-{name}", NOW, name),
            )  # fmt: skip
            await zipped.produce(purchase(f"r-{name}", NOW + 1, name), partition=0)
        await zipped.at_rest()
        await check_applied(zipped)
        assert worker.process.poll() is None
    finally:
        worker.stop()
    assert await zipped.size(settings.topic_reroutes)
    newest = await read_newest(settings, 1_000)
    assert {(record.key or b"").decode() for _, record in newest} == CUSTOMERS
    changes = {record.value for record in await zipped.read(settings.topic_changes)}
    await check_watched(settings, "async", len(changes))
    async with calling(settings) as client:
        await becomes_ready(client)
        for name in CUSTOMERS:
            response = await client.get(f"/v1/customers/{name}/activity")
            listed = {event["event_id"] for event in response.json()["events"]}
            assert listed == {f"{kind}-{name}" for kind in "pber"}
