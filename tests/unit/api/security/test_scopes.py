"""Each route needs exactly one scope, and a key reaches the routes of its scopes alone."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.routing import Mount, Route

from stream_persona.api import create_api
from stream_persona.api.security.scopes import ENTRY, OPEN, SCOPES, TABLE, ScopeRules
from stream_persona.domain import taxonomy
from stream_persona.settings import Settings
from tests.support.doors import MASTER, Door, key_of, write_keys

#: Where a library sends to, for a page that has the key: nothing of anybody.
LIBRARY_SETTINGS = "GET /v1/projects/{write_key}/settings"

APP = create_api(Settings(_env_file=None, api_keys=MASTER), taxonomy.load(None))
#: Requests of each scope, two of them with an id that looks like another path.
REQUESTS = [
    (method or "GET", path.replace("{customer_id:path}", "c1/persona"), scope)
    for name, scope in TABLE.items()
    for method, _, path in (name.rpartition(" "),)
    if method
]


def rows_of(app: FastAPI) -> list[str]:
    """The row of each route that an application has."""
    contexts = list(iter_route_contexts(app.routes))
    return [
        f"{method} {context.path}" if context.methods else str(context.path)
        for context in contexts
        for method in sorted((context.methods or {""}) - {"HEAD"})
    ]


def test_each_route_of_the_application_has_one_row_and_only_the_collectors_rows_may_wait() -> None:
    rows = rows_of(APP)
    assert len(rows) == len(set(rows)) > 20
    assert set(rows) <= set(TABLE)
    assert {TABLE[name] for name in set(TABLE) - set(rows)} <= {"collect"}


def test_the_routes_that_need_no_key_are_these() -> None:
    assert {name for name, scope in TABLE.items() if scope == OPEN} == {
        "GET /healthz", "GET /readyz", "/static", "/static/swagger",
    }  # fmt: skip
    assert {name for name, scope in TABLE.items() if scope == ENTRY} == {
        "GET /login", "GET /login/callback", "POST /logout",
    }  # fmt: skip


def test_each_command_and_the_collector_have_scopes_that_read_nothing() -> None:
    methods = {
        scope: {
            name.partition(" ")[0]
            for name, of in TABLE.items()
            if of == scope and name != LIBRARY_SETTINGS
        }
        for scope in SCOPES
    }
    assert {scope: methods[scope] for scope in ("collect", "assign", "delete")} == {
        "collect": {"POST"}, "assign": {"PUT"}, "delete": {"DELETE"}
    }  # fmt: skip


@pytest.mark.parametrize(
    "route",
    [
        Route("/v1/forgotten", lambda _: None), Route("/v1/rank", lambda _: None, methods=["GET"]),
        Mount("/v1/mounted", FastAPI()),
        Route("/v1/personas", lambda _: None, methods=["GET", "POST"]),
    ],
)  # fmt: skip
def test_a_route_that_no_row_names_is_not_served(route: Route | Mount) -> None:
    with pytest.raises(LookupError, match="give it one scope"):
        ScopeRules([route])


@pytest.fixture
def door(tmp_path: Path) -> Door:
    """A door with a key for each scope, named so."""
    write_keys(tmp_path / "keys.toml", **{scope: scope for scope in SCOPES})
    return Door(api_keys_file=tmp_path / "keys.toml")


async def ask(client: httpx.AsyncClient, method: str, path: str, name: str) -> httpx.Response:
    return await client.request(method, path, headers={"X-API-Key": key_of(name)})


@pytest.mark.parametrize("scope", SCOPES)
async def test_a_key_with_one_scope_reaches_its_routes_and_is_told_what_it_lacks_elsewhere(
    door: Door, scope: str
) -> None:
    async with door.client() as client:
        for method, path, needed in REQUESTS:
            answer = await ask(client, method, path, scope)
            if needed in {scope, OPEN, ENTRY}:
                assert (answer.status_code, answer.text) == (200, needed)
            else:
                message = f"this key lacks the scope `{needed}`"
                assert (answer.status_code, answer.json()) == (403, {"message": message}), path


async def test_a_path_that_two_routes_match_needs_the_scope_of_the_one_that_answers(
    door: Door,
) -> None:
    async with door.client() as client:
        for method, path, scope in (
            ("GET", "/v1/customers/a/assignment/persona", "read"),
            ("PUT", "/v1/customers/a/persona/assignment", "assign"),
            ("DELETE", "/v1/customers/a/persona", "delete"),
            ("DELETE", "/v1/customers/", "delete"),
        ):
            assert (await ask(client, method, path, scope)).text == scope
            for other in {*SCOPES} - {scope}:
                assert (await ask(client, method, path, other)).status_code == 403


async def test_a_path_without_a_route_needs_a_key_and_then_is_not_there(door: Door) -> None:
    async with door.client() as client:
        assert (await client.get("/v1/nothing")).status_code == 401
        assert (await ask(client, "GET", "/v1/nothing", "collect")).status_code == 404
        assert (await ask(client, "PATCH", "/v1/personas", "collect")).status_code == 405


def test_the_description_names_the_scope_of_each_route() -> None:
    scopes = {name.replace(":path}", "}"): scope for name, scope in TABLE.items()}
    for path, operations in APP.openapi()["paths"].items():
        for method, operation in operations.items():
            scope = scopes[f"{method.upper()} {path}"]
            wanted = (
                [] if scope == OPEN else [{name: [scope]} for name in ("bearer", "header", "basic")]
            )
            assert operation["security"] == wanted
            assert (f"the scope `{scope}`" in operation["description"]) == (scope != OPEN)
