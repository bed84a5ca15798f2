"""Attacks on the API's own process, which may open few files: it goes on, quietly."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from stream_persona.api.bounds import Bounds
from stream_persona.settings import Settings
from tests.support.api import api_process
from tests.support.attacks import (
    HALF_A_BODY,
    HALF_A_HEAD,
    LISTEN,
    connections,
    memory_of,
    statuses,
)
from tests.support.servers import Kafka, Redis, client_of, settings_for, wait_until
from tests.support.waiting import patience

OPEN_FILES = 256
BOUNDS = Bounds.of(OPEN_FILES)
MOST_LOG = 20_000
MOST_MEMORY = 60_000_000


class Attacked(NamedTuple):
    """The API under attack."""

    address: str
    pid: int
    log: Path
    settings: Settings

    def get(self, path: str) -> httpx.Response:
        """Ask on a connection of its own."""
        return httpx.get(f"{self.address}{path}", timeout=patience(10))


@pytest.fixture(scope="module")
def api(
    kafka: Kafka, redis_server: Redis, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Attacked]:
    settings = settings_for(kafka, redis_server.url)
    log = tmp_path_factory.mktemp("api") / "api.log"
    with api_process(settings, log, OPEN_FILES) as (popen, address):
        api = Attacked(address, popen.pid, log, settings)
        wait_until(lambda: "redis" not in api.get("/readyz").json().get("missing", ()), 30)
        yield api


@pytest.mark.parametrize(
    "sending", [b"", HALF_A_HEAD, HALF_A_BODY], ids=["nothing", "half-a-head", "half-a-body"]
)
def test_health_and_lookups_are_answered_while_requests_are_begun_and_never_ended(
    api: Attacked, sending: bytes
) -> None:
    written, memory = api.log.stat().st_size, memory_of(api.pid)
    with httpx.Client(base_url=api.address) as before, connections(api.address, 600, sending):
        assert before.get("/healthz").status_code == 200
        for _ in range(5):
            assert api.get("/healthz").status_code == 200
            assert api.get("/v1/customers/c1/persona").status_code == 404
    assert api.get("/healthz").status_code == 200
    assert api.log.stat().st_size - written < MOST_LOG
    assert memory_of(api.pid) - memory < MOST_MEMORY


async def test_the_listeners_of_one_address_are_served_up_to_their_number(api: Attacked) -> None:
    written, memory = api.log.stat().st_size, memory_of(api.pid)
    with connections(api.address, 200, LISTEN) as held:
        answers = statuses(held)
        assert answers.count("200") == BOUNDS.of_caller
        assert answers.count("429") + answers.count("200") == 200
        refused = api.get("/v1/changes")
        assert refused.headers["retry-after"] == "5"
        assert "streams of changes open" in refused.json()["message"]
        assert api.get("/healthz").status_code == 200
        async with client_of(api.settings.redis_url) as redis:
            channel = f"{api.settings.prefix}persona-changes"
            assert await redis.publish(channel, b'{"deleted": true, "customer_id": "c1"}') == 1
        listener = held[answers.index("200")]
        listener.settimeout(10)
        received = b""
        while b'"c1"' not in received:
            received += listener.recv(4_096)
    wait_until(lambda: "listeners 0.0" in api.get("/metrics").text, 10)
    with connections(api.address, 1, LISTEN) as held:
        assert statuses(held) == ["200"]
    assert api.log.stat().st_size - written < MOST_LOG
    assert memory_of(api.pid) - memory < MOST_MEMORY


def test_what_is_no_http_is_refused_in_json_and_logged_now_and_then(api: Attacked) -> None:
    written = api.log.stat().st_size
    for sending in (b"\x16\x03\x01 nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nNo colon\r\n\r\n"):
        with connections(api.address, 300, sending) as held:
            assert set(statuses(held)) <= {"400", ""}
    upgrade = b"GET / HTTP/1.1\r\nHost: HERE\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
    with connections(api.address, 300, upgrade) as held:
        assert "200" in statuses(held)
    assert api.get("/healthz").status_code == 200
    assert api.log.stat().st_size - written < MOST_LOG


@pytest.mark.parametrize("name", [b"a", b"x-long"])
def test_a_head_that_is_too_long_is_refused(api: Attacked, name: bytes) -> None:
    line = name + b": " + b"y" * 400 + b"\r\n"
    whole = b"GET /healthz HTTP/1.1\r\nHost: HERE\r\n" + 100 * line + b"\r\n"
    with connections(api.address, 1, whole) as held:
        assert statuses(held) == ["431"]
    with connections(api.address, 1, whole[:-2] + 100 * line) as held:
        assert statuses(held) == ["431"]


def test_what_was_closed_is_counted_by_its_reason(api: Attacked) -> None:
    with connections(api.address, 3 * BOUNDS.connections):
        metrics = api.get("/metrics").text
    (evicted,) = [line for line in metrics.splitlines() if 'total{reason="evicted"}' in line]
    assert float(evicted.split()[-1]) > BOUNDS.connections
    assert f"stream_persona_api_connections {BOUNDS.connections}.0" in metrics
