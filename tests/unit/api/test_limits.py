"""The limits of callers: requests a second, and bytes of a body."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stream_persona.api import limits
from stream_persona.api.limits import BodyLimitMiddleware, TokenBuckets
from tests.support.servers import eventually

# --- rates ---


def test_a_bucket_holds_a_second_and_is_filled_steadily() -> None:
    now = [0.0]
    buckets = TokenBuckets(2.0, clock=lambda: now[0])
    assert [buckets.take("a") for _ in range(3)] == [0.0, 0.0, 0.5]
    assert buckets.take("b") == 0.0
    now[0] = 0.5
    assert [buckets.take("a") for _ in range(2)] == [0.0, 0.5]
    now[0] = 100.0
    assert [buckets.take("a") for _ in range(3)] == [0.0, 0.0, 0.5]


def test_a_rate_may_be_less_than_one_request_a_second() -> None:
    now = [0.0]
    buckets = TokenBuckets(0.1, clock=lambda: now[0])
    assert [buckets.take("a") for _ in range(2)] == [0.0, 10.0]
    now[0] = 9.0
    assert buckets.take("a") == pytest.approx(1.0)


def test_buckets_are_dropped_when_there_are_too_many() -> None:
    buckets = TokenBuckets(1.0, clock=lambda: 0.0, most=10)
    for number in range(100):
        assert buckets.take(str(number)) == 0.0
    assert len(buckets) == 10


def test_nothing_is_counted_without_a_rate() -> None:
    buckets = TokenBuckets(0.0)
    assert {buckets.take("a") for _ in range(1_000)} == {0.0}
    assert len(buckets) == 0


# --- sizes ---


@pytest.mark.parametrize(("size", "status", "runs"), [(10, 204, 1), (11, 413, 0)])
async def test_a_route_that_reads_no_body_does_not_run_when_too_large_a_one_is_announced(
    size: int, status: int, runs: int
) -> None:
    calls = []

    async def delete(_: Request) -> Response:
        calls.append("deleted")
        return Response(status_code=204)

    app = Starlette(routes=[Route("/customer", delete, methods=["DELETE"])])
    app.add_middleware(BodyLimitMiddleware, max_bytes=10)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        response = await client.request("DELETE", "/customer", content=b" " * size)
    assert (response.status_code, len(calls)) == (status, runs)


async def test_large_bodies_of_all_requests_in_progress_have_a_bound_and_small_ones_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "BODIES_BYTES", 100)
    monkeypatch.setattr(limits, "SMALL_BODY_BYTES", 10)
    go, reading = asyncio.Event(), []

    async def wait(request: Request) -> Response:
        await request.body()
        reading.append(request)
        await go.wait()
        return Response(status_code=204)

    app = Starlette(routes=[Route("/", wait, methods=["POST"])])
    app.add_middleware(BodyLimitMiddleware, max_bytes=60)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:

        async def post(size: int) -> int:
            return (await client.post("/", content=b" " * size)).status_code

        held = [asyncio.create_task(post(size)) for size in (60, 40, 10)]
        await eventually(lambda: len(reading) == 3, 10, "the bodies were not read")
        refused = await client.post("/", content=b" " * 11)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        go.set()
        assert await asyncio.gather(*held) == [204, 204, 204]
        assert await post(60) == 204
