"""What the dashboard draws of workers and of what waits, on a real Kafka and a real Redis."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from redis.asyncio import Redis

from stream_persona.api.dashboard import workers
from stream_persona.api.dashboard.lag import LagMonitor
from stream_persona.demo.embedded import PARTITIONS, EmbeddedBroker
from stream_persona.domain.events import (
    Assignment,
    encode,
)
from stream_persona.settings import Settings
from stream_persona.worker.startup import prepare
from tests.support.api import (
    NOW,
    calling,
)
from tests.support.dashboard import ask, becomes, has_findings, searches
from tests.support.servers import Kafka, client_of
from tests.support.shop import Shop, WorkerProcess
from tests.support.waiting import eventually

pytestmark = pytest.mark.usefixtures("quick_refreshes")


@pytest.fixture
async def shop(settings: Settings) -> AsyncIterator[Shop]:
    await prepare(settings)
    async with client_of(settings.redis_url) as redis:
        yield Shop(settings, redis)


@pytest.fixture
def worker(shop: Shop, tmp_path: Path) -> Iterator[WorkerProcess]:
    process = WorkerProcess(shop.settings, tmp_path / "worker.log")
    yield process
    process.stop(signal.SIGKILL)


async def test_a_worker_is_listed_and_nothing_waits_at_rest(
    shop: Shop, worker: WorkerProcess
) -> None:
    labels = [Assignment(f"a{n}", f"c{n}", NOW, "student") for n in range(7)]
    await shop.produce(*searches(300), *labels)
    async with calling(shop.settings) as client:
        await becomes(client, 60, workers=1, shoppers=7, assigned=7, lag_events=0)
        await shop.produce(*searches(200, first=300))

        async def counted() -> bool:
            return bool((await ask(client, "/v1/overview"))["events_per_second"])

        await eventually(counted, 20, "no events are counted")
        found = await becomes(client, 20, lag_events=0, lag_seconds=0.0, troubles=[])
        assert found["change_p99_ms"] > 0
        model = await ask(client, "/v1/model")
        (only,) = model["workers"]
        assert (only["partitions"], only["at"] > only["started_at"]) == (8, True)
        assert [each["name"] for each in model["models"]] == ["current"]
        assert model["models"][0]["trials"] == sum(map(sum, model["confusion"]["counts"])) == 7


@pytest.mark.faults
async def test_a_stream_that_stands_still_is_a_finding_until_it_goes_on(
    shop: Shop, worker: WorkerProcess, short_limits: None
) -> None:
    await shop.produce(*searches(10))
    async with calling(shop.settings) as client:
        await becomes(client, 60, workers=1, lag_events=0, troubles=[])
        worker.process.send_signal(signal.SIGSTOP)
        await shop.produce(*searches(40))
        found = await becomes(client, lag_events=40)
        assert found["troubles"] == []
        (sentence,) = await has_findings(client, "stream")
        assert sentence.startswith("The stream stands still: 40 events wait and none was worked")
        assert (await ask(client, "/v1/overview"))["lag_seconds"] >= 2
        sentences = await has_findings(client, "workers", "stream")
        assert "No worker has reported for 8 s: personas don't move." in sentences
        assert (await ask(client, "/v1/overview"))["workers"] == 0
        worker.process.send_signal(signal.SIGCONT)
        await has_findings(client)
        await becomes(client, workers=1, lag_events=0, lag_seconds=0.0)


async def test_the_markers_that_transactions_leave_in_topics_do_not_wait_for_a_worker(
    shop: Shop, worker: WorkerProcess, real_kafka: Kafka
) -> None:
    settings = shop.settings
    async with AIOKafkaProducer(
        bootstrap_servers=settings.brokers, transactional_id=f"{settings.group}-shop"
    ) as producer:
        for event in searches(20):
            async with producer.transaction():
                await producer.send(
                    settings.topic_browses, encode(event), event.customer_id.encode()
                )
    async with calling(settings) as client:
        await becomes(client, 60, shoppers=7, lag_events=0)


async def test_an_event_of_a_transaction_that_has_not_ended_waits_for_no_worker(
    shop: Shop, real_kafka: Kafka
) -> None:
    settings = shop.settings
    async with (
        calling(settings) as client,
        AIOKafkaProducer(
            bootstrap_servers=settings.brokers, transactional_id=f"{settings.group}-shop"
        ) as producer,
    ):
        await becomes(client, lag_events=0)
        async with producer.transaction():
            for event in searches(5):
                value = encode(event)
                await producer.send_and_wait(settings.topic_browses, value, b"c")
            await shop.produce(*searches(3), partition=0)
            await becomes(client, lag_events=3)


async def test_silent_workers_are_a_finding(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream_persona.api.dashboard.health.ALIVE", 3.0)
    assert workers.ALIVE == 15.0
    async with calling(settings) as client:
        assert await has_findings(client) == []
        (sentence,) = await has_findings(client, "workers")
        assert sentence == "No worker has reported for 3 s: personas don't move."


async def test_a_topic_that_does_not_exist_is_not_created_by_measuring_the_lag(
    settings: Settings, real_kafka: Kafka
) -> None:
    async with calling(settings) as client:
        await becomes(client, lag_events=0, lag_seconds=0.0)
    async with AIOKafkaProducer(bootstrap_servers=settings.brokers) as producer:
        topics = await producer.client.fetch_all_metadata()
        assert not topics.topics() & set(settings.input_topics)


async def test_the_lag_is_measured_on_the_embedded_broker() -> None:
    with EmbeddedBroker() as broker:
        settings = Settings(_env_file=None, brokers=broker.address, partitions=PARTITIONS)
        monitor = LagMonitor(settings)
        await monitor.refresh()
        assert (monitor.away, monitor.events) == (False, 0)
        async with Redis() as unused:
            await Shop(settings, unused).produce(*searches(30))
        await monitor.refresh()
        assert (monitor.away, monitor.events) == (False, 30)
        await monitor.close()
