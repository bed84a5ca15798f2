"""Limits of callers: keys, origins, sizes and rates."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from stream_persona.api import serve
from stream_persona.api.server import _listen
from stream_persona.domain import taxonomy as taxonomies
from stream_persona.errors import SettingsError
from stream_persona.settings import Settings
from tests.support.api import (
    api_process,
    calling,
)
from tests.support.waiting import patience

KEYS = {"api_keys": "first-key-of-a-shop, second-key-of-a-shop"}
PRIVATE = (
    "/v1/personas", "/v1/overview", "/v1/history", "/v1/portraits", "/v1/model", "/v1/queue",
    "/metrics", "/openapi.json", "/docs", "/", "/nothing",
)  # fmt: skip


def with_(settings: Settings, **changes: Any) -> Settings:
    return settings.model_copy(update=changes)


@pytest.fixture
async def locked(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a key of an API that needs one."""
    async with calling(with_(settings, **KEYS)) as client:
        yield client


# --- keys ---


@pytest.mark.parametrize("path", PRIVATE)
async def test_every_private_path_is_401_without_a_key(
    locked: httpx.AsyncClient, path: str
) -> None:
    response = await locked.get(path)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert list(response.json()) == ["message"]
    assert "a valid API key is needed" in response.json()["message"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer first-key-of-a-shop"},
        {"Authorization": "bearer second-key-of-a-shop"},
        {"X-API-Key": "first-key-of-a-shop"},
        {"X-API-Key": "second-key-of-a-shop"},
    ],
)
async def test_each_key_is_accepted_in_either_header_on_every_path(
    locked: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    for path in PRIVATE[:-1]:
        assert (await locked.get(path, headers=headers)).status_code == 200, path
    assert (await locked.get(PRIVATE[-1], headers=headers)).status_code == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer third-key-of-a-shop"},
        {"Authorization": "Bearer "},
        {"Authorization": "Basic first-key-of-a-shop"},
        {"Authorization": "first-key-of-a-shop"},
        {"X-API-Key": ""},
        {"X-API-Key": "first-key-of-a-shop, second-key-of-a-shop"},
        {"X-API-Key": "\xfc\xdf"},
        {"Cookie": "stream_persona_key=first-key-of-a-shop"},
        {"Cookie": "stream_persona_key="},
    ],
)
async def test_an_invalid_key_is_401(locked: httpx.AsyncClient, headers: dict[str, str]) -> None:
    raw = {name: value.encode("latin-1") for name, value in headers.items()}
    assert (await locked.get("/v1/personas", headers=raw)).status_code == 401


async def test_probes_and_the_files_of_pages_need_no_key(locked: httpx.AsyncClient) -> None:
    assert (await locked.get("/healthz")).status_code == 200
    assert (await locked.get("/readyz")).status_code in {200, 503}
    assert (await locked.get("/static/app.js")).status_code == 200


async def test_a_browser_gets_a_cookie_for_its_key_that_no_script_and_no_other_site_can_use(
    locked: httpx.AsyncClient,
) -> None:
    page = await locked.get("/?key=first-key-of-a-shop")
    assert (page.status_code, page.headers["location"]) == (303, "/")
    assert page.headers["cache-control"] == "no-store"
    cookie = page.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    assert "first-key-of-a-shop" not in cookie
    assert (await locked.get("/v1/personas")).status_code == 200
    assert (await locked.get("/")).status_code == 200
    locked.cookies.clear()
    assert (await locked.get("/v1/personas")).status_code == 401


async def test_a_key_in_the_address_is_read_on_the_page_alone(locked: httpx.AsyncClient) -> None:
    assert (await locked.get("/?key=third-key-of-a-shop")).status_code == 401
    response = await locked.get("/v1/personas?key=first-key-of-a-shop")
    assert response.status_code == 401
    assert "set-cookie" not in response.headers


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "", "shop.example"])
def test_the_api_does_not_listen_to_other_machines_without_keys(
    settings: Settings, host: str
) -> None:
    with pytest.raises(SettingsError, match="STREAM_PERSONA_API_KEYS: set at least one key"):
        serve(with_(settings, api_host=host), taxonomies.load(settings.taxonomy))


def test_the_api_listens_to_other_machines_with_keys(settings: Settings, tmp_path: Path) -> None:
    open_ = with_(settings, api_host="0.0.0.0", **KEYS)
    with api_process(open_, tmp_path / "api.log") as (_, address):
        local = address.replace("0.0.0.0", "127.0.0.1")
        assert httpx.get(f"{local}/healthz").status_code == 200
        assert httpx.get(f"{local}/v1/personas").status_code == 401


# --- other origins ---


async def test_pages_of_other_origins_may_read_nothing(settings: Settings) -> None:
    async with calling(settings) as client:
        headers = {"Origin": "https://shop.example", "Access-Control-Request-Method": "PUT"}
        preflight = await client.options("/v1/customers/c1/assignment", headers=headers)
        answer = await client.get("/v1/personas", headers=headers)
    for response in (preflight, answer):
        assert not [name for name in response.headers if name.startswith("access-control")]
    assert (preflight.status_code, answer.status_code) == (403, 403)


async def test_origins_that_are_set_may_call_with_a_key_and_others_may_not(
    settings: Settings,
) -> None:
    origin = "https://shop.example"
    open_ = with_(settings, api_cors_origins=f"{origin}, https://other.example", **KEYS)
    async with calling(open_) as client:
        headers = {"Origin": origin, "Access-Control-Request-Method": "PUT"}
        wanted = {**headers, "Access-Control-Request-Headers": "authorization,content-type"}
        preflight = await client.options("/v1/customers/c1/assignment", headers=wanted)
        assert (preflight.status_code, preflight.headers["access-control-allow-origin"]) == (
            200,
            origin,
        )
        refused = await client.get("/v1/personas", headers={"Origin": origin})
        assert refused.status_code == 401
        assert refused.headers["access-control-allow-origin"] == origin
        assert "access-control-allow-credentials" not in refused.headers
        foreign = await client.options(
            "/v1/personas", headers={**headers, "Origin": "https://evil.example"}
        )
        assert "access-control-allow-origin" not in foreign.headers


# --- sizes ---


@pytest.fixture
async def small(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an API that reads 1,000 bytes."""
    async with calling(with_(settings, api_max_body_bytes=1_000)) as client:
        yield client


async def chunks(number: int) -> AsyncIterator[bytes]:
    for _ in range(number):
        yield b" " * 100


async def test_a_body_that_is_announced_as_too_large_is_refused(small: httpx.AsyncClient) -> None:
    response = await small.post("/v1/rank", content=b" " * 1_001)
    assert response.status_code == 413
    assert response.json() == {"message": "the body is too large: at most 1,000 bytes are read"}
    assert (await small.post("/v1/rank", content=b" " * 1_000)).status_code == 400


async def test_a_body_of_unannounced_length_is_read_up_to_the_limit(
    small: httpx.AsyncClient,
) -> None:
    response = await small.post("/v1/rank", content=chunks(11))
    assert response.status_code == 413
    assert list(response.json()) == ["message"]
    assert (await small.post("/v1/rank", content=chunks(10))).status_code == 400


def test_an_endless_body_is_answered_before_it_ends(settings: Settings, tmp_path: Path) -> None:
    head = "POST /v1/rank HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"3e8\r\n" + b" " * 1_000 + b"\r\n"
    with api_process(with_(settings, api_max_body_bytes=1_000), tmp_path / "api.log") as (
        _,
        address,
    ):
        url = httpx.URL(address)
        with socket.create_connection((url.host, url.port), timeout=patience(30)) as connection:
            connection.sendall(
                head.format(url.netloc.decode()).encode() + 2 * chunk
            )  # and never the last one
            assert connection.recv(1_000).startswith(b"HTTP/1.1 413 ")


# --- rates ---


async def test_too_many_requests_are_answered_with_when_to_retry(settings: Settings) -> None:
    async with calling(with_(settings, api_requests_per_second=0.001)) as client:
        assert (await client.get("/v1/personas")).status_code == 200
        response = await client.get("/v1/personas")
        assert response.status_code == 429
        assert 1 < int(response.headers["retry-after"]) <= 1_000
        assert response.json()["message"].startswith("too many requests: try again in ")
        assert (await client.get("/healthz")).status_code == 200


async def test_each_key_has_its_own_rate_and_callers_without_a_key_share_one(
    settings: Settings,
) -> None:
    limited = with_(settings, api_requests_per_second=0.001, **KEYS)
    async with calling(limited) as client:

        async def status(key: str) -> int:
            return (await client.get("/v1/personas", headers={"X-API-Key": key})).status_code

        keys = (
            "first-key-of-a-shop",
            "second-key-of-a-shop",
            "first-key-of-a-shop",
            "wrong-key-of-a-shop",
            "wronger-key-of-a-shop",
        )
        assert [await status(key) for key in keys] == [200, 200, 429, 401, 429]


# --- connections ---


def test_an_answer_does_not_wait_until_its_head_is_acknowledged() -> None:
    with (
        _listen(Settings(_env_file=None, api_port=0)) as listening,
        socket.create_connection(listening.getsockname()),
    ):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
