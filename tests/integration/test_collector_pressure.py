"""The collector while the broker stands still: it says so, holds little, and loses nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from stream_persona.domain.events import BROWSE, decode_event
from stream_persona.kafka import event_sender
from stream_persona.settings import Settings
from tests.support.api import becomes_ready, calling
from tests.support.servers import Kafka, eventually
from tests.support.shop import Shop
from tests.support.slow_proxy import SlowProxy

MOST = 10
WAITED = 3.0


@pytest.fixture
async def proxy(kafka: Kafka, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SlowProxy]:
    """A way to the broker that may be blocked; the collector holds few events, and not for long."""
    if kafka.kind != "kafka":
        pytest.skip("needs a broker that announces a proxy to its clients")
    monkeypatch.setattr(event_sender, "PATIENCE", WAITED)
    monkeypatch.setattr(event_sender, "STALLED", 1.0)
    monkeypatch.setattr(event_sender, "MOST_EVENTS", MOST)
    async with SlowProxy.of_kafka(kafka) as proxy:  # type: ignore[arg-type]
        yield proxy


def looks(*names: str) -> list[dict[str, str]]:
    return [{"event_id": each, "customer_id": each, "action": "view"} for each in names]


async def test_nothing_that_the_broker_does_not_have_is_answered_as_taken(
    proxy: SlowProxy, declared_topics: Settings
) -> None:
    behind = declared_topics.model_copy(update={"brokers": proxy.address})
    async with calling(behind) as client:
        await becomes_ready(client)
        assert await taken(client, "before")
        proxy.freeze()
        held = [f"held-{number}" for number in range(MOST)]
        waiting = asyncio.create_task(client.post("/v1/events", json=looks(*held)))
        sender = sender_of(client)
        await eventually(lambda: sender.events == MOST, 5, "nothing is under way")
        busy = await refusal(client, 429)
        assert busy.headers["retry-after"] == "1"
        assert "on their way to Kafka" in busy.json()["message"]
        away = await refusal(client, 503)  # at once: it is not waited for again and again
        assert away.headers["retry-after"] == "1"
        answer = await waiting
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        assert answer.json()["message"].startswith("Kafka did not answer in time")
        proxy.unfreeze()

        async def goes_on() -> bool:
            return await taken(client, "after", *held[1:])

        await eventually(goes_on, 30, "the collector does not go on once the broker answers")
        assert sender.events == sender.bytes == 0
        metrics = (await client.get("/metrics")).text
        assert f'collected_events_total{{outcome="accepted"}} {MOST + 1:.1f}' in metrics
    async with Redis.from_url(declared_topics.redis_url) as redis:
        records = await Shop(declared_topics, redis).read(declared_topics.topic_browses)
    found = {decode_event(BROWSE, record.value).customer_id for record in records}
    assert found >= {"before", "after", *held[1:]}


def sender_of(client: httpx.AsyncClient) -> event_sender.EventSender:
    api: Any = client._transport
    found: event_sender.EventSender = api.app.state.dependencies.sender
    return found


async def taken(client: httpx.AsyncClient, *names: str) -> bool:
    """Whether all of these were taken; each of these is one event, however often it is sent."""
    answer = await client.post("/v1/events", json=looks(*names))
    assert answer.status_code in {202, 429, 503}
    return answer.is_success


async def refusal(client: httpx.AsyncClient, status: int) -> httpx.Response:
    """The first answer of this status; while one is waited for nothing is taken."""
    answers: list[httpx.Response] = []

    async def refused() -> bool:
        answers.append(await client.post("/v1/events", json=looks("refused")))
        assert answers[-1].status_code in {429, 503}
        return answers[-1].status_code == status

    await eventually(refused, WAITED, f"no {status} while the broker stands still")
    return answers[-1]


async def test_a_collector_without_a_broker_answers_503(settings: Settings) -> None:
    async with calling(settings.model_copy(update={"brokers": "127.0.0.1:1"})) as client:
        answer = await client.post("/v1/events", json=looks("c1"))
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        assert answer.json()["message"].startswith("Kafka did not answer in time")


async def test_a_topic_that_is_not_there_is_503(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_sender, "PATIENCE", WAITED)
    async with calling(settings) as client:
        await becomes_ready(client)
        assert sender_of(client).ready
        answer = await client.post("/v1/events", json=looks("c1"))
        assert answer.status_code == 503
