"""The door of the API before routes that answer with their scope, without any server."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from prometheus_client import CollectorRegistry, Counter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Mount, Route

from stream_persona import audit_log
from stream_persona.api.limits import TokenBuckets
from stream_persona.api.security.audit import Audit
from stream_persona.api.security.headers import AnswerHeadersMiddleware
from stream_persona.api.security.key_file import ApiKeys
from stream_persona.api.security.middleware import DoorMiddleware
from stream_persona.api.security.scopes import TABLE, ScopeRules
from stream_persona.settings import Settings

#: Keys that are long enough.
MASTER = "a-key-that-is-good-for-everything"
KEY = {"X-API-Key": MASTER}
PORT = 8000
OWN = f"127.0.0.1:{PORT}"


class Clock:
    """Seconds that a test turns."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Door:
    """A door with its keys; ``clock`` is the audit log's."""

    def __init__(self, **settings: Any) -> None:
        made = Settings(_env_file=None, **settings)
        self.clock = Clock()
        self.keys = ApiKeys(made)
        self.refusals = Counter("refusals", "Refused", ["status"], registry=CollectorRegistry())
        self.audit = Audit(self.refusals, self.clock)
        self.buckets = TokenBuckets(made.api_requests_per_second)
        routes = [_route_of(name) for name in TABLE]
        door = DoorMiddleware(
            Starlette(routes=routes), self.keys, ScopeRules(routes), self.buckets, self.audit
        )
        self.app = AnswerHeadersMiddleware(door)

    def client(self, peer: str = "127.0.0.1", host: str = OWN) -> httpx.AsyncClient:
        """A client at an address, of a server that listens on ``PORT``."""
        transport = httpx.ASGITransport(self._listening, client=(peer, 50_000))
        return httpx.AsyncClient(
            transport=transport, base_url=f"http://{OWN}", headers={"Host": host}
        )

    async def _listening(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app({**scope, "server": ("127.0.0.1", PORT)}, receive, send)


def table_of(name: str, key: str, *scopes: str) -> str:
    """A table of a file of keys."""
    digest = hashlib.sha256(key.encode()).hexdigest()
    return f'[[key]]\nname = "{name}"\nsha256 = "{digest}"\nscopes = {json.dumps(scopes)}\n'


def key_of(name: str) -> str:
    """The key with this name in files that ``write_keys`` has written."""
    return f"the-key-that-is-of-{name}"


def write_keys(file: Path, **scopes: str) -> None:
    """Write a file of keys by name, each with its scopes between blanks."""
    tables = [table_of(name, key_of(name), *each.split()) for name, each in scopes.items()]
    file.write_text("\n".join(tables))


@contextmanager
def audited(level: int = logging.INFO) -> Iterator[list[dict[str, Any]]]:
    """The lines that the audit log gets meanwhile."""
    lines: list[dict[str, Any]] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            assert "\n" not in record.getMessage()
            lines.append(json.loads(record.getMessage()))

    before, handler = audit_log.logger.level, Kept()
    audit_log.logger.addHandler(handler)
    audit_log.logger.setLevel(level)
    yield lines
    audit_log.logger.removeHandler(handler)
    audit_log.logger.setLevel(before)


def _route_of(name: str) -> BaseRoute:
    method, _, path = name.rpartition(" ")

    async def answer(_: Request) -> PlainTextResponse:
        return PlainTextResponse(TABLE[name])

    if not method:
        return Mount(path, routes=[Route("/{path:path}", answer)])
    return Route(path, answer, methods=[method])


async def enter(client: httpx.AsyncClient) -> None:
    assert (await client.get(f"/?key={MASTER}")).status_code == 303
