"""The door: cookies of browsers, headers of answers, rates, and what the audit log gets."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from stream_persona.api import create_api
from stream_persona.api.limits import TokenBuckets
from stream_persona.api.security.headers import HEADERS
from stream_persona.api.security.middleware import DoorMiddleware, admit_by_key
from stream_persona.api.security.scopes import ScopeRules
from stream_persona.api.server import check_door
from stream_persona.domain import taxonomy
from stream_persona.errors import SettingsError
from stream_persona.settings import Settings
from tests.support.doors import KEY, MASTER, OWN, Door, audited, enter, key_of, write_keys

PRIVATE_HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


# --- cookies ---


async def test_a_pages_key_becomes_a_cookie_and_leaves_the_address(door: Door) -> None:
    async with door.client() as client:
        answer = await client.get(f"/?key={MASTER}&more=1")
        assert (answer.status_code, answer.headers["location"], answer.text) == (303, "/", "")
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
        value, *marks = answer.headers["set-cookie"].split("; ")
        assert {*marks} == {"Path=/", "HttpOnly", "SameSite=Strict"}
        assert MASTER not in value
        assert (await client.get("/")).status_code == 200


@pytest.mark.parametrize("path", ["/?key=wrong", "/?key=", f"/?key={MASTER}x", f"/?KEY={MASTER}"])
async def test_a_page_with_a_wrong_key_is_401_and_gives_no_cookie(door: Door, path: str) -> None:
    async with door.client() as client:
        answer = await client.get(path)
        assert (answer.status_code, "set-cookie" in answer.headers) == (401, False)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
async def test_a_key_in_the_address_counts_nowhere_but_on_the_page(door: Door, method: str) -> None:
    async with door.client() as client:
        for path in ("/v1/personas", "/v1/customers/c1", "/docs", "/v1/rank", "/"):
            if (method, path) != ("GET", "/"):
                answer = await client.request(method, f"{path}?key={MASTER}")
                assert (answer.status_code, "set-cookie" in answer.headers) == (401, False)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"Origin": "http://attacker.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:3000"}, 403),
        ({"Origin": f"https://{OWN}"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": f"http://{OWN}", "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": f"http://{OWN}"}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        # behind a proxy that has TLS and asks for us by another name
        ({"Origin": "https://personas.shop.example", "Sec-Fetch-Site": "same-origin"}, 200),
    ],
)
async def test_a_command_by_cookie_must_come_from_ones_own_page(
    door: Door, method: str, headers: dict[str, str], status: int
) -> None:
    path = {"POST": "/v1/rank", "PUT": "/v1/customers/c1/assignment", "DELETE": "/v1/customers/c1"}
    async with door.client() as client:
        await enter(client)
        assert (await client.request(method, path[method], headers=headers)).status_code == status
        client.cookies.clear()
        with_key = await client.request(method, path[method], headers=headers | KEY)
        assert with_key.status_code == 200


# --- answers ---


@pytest.mark.parametrize(
    ("settings", "headers", "path", "status"),
    [
        ({"api_keys": MASTER}, KEY, "/v1/personas", 200), ({}, {}, "/v1/personas", 200),
        ({"api_keys": MASTER}, {}, "/v1/personas", 401), ({}, {"Via": "1"}, "/v1/personas", 403),
        ({"api_keys": MASTER}, KEY, "/v1/nothing", 404), ({}, {}, "/v1/nothing", 404),
        ({"api_keys": MASTER}, KEY, "/metrics", 200), ({}, {}, "/healthz", 200),
    ],
)  # fmt: skip
async def test_every_answer_is_kept_nowhere_and_read_as_what_it_is(
    settings: dict[str, str], headers: dict[str, str], path: str, status: int
) -> None:
    async with Door(**settings).client() as client:
        answer = await client.get(path, headers=headers)
        assert answer.status_code == status
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS
        assert answer.headers["x-request-id"]


async def test_pages_keep_the_policies_of_their_own() -> None:
    api = create_api(Settings(_env_file=None), taxonomy.load(None))
    transport = httpx.ASGITransport(api)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        for path in ("/", "/docs", "/static/app.js"):
            answer = await client.get(path)
            assert answer.headers["cache-control"] == "no-cache", path
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert len(answer.headers.get_list("cache-control")) == 1
        page = (await client.get("/")).headers
        assert "default-src 'self'; frame-ancestors 'none'" in page["content-security-policy"]
        assert page["x-frame-options"] == "DENY"


async def test_a_mistake_of_the_server_has_the_headers_too_and_says_nothing_of_itself() -> None:
    api = create_api(Settings(_env_file=None), taxonomy.load(None))
    api.state.dependencies.dashboard.answer_overview = None  # not callable
    transport = httpx.ASGITransport(api, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        answer = await client.get("/v1/overview")
    assert (answer.status_code, answer.json()["message"]) == (
        500, "the server made a mistake; its log says which",
    )  # fmt: skip
    assert {name: answer.headers[name] for name in PRIVATE_HEADERS} == PRIVATE_HEADERS


@pytest.mark.parametrize("given", ["abc-123", "x" * 64])
async def test_a_request_keeps_the_id_that_it_came_with(door: Door, given: str) -> None:
    async with door.client() as client:
        answer = await client.get("/v1/personas", headers=KEY | {"X-Request-ID": given})
        assert answer.headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", '"', "a{}"])
async def test_what_is_no_id_is_replaced(door: Door, given: str) -> None:
    async with door.client() as client:
        answer = await client.get("/v1/personas", headers=KEY | {"X-Request-ID": given})
        assert len(answer.headers["x-request-id"]) == 32


# --- start ---


def test_origins_without_keys_are_refused_at_start() -> None:
    open_ = Settings(_env_file=None, api_cors_origins="https://shop.example")
    with pytest.raises(SettingsError, match="STREAM_PERSONA_API_CORS_ORIGINS: set STREAM_PERSONA"):
        check_door(open_)
    check_door(open_.model_copy(update={"api_keys": MASTER}))
    check_door(open_.model_copy(update={"api_keys_file": Path("keys.toml")}))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "shop.example"])
def test_an_address_that_others_reach_takes_keys_of_either_kind(host: str) -> None:
    reachable = Settings(_env_file=None, api_host=host)
    with pytest.raises(SettingsError, match="STREAM_PERSONA_API_KEYS: set at least one key"):
        check_door(reachable)
    check_door(reachable.model_copy(update={"api_keys": MASTER}))
    check_door(reachable.model_copy(update={"api_keys_file": Path("keys.toml")}))


# --- the collector's keys, which may come in a body ---


async def test_a_key_in_a_body_lets_in_to_the_collector_alone(tmp_path: Path) -> None:
    write_keys(tmp_path / "keys.toml", web="collect", reader="read")
    door = Door(api_keys_file=tmp_path / "keys.toml")

    async def collect(request: Request) -> PlainTextResponse:
        admit_by_key(request.scope, door.keys, (await request.json())["writeKey"])
        return PlainTextResponse("")

    routes = [Route("/v1/batch", collect, methods=["POST"])]
    app = DoorMiddleware(
        Starlette(routes=routes), door.keys, ScopeRules(routes), TokenBuckets(0), door.audit
    )
    transport = httpx.ASGITransport(app)
    with audited() as lines:
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            for name, status in (("web", 200), ("reader", 403), ("none", 401)):
                answer = await client.post("/v1/batch", json={"writeKey": key_of(name)})
                assert answer.status_code == status
            header = {"X-API-Key": "wrong-key-of-somebody"}
            answer = await client.post(
                "/v1/batch", json={"writeKey": key_of("web")}, headers=header
            )
            assert answer.status_code == 401
            answer = await client.get("/v1/personas")
            assert answer.status_code == 401
    assert [line["status"] for line in lines] == [403, 401, 401, 401]
