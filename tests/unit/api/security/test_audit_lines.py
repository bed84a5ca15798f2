"""What the door and commands leave in the audit log."""

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
from starlette.types import Message, Receive, Scope, Send

from stream_persona import audit_log
from stream_persona.api import create_api
from stream_persona.api.limits import TokenBuckets
from stream_persona.api.security.audit import MOST, WINDOW, note_command
from stream_persona.api.security.middleware import DoorMiddleware
from stream_persona.api.security.scopes import ScopeRules
from stream_persona.domain import taxonomy
from stream_persona.errors import SettingsError
from stream_persona.settings import Settings
from tests.support.doors import KEY, MASTER, Door, audited, enter, key_of, write_keys


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
    app = DoorMiddleware(routes[0], door.keys, ScopeRules(routes), TokenBuckets(0), door.audit)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    with audited(level) as lines:
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            await client.delete("/v1/customers")
    (line,) = lines
    assert (line["who"], line["action"], line["outcome"]) == ("loopback", "deletion", outcome)
    named = level == logging.DEBUG and status is not None
    assert ("secret-customer" in json.dumps(line)) == named
    assert (line.get("event_id") == "event-1") == (status is not None)


async def test_a_command_is_answered_once_its_line_is_written() -> None:
    async def delete(_: Request) -> PlainTextResponse:
        return PlainTextResponse("", 202)

    door, found = Door(), list[int]()
    routes = [Route("/v1/customers", delete, methods=["DELETE"])]
    app = DoorMiddleware(routes[0], door.keys, ScopeRules(routes), TokenBuckets(0), door.audit)

    async def count_lines(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_and_count(message: Message) -> None:
            found.append(len(lines))
            await send(message)

        await app(scope, receive, send_and_count)

    with audited() as lines:
        transport = httpx.ASGITransport(count_lines)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            await client.delete("/v1/customers")
    assert found == [1, 1]  # its head and its body


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
        Starlette(routes=routes), door.keys, ScopeRules(routes), TokenBuckets(0), door.audit
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
