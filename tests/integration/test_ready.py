"""Ready means it: an API whose broker or Redis dies or falls silent says so within seconds."""

from __future__ import annotations

import asyncio
import shutil
import signal
import time
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from stream_persona.kafka.broker_probe import any_broker_answers
from stream_persona.settings import Settings
from stream_persona.worker.startup import prepare
from tests.chaos.machines import Broker, Store
from tests.support.api import becomes_ready, calling
from tests.support.kafka_node import can_run_kafka
from tests.support.servers import require_no_real, settings_for
from tests.support.waiting import PATIENCE, eventually

#: Seconds after which a probe must say that a server is gone, and those in which it comes back.
SOON = 3.0
BACK = 40.0


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    if not can_run_kafka():
        require_no_real("Kafka that may be restarted: Java 17 and Maven")
        pytest.skip("needs a Kafka that it may restart")
    broker = Broker()
    broker.wait_until_ready()
    yield broker
    broker.close()


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    if shutil.which("redis-server") is None:
        pytest.skip("needs a Redis that it may pause")
    store = Store()
    yield store
    store.close()


@pytest.fixture
async def client(broker: Broker, store: Store) -> AsyncIterator[httpx.AsyncClient]:
    settings = settings_for(broker, store.url)
    await prepare(settings)
    async with calling(settings) as client:
        await becomes_ready(client)
        yield client


async def missing(client: httpx.AsyncClient) -> list[str]:
    """What is missing, in an answer that comes soon in any case."""
    began = time.monotonic()
    response = await client.get("/readyz")
    assert time.monotonic() - began < PATIENCE * SOON
    found: list[str] = response.json().get("missing", [])
    assert response.status_code == (503 if found else 200)
    return found


async def becomes(client: httpx.AsyncClient, seconds: float, *parts: str) -> None:
    async def is_so() -> bool:
        return set(parts) <= set(await missing(client)) if parts else not await missing(client)

    await eventually(is_so, seconds, lambda: f"it does not say {parts}")


@pytest.mark.faults
async def test_a_broker_that_dies_is_missing_until_it_is_back(
    client: httpx.AsyncClient, broker: Broker
) -> None:
    await asyncio.to_thread(broker.end, signal.SIGKILL)
    await becomes(client, SOON, "kafka")
    metrics = (await client.get("/metrics")).text
    assert 'stream_persona_api_ready{part="kafka"} 0.0' in metrics
    await asyncio.to_thread(broker.start_again)
    await becomes(client, BACK)


async def test_a_broker_that_falls_silent_is_missing_until_it_answers(
    client: httpx.AsyncClient, broker: Broker
) -> None:
    broker.pause()
    try:
        await becomes(client, SOON, "kafka")
    finally:
        broker.resume()
    await becomes(client, BACK)


async def test_a_redis_that_falls_silent_is_missing_until_it_answers(
    client: httpx.AsyncClient, store: Store
) -> None:
    store.pause()
    try:
        await becomes(client, SOON, "redis")
    finally:
        store.resume()
    await becomes(client, BACK)


async def test_one_broker_that_answers_is_enough(settings: Settings, broker: Broker) -> None:
    def at(brokers: str) -> Settings:
        return settings.model_copy(update={"brokers": brokers})

    assert await any_broker_answers(at(f"{settings.brokers},{broker.brokers}"), 1.0)
    broker.pause()
    try:
        assert await any_broker_answers(at(f"{broker.brokers}, {settings.brokers}"), 1.0)
        assert not await any_broker_answers(at(broker.brokers), 1.0)
    finally:
        broker.resume()
