"""Other tools' topics on real servers: as exact as our own, whatever is read again and why."""

import json
import random
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from redis.asyncio import Redis

from stream_persona.domain import record_codec
from stream_persona.domain.events import Deletion
from stream_persona.settings import Settings
from tests.support.api import becomes_ready, calling
from tests.support.constants import DAY
from tests.support.constants import RECENT as NOW
from tests.support.events import purchase
from tests.support.servers import (
    PARTITIONS,
    Kafka,
    create_topics,
    declare_topics,
    settings_for,
)
from tests.support.servers import Redis as RedisServer
from tests.support.shop import Shop, WorkerProcess
from tests.support.sources import SEGMENT, TOPIC, order, search
from tests.support.waiting import eventually

CUSTOMERS = [f"u{number}" for number in range(30)]
CATEGORIES = ("baby/diapers", "pets/dog", "tools", "electronics/audio")


@pytest.fixture
async def settings(kafka: Kafka, redis_server: RedisServer, tmp_path: Path) -> Settings:
    """Settings with a source whose topic has a number of partitions of its own.

    Nothing is known of when deletions arrive: one of long ago leaves what happened since.
    """
    path, own = tmp_path / "sources.toml", settings_for(kafka, redis_server.url)
    topic = f"{own.group}-events"
    path.write_text(SEGMENT.replace(TOPIC, topic))
    await declare_topics(kafka, [topic], PARTITIONS if kafka.kind == "embedded" else 3)
    if kafka.kind != "embedded":
        undated = {"message.timestamp.type": "CreateTime"}
        await create_topics(kafka.brokers, [own.topic_deletions], own.partitions, undated)
    return own.model_copy(update={"sources": path})


def story(seed: int, number: int) -> list[bytes]:
    """Messages of one to four calls of any customers, partly of the next hours."""
    rng, made = random.Random(seed), []
    for n in range(number):
        calls: list[dict[str, Any]] = []
        for place in range(rng.randint(1, 4)):
            who, at = rng.choice(CUSTOMERS), NOW - rng.randrange(20) * DAY
            name, category = f"{seed}-{n}-{place}", CATEGORIES[int(who[1:]) % 4]
            calls.append(
                order(name, who, category, at) if rng.random() < 0.6
                else search(name, who, category, at)
            )  # fmt: skip
        made.append(json.dumps(calls[0] if len(calls) == 1 else {"batch": calls}).encode())
    return made


async def produce(shop: Shop, *messages: bytes) -> None:
    """Send messages to the source, of keys that are no customers'."""
    topic = f"{shop.settings.group}-events"
    await shop.produce_raw([(topic, f"k{n}", value) for n, value in enumerate(messages)])


async def expected(shop: Shop) -> dict[str, bytes]:
    mark = shop.taxonomy.fingerprint
    return {
        name: record_codec.encode_folded(record, mark)
        for name, record in (await shop.oracle()).items()
        if not record.is_marker
    }


async def test_a_segment_topic_is_as_exact_as_our_own_and_predicts(
    shop: Shop, start_worker: Callable[[], WorkerProcess]
) -> None:
    first = start_worker()
    parents = [order(f"p{n}", "CUST-04812", "baby/diapers", NOW - n) for n in range(6)]
    await produce(shop, *story(1, 200), json.dumps({"batch": parents}).encode(), b"{no json")
    await shop.produce(*(purchase(f"own{n}", NOW, name) for n, name in enumerate(CUSTOMERS)))
    await eventually(lambda: shop.keys("persona-state:*"), 30, "the worker does nothing")
    first.stop(signal.SIGKILL)
    start_worker()
    await produce(shop, *story(2, 100))
    await shop.at_rest()
    # What happened since is left, and folded again from the reroutes.
    await shop.produce(*(Deletion(f"d-{n}", n, NOW - 10 * DAY) for n in CUSTOMERS[:5]))
    await shop.at_rest()

    assert await shop.folded() == await expected(shop)
    async with calling(shop.settings) as client:
        await becomes_ready(client)
        query = {"where": {"customer_id": "CUST-04812"}}
        (likeliest, *_) = (await client.post("/api/v1/_predict", json=query)).json()["hits"]
        assert likeliest["persona"] == "parent_of_young_kids"
    letters = await shop.read(shop.settings.topic_dead_letters)  # one that was killed sends again
    assert {letter.value for letter in letters} == {b"{no json"}


async def test_a_file_of_documents_counts_once_as_its_topic_would(
    shop: Shop, start_worker: Callable[[], WorkerProcess], tmp_path: Path
) -> None:
    rows = story(5, 60)
    (path := tmp_path / "documents.jsonl").write_bytes(b"\n".join(rows))
    topic = f"{shop.settings.group}-events"
    command = ("ingest", str(path), "--source", topic, "--json")
    facts = orjson.loads(await shop.run(*command))
    assert (facts["confirmed"], facts["unreadable"]) == (60, {})
    again = orjson.loads(await shop.run(*command))
    assert (again["sent"], again["already_ingested"]) == (0, sum(facts["events"].values()))

    start_worker()
    await shop.at_rest()
    assert {message.value for message in await shop.read(topic)} == {*rows}
    assert await shop.folded() == await expected(shop) != {}
    assert not await shop.read(shop.settings.topic_dead_letters)


async def test_a_lost_redis_is_folded_again_as_it_was_mapped_and_a_new_one_by_todays_mapping(
    shop: Shop, start_worker: Callable[[], WorkerProcess], clear: Callable[[str], Awaitable[None]]
) -> None:
    worker = start_worker()
    await produce(shop, *story(3, 150))
    await shop.at_rest()
    before = await shop.folded()
    worker.stop()
    await clear(shop.settings.prefix)
    await shop.run("rebuild", "--json")
    assert await shop.folded() == before

    other = shop.settings.group + "-b"
    shop.settings = shop.settings.model_copy(update={"group": other, "prefix": f"{other}:"})
    summary = orjson.loads(await shop.run("replay", "--json"))
    assert summary["unreadable"] == {}
    assert await shop.folded() == before
    start_worker()
    await shop.at_rest()
    assert await shop.folded() == before


@pytest.fixture
def clear(redis_server: RedisServer) -> Callable[[str], Awaitable[None]]:
    """Deletes everything under a prefix."""

    async def clear_all(prefix: str) -> None:
        async with Redis.from_url(redis_server.url) as redis:
            async for key in redis.scan_iter(f"{prefix}*", count=1_000):
                await redis.delete(key)

    return clear_all


async def test_a_source_whose_topic_is_not_there_ends_a_worker_with_a_sentence(
    shop: Shop, start_worker: Callable[[], WorkerProcess], tmp_path: Path
) -> None:
    path = tmp_path / "missing.toml"
    path.write_text(SEGMENT.replace(TOPIC, "nobody-has-this"))
    shop.settings = shop.settings.model_copy(update={"sources": path})
    worker = start_worker()
    await eventually(lambda: worker.process.poll() is not None, 30)
    assert worker.process.poll() == 2
    assert b"topic nobody-has-this of STREAM_PERSONA_SOURCES does not exist" in (
        worker.log.read_bytes()
    )
