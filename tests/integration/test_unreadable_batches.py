"""Batches as no library of ours writes them: read where brokers take them, else a sentence."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition

from stream_persona.client import AsyncPersonaClient
from stream_persona.domain import taxonomy
from stream_persona.domain.events import PURCHASE, encode
from stream_persona.errors import UnavailableError
from stream_persona.kafka.range_reader import RangeReader
from stream_persona.replay.run import BackfillRequest, backfill
from stream_persona.settings import Settings
from tests.support.api import becomes_ready, calling
from tests.support.batches import changing
from tests.support.constants import RECENT as NOW
from tests.support.events import purchase
from tests.support.faulty_deployment import FaultyDeployment, faulty_deployment
from tests.support.servers import Kafka, Redis, client_of, settings_for
from tests.support.shop import Shop


@pytest.fixture
async def deployment(
    real_kafka: Kafka, redis_server: Redis, tmp_path: Path
) -> AsyncIterator[FaultyDeployment]:
    settings = settings_for(real_kafka, redis_server.url, retry_seconds=20.0)
    async with (
        client_of(settings.redis_url) as redis,
        faulty_deployment(settings, redis, tmp_path) as deployment,
    ):
        yield deployment


@pytest.fixture
def shop(deployment: FaultyDeployment) -> Shop:
    return deployment.shop


async def send_with_odd_header(settings: Settings, topic: str, *values: bytes) -> None:
    """Send messages with a header whose name is not UTF-8, as librdkafka would."""
    async with AIOKafkaProducer(bootstrap_servers=settings.brokers) as producer:
        batch = producer.create_batch()
        for value in values:
            batch.append(key=b"c", value=value, timestamp=None, headers=[("odd", b"\xff")])
        odd = changing(batch, lambda built: built.replace(b"odd", b"\xff\xfe\xfd"))
        await (await producer.send_batch(odd, topic, partition=2))


async def test_a_worker_reads_messages_whose_headers_are_named_by_no_text(
    deployment: FaultyDeployment, shop: Shop
) -> None:
    settings = shop.settings
    for topic in (*settings.input_topics, settings.topic_reroutes):
        await send_with_odd_header(settings, topic, b"?", b"{}", b"[]")
    bought = [encode(purchase(f"e{n}", NOW + n)) for n in range(3)]
    await send_with_odd_header(settings, settings.topic_purchases, *bought)
    worker = deployment.start()
    await shop.at_rest()
    assert worker.is_running()
    letters = await shop.read(settings.topic_dead_letters)
    assert sorted(each.value for each in letters) == sorted([b"?", b"{}", b"[]"] * 6)
    assert (await shop.public("c") or {})["revision"]


def damage(kafka: Kafka, tp: TopicPartition, text: bytes) -> None:
    """Change a text in a partition's log on the disk of its broker, as a bad disk would."""
    log = getattr(kafka, "log", None)
    if log is None:
        pytest.skip("needs a broker whose files it may change")
    (segment,) = (Path(log).parent / "logs" / f"{tp.topic}-{tp.partition}").glob("*.log")
    content = segment.read_bytes()
    assert text in content
    with segment.open("r+b") as file:
        file.seek(content.index(text))
        file.write(text.swapcase())


@pytest.mark.faults
async def test_a_damaged_batch_is_a_sentence_to_every_reader_and_ends_workers(
    deployment: FaultyDeployment, shop: Shop, real_kafka: Kafka
) -> None:
    settings = shop.settings
    worker = await deployment.worker()
    await deployment.stop()
    await shop.produce(purchase("good", NOW, "c"))
    await shop.produce(purchase("damaged", NOW, "c"))
    await shop.produce(purchase("behind", NOW, "c"))
    (tp,) = {
        TopicPartition(record.topic, record.partition)
        for record in await shop.read(settings.topic_purchases)
        if b"damaged" in record.value
    }
    damage(real_kafka, tp, b"damaged")
    sentence = f"{tp.topic}/{tp.partition} cannot be read from offset"

    worker = deployment.start()
    await worker.ends(sentence)
    again = deployment.start()
    await again.ends(sentence)

    async with RangeReader(settings, patience=20) as reader:
        reader.begin(await reader.load_bounds([tp]))
        with pytest.raises(UnavailableError, match=sentence):
            _ = [batch async for batch in reader.read()]
    with pytest.raises(UnavailableError, match=sentence):
        await backfill(
            settings, taxonomy.load(settings.taxonomy), BackfillRequest(kinds=[PURCHASE])
        )


@pytest.mark.faults
async def test_changes_in_a_damaged_batch_are_no_silence_to_the_api_and_watchers(
    deployment: FaultyDeployment, shop: Shop, real_kafka: Kafka
) -> None:
    settings = shop.settings
    await deployment.worker()
    await shop.produce(purchase("e1", NOW, "shopper"))
    await shop.at_rest()
    changes = await shop.read(settings.topic_changes)
    last = [record for record in changes if record.key == b"shopper"][-1]
    tp = TopicPartition(last.topic, last.partition)
    damage(real_kafka, tp, last.value[2:40])
    async with calling(settings) as client:
        await becomes_ready(client)
        response = await client.get("/v1/customers/shopper/activity")
        assert response.status_code == 503
        assert response.json()["message"].startswith("Kafka did not answer in time")
    async with AsyncPersonaClient(settings.redis_url) as watching:
        with pytest.raises(Exception, match="CRC"):
            async for _ in watching.watch(
                settings.brokers, settings.topic_changes, from_beginning=True
            ):
                pass


@pytest.mark.faults
async def test_a_codec_whose_library_is_missing_ends_the_worker_in_a_sentence(
    deployment: FaultyDeployment, shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = shop.settings
    async with AIOKafkaProducer(
        bootstrap_servers=settings.brokers, compression_type="zstd"
    ) as producer:
        await producer.send_and_wait(settings.topic_purchases, encode(purchase("e" * 200)), b"c")
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['cramjam'] = None\n")
    own = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("PYTHONPATH", own)
    worker = deployment.start()
    await worker.ends("zstd compression codec not found; install aiokafka with its extras")
