"""The API for operators and browsers: probes, metrics, pages, and servers that are away."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import httpx
import pytest

from stream_persona.demo.embedded import find_free_port
from stream_persona.settings import Settings
from tests.support.api import (
    ManualWorker,
    basket,
    calling,
)

SEED_QUERY = {
    "from": "customer_purchases",
    "where": {"customer_id": "CUST-04812"},
    "predict": "persona",
    "select": ["$p", "$why", "persona"],
    "limit": 3,
}


def says_nothing_of_servers(response: httpx.Response, settings: Settings) -> None:
    """What is wrong with a server is in the log: an answer has neither addresses nor errors."""
    assert response.status_code == 503
    port = {settings.brokers.rpartition(":")[2], str(urlsplit(settings.redis_url).port)}
    for word in (*port, "127.0.0.1", "Errno", "Error", "refused", "usable for"):
        assert word not in response.text, response.text


async def test_lookups_work_and_commands_are_503_without_a_broker(
    settings: Settings, manual_worker: ManualWorker
) -> None:
    await manual_worker.feed(basket("e1", "c1", "pets/dog"))
    away = settings.model_copy(update={"brokers": f"127.0.0.1:{find_free_port()}"})
    async with calling(away) as client:
        assert (await client.get("/v1/customers/c1/persona")).status_code == 200
        assert (await client.get("/healthz")).status_code == 200
        response = await client.delete("/v1/customers/c1")
        assert (response.status_code, list(response.json())) == (503, ["message"])
        says_nothing_of_servers(response, away)
        assert "kafka" in (await client.get("/readyz")).json()["missing"]


async def test_the_api_stays_up_and_reports_it_without_redis(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream_persona.api.dependencies.PATIENCE", 0.5)
    away = settings.model_copy(update={"redis_url": f"redis://127.0.0.1:{find_free_port()}/0"})
    async with calling(away) as client:
        ready = await client.get("/readyz")
        assert ready.status_code == 503
        assert {"redis", "model", "changes"} <= set(ready.json()["missing"])
        assert (await client.get("/v1/customers/c1/persona")).status_code == 503
        predicted = await client.post("/api/v1/_predict", json=SEED_QUERY)
        assert predicted.status_code == 503
        assert "Redis" in predicted.json()["message"]
        for path in ("/v1/customers/c1/persona", "/v1/history", "/v1/personas", "/readyz"):
            says_nothing_of_servers(await client.get(path), away)
        assert (await client.get("/healthz")).status_code == 200


async def test_metrics_count_requests_by_route(client: httpx.AsyncClient) -> None:
    await client.get("/v1/customers/secret-name/persona")
    await client.get("/no/such/thing")
    metrics = (await client.get("/metrics")).text
    route = "/v1/customers/{customer_id:path}/persona"
    counted = f'requests_total{{method="GET",route="{route}",status="404"}} 1.0'
    assert f"stream_persona_api_{counted}" in metrics
    assert 'route="unmatched"' in metrics
    assert "secret-name" not in metrics


async def test_the_page_brings_everything_it_uses(client: httpx.AsyncClient) -> None:
    page = await client.get("/")
    assert page.status_code == 200
    assert "default-src 'self'" in page.headers["content-security-policy"]
    used = re.findall(r'(?:src|href)="([^"#]+)"', page.text)
    assert used
    for path in used:
        assert path.startswith("/")
        assert (await client.get(path)).status_code == 200, path


async def test_a_path_that_is_not_there_is_a_sentence_too(client: httpx.AsyncClient) -> None:
    response = await client.get("/v1/nothing")
    assert response.status_code == 404
    assert response.json() == {"message": "there is no GET /v1/nothing"}


async def test_the_documentation_brings_everything_it_uses(settings: Settings) -> None:
    async with calling(settings) as client:
        page = await client.get("/docs")
        assert page.status_code == 200
        assert "default-src 'self'" in page.headers["content-security-policy"]
        assert "://" not in page.text
        assert "<style" not in page.text
        used = re.findall(r'(?:src|href)="([^"#]+)"', page.text)
        assert any("swagger-ui-bundle.js" in path for path in used)
        for path in used:
            assert path.startswith("/")
            assert (await client.get(path)).status_code == 200, path
