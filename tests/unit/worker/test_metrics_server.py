"""The worker's metrics server: nobody can hold its threads, or have it log."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import httpx
import pytest

from stream_persona.worker import metrics_server
from stream_persona.worker.metrics import Metrics, read_by_label
from stream_persona.worker.metrics_server import (
    MOST_WAITING,
    SCRAPE_HEAD_BYTES,
    SCRAPE_SECONDS,
    MetricsServer,
)
from tests.support.attacks import connections
from tests.support.servers import wait_until


class Scraped(MetricsServer):
    """A server of a worker's metrics, of which the tests move the clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.metrics = Metrics()
        super().__init__(self.metrics, "127.0.0.1", 0, lambda: self.now)
        self.address = f"http://127.0.0.1:{self.server_port}"

    def dropped(self) -> int:
        return sum(read_by_label(self.metrics.dropped_scrapes).values())


@pytest.fixture
def server() -> Iterator[Scraped]:
    server = Scraped()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def threads() -> int:
    return sum("process_request" in each.name for each in threading.enumerate())


@pytest.mark.long
@pytest.mark.parametrize("sending", [b"", b"GET /metrics HTTP/1.1\r\nHost: "])
def test_scrapes_are_answered_while_hundreds_of_others_never_send_their_head(
    server: Scraped, sending: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    with connections(server.address, 300, sending):
        for _ in range(3):
            answer = httpx.get(f"{server.address}/metrics")
            assert "stream_persona_events" in answer.text
        assert threads() <= 3 * MOST_WAITING
        wait_until(lambda: threads() <= MOST_WAITING, 10)
        assert server.dropped() >= 300 - MOST_WAITING
    wait_until(lambda: threads() == 0, 10)
    assert capfd.readouterr() == ("", "")


def test_a_connection_that_sends_nothing_is_closed_after_a_while(server: Scraped) -> None:
    with connections(server.address, 1) as (held,):
        wait_until(lambda: threads() == 1, 10)
        server.now = SCRAPE_SECONDS - 0.1
        server.service_actions()
        assert threads() == 1
        server.now = SCRAPE_SECONDS
        assert held.recv(1) == b""
        wait_until(lambda: threads() == 0, 10)
    assert server.dropped() == 1


def test_who_does_not_take_the_answer_is_let_go(
    server: Scraped, monkeypatch: pytest.MonkeyPatch
) -> None:
    def endless(environ: object, start: object) -> list[bytes]:
        start("200 OK", [])  # type: ignore[operator]
        return [b"x" * 50_000_000]

    server.set_app(endless)
    with connections(server.address, 1, b"GET /metrics HTTP/1.1\r\n\r\n"):
        wait_until(lambda: server._answering, 10)
        server.now = SCRAPE_SECONDS
        wait_until(lambda: threads() == 0, 10)
    assert server.dropped() == 1


def test_a_head_that_is_too_long_ends_the_connection(server: Scraped) -> None:
    line = b"x-long: " + b"y" * 1_000 + b"\r\n"
    number = SCRAPE_HEAD_BYTES // len(line) + 2
    with connections(server.address, 1, b"GET / HTTP/1.1\r\n" + number * line) as (held,):
        assert b"200" not in answer_of(held)
        wait_until(lambda: threads() == 0, 10)


def answer_of(held: socket.socket) -> bytes:
    """Read until the server closes the connection, or resets it."""
    with suppress(ConnectionError):
        return held.recv(100)
    return b""


def test_serving_moves_to_a_free_port_and_stops() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port, close = metrics_server.serve(Metrics(), "127.0.0.1", taken.getsockname()[1])
    assert httpx.get(f"http://127.0.0.1:{port}/metrics").status_code == 200
    close()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/metrics")
