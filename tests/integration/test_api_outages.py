"""The dashboard while Redis or Kafka is away: it answers, and a finding says what is."""

from __future__ import annotations

import shutil

import pytest
from redis.asyncio import Redis

from stream_persona.api.dashboard import lag, recorder
from stream_persona.demo.embedded import EmbeddedRedis, find_free_port
from stream_persona.settings import Settings
from tests.support.api import (
    ManualWorker,
    basket,
    calling,
    running_worker,
)
from tests.support.dashboard import ask, becomes, has_findings
from tests.support.servers import Kafka
from tests.support.slow_proxy import SlowProxy

pytestmark = pytest.mark.usefixtures("quick_refreshes")


async def test_the_dashboard_answers_while_redis_is_away_and_reports_it(
    settings: Settings, short_limits: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "FRESH", 0.0)
    with EmbeddedRedis(shutil.which("redis-server"), ["--appendonly", "yes"]) as server:
        host, port = server.address.split(":")
        async with SlowProxy(host, int(port)) as proxy:
            own = settings.model_copy(update={"redis_url": f"redis://{proxy.address}/0"})
            async with running_worker(own) as manual_worker:
                await manual_worker.feed(basket("e1", "c1", "pets/dog"))
            async with calling(own) as client:
                await becomes(client, shoppers=1, troubles=[])
                before = await ask(client, "/v1/history")
                proxy.freeze()
                (sentence,) = await has_findings(client, "redis")
                assert sentence == "Redis does not answer: what you see may be old."
                for path in ("/v1/portraits", "/v1/model", "/v1/queue"):
                    await ask(client, path)
                assert (await ask(client, "/v1/overview"))["shoppers"] == 1
                assert (await client.get("/v1/history")).status_code in {200, 503}
                proxy.unfreeze()
                await has_findings(client, "workers")
                assert (await ask(client, "/v1/history"))["at"] >= before["at"]


async def test_the_dashboard_answers_without_a_broker_and_reports_it(
    settings: Settings, manual_worker: ManualWorker
) -> None:
    await manual_worker.feed(basket("e1", "c1", "pets/dog"))
    away = settings.model_copy(update={"brokers": f"127.0.0.1:{find_free_port()}"})
    async with calling(away) as client:
        (sentence,) = await has_findings(client, "kafka")
        assert sentence.startswith("Kafka does not answer: nothing new can come in")
        found = await ask(client, "/v1/overview")
        assert (found["lag_events"], found["lag_seconds"], found["shoppers"]) == (None, None, 1)


async def test_a_broker_that_falls_silent_is_a_finding_until_it_answers(
    kafka: Kafka, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kafka.kind != "kafka":
        pytest.skip("needs a broker that announces a proxy to its clients")
    monkeypatch.setattr(lag, "PATIENCE", 2.0)
    async with SlowProxy.of_kafka(kafka) as proxy:  # type: ignore[arg-type]
        behind = settings.model_copy(update={"brokers": proxy.address})
        async with calling(behind) as client:
            await becomes(client, lag_events=0)
            proxy.freeze()
            await has_findings(client, "kafka")
            proxy.unfreeze()
            await becomes(client, lag_events=0)


async def test_the_overview_tells_that_redis_may_evict_or_forget_until_it_is_set_right(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream_persona.api.dashboard.service.LOOK_SECONDS", 0.5)
    with EmbeddedRedis(shutil.which("redis-server"), ["--appendonly", "yes"]) as server:
        own = settings.model_copy(update={"redis_url": server.url})
        async with Redis.from_url(server.url) as redis, running_worker(own), calling(own) as client:
            await becomes(client, troubles=[])
            await redis.config_set("appendonly", "no")
            await redis.config_set("maxmemory-policy", "allkeys-lru")
            evicts, forgets = await has_findings(client, "storage", number=2)
            assert evicts.startswith(f"Redis at {server.address} may evict keys")
            assert forgets.startswith(f"Redis at {server.address} keeps nothing on disk")
            await redis.config_set("appendonly", "yes")
            await redis.config_set("maxmemory-policy", "noeviction")
            await becomes(client, troubles=[])
