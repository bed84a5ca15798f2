"""The door: cookies of browsers, headers of answers, rates, and what the audit log gets."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import httpx
import pytest
from prometheus_client import generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from stream_persona import audit_log
from stream_persona.api import create_api
from stream_persona.api.limits import TokenBuckets
from stream_persona.api.security.audit import MOST, WINDOW, note_command
from stream_persona.api.security.headers import HEADERS
from stream_persona.api.security.middleware import DoorMiddleware, admit_by_key
from stream_persona.api.security.scopes import Rules
from stream_persona.api.server import check_door
from stream_persona.domain import taxonomy
from stream_persona.errors import SettingsError
from stream_persona.settings import Settings
from tests.support.doors import MASTER, OWN, Door, audited, key_of, write_keys

KEY = {"X-API-Key": MASTER}
PRIVATE_HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


@pytest.fixture
def door() -> Door:
    return Door(api_keys=MASTER)


async def enter(client: httpx.AsyncClient) -> None:
    assert (await client.get(f"/?key={MASTER}")).status_code == 303


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
    api.state.dependencies.dashboard.overview = None  # not callable
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


# --- the audit log ---


async def test_each_command_leaves_a_line_with_who_what_and_when(tmp_path: Path) -> None:
    write_keys(tmp_path / "keys.toml", crm="assign delete")
    door = Door(api_keys_file=tmp_path / "keys.toml")
    headers = {"X-API-Key": key_of("crm"), "X-Request-ID": "r-1"}
    with audited() as lines:
        async with door.client(peer="10.0.0.7") as client:
            await client.put("/v1/customers/c1/assignment", headers=headers)
            await client.delete("/v1/customers/c1", headers=headers)
    assert [line["action"] for line in lines] == ["assignment", "deletion"]
    for line in lines:
        assert line.pop("at").endswith("Z")
        line.pop("action")
        assert line == {
            "logger": "stream_persona.audit", "who": "crm", "outcome": "accepted", "status": 200,
            "address": "10.0.0.7", "request_id": "r-1",
        }  # fmt: skip


@pytest.mark.parametrize(
    ("status", "outcome"), [(202, "accepted"), (400, "refused"), (503, "failed"), (None, "failed")]
)
@pytest.mark.parametrize("level", [logging.INFO, logging.DEBUG])
async def test_a_command_leaves_its_outcome_and_the_customer_at_debug_alone(
    status: int | None, outcome: str, level: int
) -> None:
    async def delete(request: Request) -> PlainTextResponse:
        if status is None:
            raise RuntimeError("a mistake")
        note_command(request.scope, "event-1", "secret-customer")
        return PlainTextResponse("", status)

    door = Door()
    routes = [Route("/v1/customers", delete, methods=["DELETE"])]
    app = DoorMiddleware(routes[0], door.keys, Rules(routes), TokenBuckets(0), door.audit)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    with audited(level) as lines:
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            await client.delete("/v1/customers")
    (line,) = lines
    assert (line["who"], line["action"], line["outcome"]) == ("loopback", "deletion", outcome)
    named = level == logging.DEBUG and status is not None
    assert ("secret-customer" in json.dumps(line)) == named
    assert (line.get("event_id") == "event-1") == (status is not None)


async def test_each_refused_call_leaves_a_line_without_path_query_or_key(tmp_path: Path) -> None:
    write_keys(tmp_path / "keys.toml", reader="read")
    door = Door(api_keys_file=tmp_path / "keys.toml")
    with audited() as lines:
        async with door.client() as client:
            await client.get("/v1/customers/secret-id/persona?key=secret-key")
            await client.request("SECRET", "/v1/personas", headers={"X-API-Key": "secret-key"})
            await client.delete("/v1/customers/secret-id", headers={"X-API-Key": key_of("reader")})
    assert [(each["who"], each["status"], each["method"]) for each in lines] == [
        ("nobody", 401, "GET"), ("nobody", 401, "other"), ("reader", 403, "DELETE"),
    ]  # fmt: skip
    assert lines[2]["needs"] == "delete"
    assert [each["route"] for each in lines] == [
        "/v1/customers/{customer_id:path}/persona", "none", "/v1/customers/{customer_id:path}",
    ]  # fmt: skip
    assert "secret" not in json.dumps(lines).lower()


@pytest.mark.parametrize("status", [401, 403, 429])
async def test_a_call_that_its_route_refuses_leaves_one_line(status: int) -> None:
    door = Door(api_keys=MASTER)

    async def refuse(_: Request) -> PlainTextResponse:
        raise HTTPException(status, "no seat is free")

    routes = [Route("/v1/changes", refuse)]
    app = DoorMiddleware(
        Starlette(routes=routes), door.keys, Rules(routes), TokenBuckets(0), door.audit
    )
    transport = httpx.ASGITransport(app)
    with audited() as lines:
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            assert (await client.get("/v1/changes", headers=KEY)).status_code == status
    (line,) = lines
    assert (line["status"], line["who"], line["route"]) == (status, "API_KEYS-1", "/v1/changes")
    assert door.refusals.labels(str(status))._value.get() == 1


async def test_a_flood_of_refused_calls_is_counted_and_written_in_part(door: Door) -> None:
    with audited() as lines:
        async with door.client() as client:
            for _ in range(MOST + 30):
                await client.get("/v1/personas")
            assert len(lines) == MOST
            door.clock.now += WINDOW
            door.audit.flush()
            assert lines[-1]["left_out"] == 30
            assert lines[-1]["status"] == 401
            await client.get("/v1/personas")
            assert len(lines) == MOST + 2
            door.audit.close()
            assert len(lines) == MOST + 2
    assert door.refusals.labels("401")._value.get() == MOST + 31


async def test_a_flood_of_one_kind_hides_no_refusal_of_another(door: Door) -> None:
    with audited() as lines:
        async with door.client() as client:
            for _ in range(MOST + 5):
                await client.get("/v1/personas")
            await enter(client)
            await client.post("/v1/rank")
    assert (lines[-1]["status"], lines[-1]["reason"]) == (403, "another origin")


def test_a_line_cannot_be_forged_by_what_callers_send() -> None:
    with audited() as lines:
        audit_log.write("call", 'a\n{"who": "b"}', "refused", {"address": "\x1b[2J\u2028"})
    assert lines[0]["who"] == 'a\n{"who": "b"}'


def test_a_log_that_cannot_be_written_is_refused_at_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"STREAM_PERSONA_AUDIT_FILE: .* can't be written"):
        audit_log.configure(tmp_path / "nowhere" / "audit.log")


def test_a_line_that_its_file_does_not_take_comes_on_standard_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    (folder := tmp_path / "logs").mkdir()
    file = folder / "audit.log"
    handlers, level = audit_log.logger.handlers[:], audit_log.logger.level
    try:
        audit_log.configure(file)
        audit_log.write("deletion", "crm", "accepted", {"event_id": "e1"})
        file.unlink()
        folder.rmdir()
        for name in ("e2", "e3"):
            audit_log.write("deletion", "crm", "accepted", {"event_id": name})
        folder.mkdir()
        audit_log.write("deletion", "crm", "accepted", {"event_id": "e4"})
        full = [json.loads(line)["event_id"] for line in capsys.readouterr().err.splitlines()]
        assert full == ["e2", "e3"]
        assert json.loads(file.read_text())["event_id"] == "e4"
        audit_log.configure(Path("/dev/full"))
        audit_log.write("deletion", "crm", "accepted", {"event_id": "e5"})
        assert json.loads(capsys.readouterr().err)["event_id"] == "e5"
        assert caplog.text.count("STREAM_PERSONA_AUDIT_FILE can't be written") == 3
    finally:
        audit_log.logger.handlers[:], audit_log.logger.propagate = handlers, True
        audit_log.logger.setLevel(level)


async def test_a_flood_is_counted_by_a_closed_set_of_labels() -> None:
    api = create_api(Settings(_env_file=None, api_keys=MASTER), taxonomy.load(None))
    transport = httpx.ASGITransport(api)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        for number in range(50):
            await client.get(f"/v1/{number}", headers={"X-API-Key": f"a-wrong-key-of-{number}"})
    metrics = generate_latest(api.state.dependencies.metrics.registry).decode()
    found = [
        line for line in metrics.splitlines() if line.startswith("stream_persona_api_refusals_t")
    ]
    assert found == ['stream_persona_api_refusals_total{status="401"} 50.0']


# --- the collector's keys, which may come in a body ---


async def test_a_key_in_a_body_lets_in_to_the_collector_alone(tmp_path: Path) -> None:
    write_keys(tmp_path / "keys.toml", web="collect", reader="read")
    door = Door(api_keys_file=tmp_path / "keys.toml")

    async def collect(request: Request) -> PlainTextResponse:
        admit_by_key(request.scope, door.keys, (await request.json())["writeKey"])
        return PlainTextResponse("")

    routes = [Route("/v1/batch", collect, methods=["POST"])]
    app = DoorMiddleware(
        Starlette(routes=routes), door.keys, Rules(routes), TokenBuckets(0), door.audit
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
