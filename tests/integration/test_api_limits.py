"""Who may call the API, how often and with how much; and that its pages need nobody else."""

from __future__ import annotations

import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from stream_persona.api import serve
from stream_persona.api.limits import Buckets
from stream_persona.api.server import _bound
from stream_persona.domain import taxonomy as taxonomies
from stream_persona.errors import SettingsError
from stream_persona.settings import Settings
from tests.integration.test_api import calling, process

KEYS = {"api_keys": "first-key, second-key"}
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
async def test_without_a_key_nothing_is_told(locked: httpx.AsyncClient, path: str) -> None:
    response = await locked.get(path)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert list(response.json()) == ["message"]
    assert "a valid API key is needed" in response.json()["message"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer first-key"},
        {"Authorization": "bearer second-key"},
        {"X-API-Key": "first-key"},
        {"X-API-Key": "second-key"},
    ],
)
async def test_each_key_opens_everything_in_either_header(
    locked: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    for path in PRIVATE[:-1]:
        assert (await locked.get(path, headers=headers)).status_code == 200, path
    assert (await locked.get(PRIVATE[-1], headers=headers)).status_code == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer third-key"},
        {"Authorization": "Bearer "},
        {"Authorization": "Basic first-key"},
        {"Authorization": "first-key"},
        {"X-API-Key": ""},
        {"X-API-Key": "first-key, second-key"},
        {"X-API-Key": "\xfc\xdf"},
        {"Cookie": "stream_persona_key=first-key"},
        {"Cookie": "stream_persona_key="},
    ],
)
async def test_what_is_no_key_opens_nothing(
    locked: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    raw = {name: value.encode("latin-1") for name, value in headers.items()}
    assert (await locked.get("/v1/personas", headers=raw)).status_code == 401


async def test_probes_and_the_files_of_pages_need_no_key(locked: httpx.AsyncClient) -> None:
    assert (await locked.get("/healthz")).status_code == 200
    assert (await locked.get("/readyz")).status_code in {200, 503}
    assert (await locked.get("/static/app.js")).status_code == 200


async def test_a_browser_gets_a_cookie_for_its_key_that_no_script_and_no_other_site_can_use(
    locked: httpx.AsyncClient,
) -> None:
    page = await locked.get("/?key=first-key")
    assert page.status_code == 200
    cookie = page.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    assert "first-key" not in cookie
    assert (await locked.get("/v1/personas")).status_code == 200
    assert (await locked.get("/")).status_code == 200
    locked.cookies.clear()
    assert (await locked.get("/v1/personas")).status_code == 401


async def test_a_key_in_the_address_is_read_on_the_page_alone(locked: httpx.AsyncClient) -> None:
    assert (await locked.get("/?key=third-key")).status_code == 401
    response = await locked.get("/v1/personas?key=first-key")
    assert response.status_code == 401
    assert "set-cookie" not in response.headers


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "", "shop.example"])
def test_others_are_not_served_without_keys(settings: Settings, host: str) -> None:
    with pytest.raises(SettingsError, match="STREAM_PERSONA_API_KEYS: set at least one key"):
        serve(with_(settings, api_host=host), taxonomies.load(settings.taxonomy))


def test_with_keys_others_are_served(settings: Settings, tmp_path: Path) -> None:
    open_ = with_(settings, api_host="0.0.0.0", **KEYS)
    with process(open_, tmp_path / "api.log") as (_, address):
        local = address.replace("0.0.0.0", "127.0.0.1")
        assert httpx.get(f"{local}/healthz").status_code == 200
        assert httpx.get(f"{local}/v1/personas").status_code == 401


# --- other origins ---


async def test_pages_of_other_origins_are_told_nothing(settings: Settings) -> None:
    async with calling(settings) as client:
        headers = {"Origin": "https://shop.example", "Access-Control-Request-Method": "PUT"}
        asked = await client.options("/v1/customers/c1/assignment", headers=headers)
        told = await client.get("/v1/personas", headers=headers)
    for response in (asked, told):
        assert not [name for name in response.headers if name.startswith("access-control")]
    assert asked.status_code == 405


async def test_origins_that_are_set_may_call_with_a_key_and_others_may_not(
    settings: Settings,
) -> None:
    origin = "https://shop.example"
    open_ = with_(settings, api_cors_origins=f"{origin}, https://other.example", **KEYS)
    async with calling(open_) as client:
        headers = {"Origin": origin, "Access-Control-Request-Method": "PUT"}
        wanted = {**headers, "Access-Control-Request-Headers": "authorization,content-type"}
        asked = await client.options("/v1/customers/c1/assignment", headers=wanted)
        assert (asked.status_code, asked.headers["access-control-allow-origin"]) == (200, origin)
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


async def pieces(number: int) -> AsyncIterator[bytes]:
    for _ in range(number):
        yield b" " * 100


async def test_a_body_that_says_it_is_too_large_is_refused(small: httpx.AsyncClient) -> None:
    response = await small.post("/v1/rank", content=b" " * 1_001)
    assert response.status_code == 413
    assert response.json() == {"message": "the body is too large: at most 1,000 bytes are read"}
    assert (await small.post("/v1/rank", content=b" " * 1_000)).status_code == 400


async def test_a_body_that_says_nothing_is_read_up_to_the_limit(small: httpx.AsyncClient) -> None:
    response = await small.post("/v1/rank", content=pieces(11))
    assert response.status_code == 413
    assert list(response.json()) == ["message"]
    assert (await small.post("/v1/rank", content=pieces(10))).status_code == 400


def test_an_endless_body_is_answered_before_it_ends(settings: Settings, tmp_path: Path) -> None:
    head = b"POST /v1/rank HTTP/1.1\r\nHost: api\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"3e8\r\n" + b" " * 1_000 + b"\r\n"
    with process(with_(settings, api_max_body_bytes=1_000), tmp_path / "api.log") as (_, address):
        url = httpx.URL(address)
        with socket.create_connection((url.host, url.port), timeout=30) as connection:
            connection.sendall(head + 2 * chunk)  # and never the last one
            assert connection.recv(1_000).startswith(b"HTTP/1.1 413 ")


# --- rates ---


def test_a_bucket_holds_a_second_and_is_filled_steadily() -> None:
    now = [0.0]
    buckets = Buckets(2.0, clock=lambda: now[0])
    assert [buckets.wait("a") for _ in range(3)] == [0.0, 0.0, 0.5]
    assert buckets.wait("b") == 0.0
    now[0] = 0.5
    assert [buckets.wait("a") for _ in range(2)] == [0.0, 0.5]
    now[0] = 100.0
    assert [buckets.wait("a") for _ in range(3)] == [0.0, 0.0, 0.5]


def test_less_than_one_request_a_second_is_a_rate_too() -> None:
    now = [0.0]
    buckets = Buckets(0.1, clock=lambda: now[0])
    assert [buckets.wait("a") for _ in range(2)] == [0.0, 10.0]
    now[0] = 9.0
    assert buckets.wait("a") == pytest.approx(1.0)


def test_buckets_are_forgotten_when_there_are_too_many() -> None:
    buckets = Buckets(1.0, clock=lambda: 0.0, most=10)
    for number in range(100):
        assert buckets.wait(str(number)) == 0.0
    assert len(buckets) == 10


def test_without_a_rate_nothing_is_counted() -> None:
    buckets = Buckets(0.0)
    assert {buckets.wait("a") for _ in range(1_000)} == {0.0}
    assert len(buckets) == 0


async def test_too_many_requests_are_told_when_to_come_back(settings: Settings) -> None:
    async with calling(with_(settings, api_requests_per_second=0.001)) as client:
        assert (await client.get("/v1/personas")).status_code == 200
        response = await client.get("/v1/personas")
        assert response.status_code == 429
        assert 1 < int(response.headers["retry-after"]) <= 1_000
        assert response.json()["message"].startswith("too many requests: try again in ")
        assert (await client.get("/healthz")).status_code == 200


async def test_each_key_has_its_own_rate_and_those_without_share_theirs(settings: Settings) -> None:
    limited = with_(settings, api_requests_per_second=0.001, **KEYS)
    async with calling(limited) as client:

        async def status(key: str) -> int:
            return (await client.get("/v1/personas", headers={"X-API-Key": key})).status_code

        keys = ("first-key", "second-key", "first-key", "wrong", "wronger")
        assert [await status(key) for key in keys] == [200, 200, 429, 401, 429]


# --- pages ---


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


# --- connections ---


def test_an_answer_does_not_wait_until_its_head_is_acknowledged() -> None:
    with (
        _bound(Settings(_env_file=None, api_port=0)) as listening,
        socket.create_connection(listening.getsockname()),
    ):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
