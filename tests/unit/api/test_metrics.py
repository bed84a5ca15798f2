"""The API's metrics: no caller can add a series that is not in a closed list."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from stream_persona.api import create_api
from stream_persona.api.collector.receipts import CollectOutcome
from stream_persona.api.metrics import METHODS, STATUSES, ApiMetrics
from stream_persona.demo.embedded import find_free_port
from stream_persona.domain import taxonomy as taxonomies
from stream_persona.settings import Settings
from tests.support.examples import count_examples

PATHS = (
    "/", "/healthz", "/docs", "/static/app.js", "/static/none", "/static/swagger/x",
    "/v1/personas", "/v1/rank", "/api/v1/_predict", "/v1/customers/c1/persona", "/v1/overview",
    "/v1/history", "/v1/model", "/v1/queue", "/openapi.json", "/v1/none", "/v1/customers/a/b/c",
)  # fmt: skip
TOKEN = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_!#$%&'*+.^`|~", min_size=1)


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The real application; its servers are away, which is an answer as well."""
    monkeypatch.setattr("stream_persona.api.dependencies.PATIENCE", 0.001)
    away = f"127.0.0.1:{find_free_port()}"
    settings = Settings(_env_file=None, redis_url=f"redis://{away}/0", brokers=away)
    return create_api(settings, taxonomies.load(None))


@pytest.fixture
async def client(api: Any) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(api, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        yield client


def series(metrics: ApiMetrics) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    return {
        (sample.name, tuple(sorted(sample.labels.items())))
        for family in metrics.registry.collect()
        for sample in family.samples
    }


def values_of(metrics: ApiMetrics, label: str) -> set[str]:
    return {dict(labels)[label] for _, labels in series(metrics) if label in dict(labels)}


def templates(api: Any) -> set[str]:
    included = [getattr(each, "original_router", None) for each in api.routes]
    own = [each for each, router in zip(api.routes, included, strict=True) if router is None]
    return {each.path for each in own + [r for one in included if one for r in one.routes]} | {
        "unmatched"
    }


async def ask(client: httpx.AsyncClient, method: str, path: str, **how: Any) -> None:
    await client.request(method, path, **how)


async def test_thousands_of_made_up_methods_make_one_series_of_a_route(
    api: Any, client: httpx.AsyncClient
) -> None:
    for path in PATHS:
        await ask(client, "MADEUP", path)
    before = series(api.state.dependencies.metrics)
    for number in range(500):
        await ask(client, f"X{number}", PATHS[number % len(PATHS)])
    assert series(api.state.dependencies.metrics) == before


@pytest.mark.long
@given(
    method=TOKEN | st.sampled_from(sorted(METHODS)),
    path=st.sampled_from(PATHS) | st.text(max_size=30).map(lambda text: f"/{text}"),
    headers=st.dictionaries(
        st.sampled_from(["Range", "Accept-Encoding", "If-None-Match", "X-API-Key", "Host"]) | TOKEN,
        st.text("abcXYZ019 =-*,;", max_size=20).map(str.strip),
        max_size=3,
    ),
    body=st.binary(max_size=30),
)
@examples(
    max_examples=count_examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_no_request_can_add_a_series_outside_the_closed_lists(
    api: Any, client: httpx.AsyncClient, method: str, path: str,
    headers: dict[str, str], body: bytes,
) -> None:  # fmt: skip
    metrics = api.state.dependencies.metrics
    url = "http://api" + quote(path)
    raw = {name: value.encode() for name, value in headers.items()}
    await ask(client, method, url, headers=raw, content=body)
    assert values_of(metrics, "method") <= METHODS | {"other", "any"}
    assert values_of(metrics, "route") <= templates(api)
    assert values_of(metrics, "status") <= {str(each) for each in STATUSES}
    labels = {name for _, labels in series(metrics) for name, _ in labels}
    assert labels <= {"method", "route", "status", "le", "part", "reason", "outcome"}
    assert values_of(metrics, "outcome") <= {each.value for each in CollectOutcome}


async def test_an_answer_of_a_status_that_is_not_listed_is_counted_by_its_class() -> None:
    from stream_persona.api.metrics import RequestMetricsMiddleware

    metrics = ApiMetrics()

    async def teapot(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 418, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    transport = httpx.ASGITransport(RequestMetricsMiddleware(teapot, metrics))
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        await client.get("/")
    assert values_of(metrics, "status") == {"4xx"}
