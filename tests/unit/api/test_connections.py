"""How long a connection may wait for its caller, on a real server whose clock the tests move."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
import uvicorn

from stream_persona.api import bounds
from stream_persona.api.bounds import Bounds
from stream_persona.api.connections import BoundedProtocol, Connections
from stream_persona.api.metrics import ApiMetrics
from stream_persona.worker.metrics import read_by_label
from tests.support.servers import eventually

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 50000\r\n\r\n"
LARGE = b"x" * 30_000_000


class Site:
    """A server of three connections; an answer to ``/wait`` waits for ``go``."""

    def __init__(self) -> None:
        self.now = 0.0
        self.go = asyncio.Event()
        self.metrics = ApiMetrics()
        self.connections = Connections(
            Bounds(3, 2, 1), self.metrics, lambda: self.now, most_body=50_000
        )
        self.port = 0
        self._callers: list[asyncio.StreamWriter] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        more = scope["path"] != "/refused"
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            more = message["more_body"]
        if scope["path"] == "/wait":
            await self.go.wait()
        body = LARGE if scope["path"] == "/large" else b"ok"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def ask(self, sending: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect and send; the server has read it."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=2**16)
        writer.write(sending)
        await writer.drain()
        self._callers.append(writer)  # one that is forgotten is closed
        return reader, writer

    async def hang_up(self) -> None:
        for caller in self._callers:
            caller.close()
            with suppress(ConnectionError):
                await caller.wait_closed()

    async def pass_time(self, seconds: float) -> None:
        """Let the server look at its connections after so many seconds."""
        self.now += seconds
        await self.connections.sweep()

    def dropped(self) -> dict[str, int]:
        """How many were closed, by their reason."""
        return {why: n for why, n in read_by_label(self.metrics.dropped).items() if n}


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    config = uvicorn.Config(
        site, port=0, log_config=None, lifespan="off", timeout_keep_alive=3_600,
        http=partial(BoundedProtocol, connections=site.connections),  # type: ignore[arg-type]
        h11_max_incomplete_event_size=bounds.HEAD_BYTES,
    )  # fmt: skip
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    site.port = server.servers[0].sockets[0].getsockname()[1]
    yield site
    site.go.set()
    await site.hang_up()
    for connection in list(server.server_state.connections):
        connection.abort()  # type: ignore[union-attr]
    await server.shutdown()


async def held(site: Site, number: int) -> None:
    await eventually(lambda: len(site.connections) == number, 10, "connections are not as many")


async def test_a_connection_that_sends_nothing_is_closed_without_an_answer(site: Site) -> None:
    reader, _ = await site.ask(b"")
    await held(site, 1)
    await site.pass_time(bounds.HEAD_SECONDS - 0.1)
    assert len(site.connections) == 1
    await site.pass_time(0.1)
    assert await reader.read() == b""
    assert site.dropped() == {"head": 1}


async def test_a_head_that_trickles_in_has_the_same_time_as_one_that_stands_still(
    site: Site,
) -> None:
    reader, writer = await site.ask(GET[:5])
    (connection,) = await only(site)
    for at in range(9):
        received = connection._received
        writer.write(GET[5 + at : 6 + at])
        await eventually(lambda n=received: connection._received > n, 10, "it did not read")
        await site.pass_time(1)
    await site.pass_time(1)
    assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
    assert site.dropped() == {"head": 1}


async def only(site: Site) -> list[BoundedProtocol]:
    await held(site, 1)
    return list(site.connections._held)


async def test_a_body_has_ten_seconds_and_one_more_for_each_ten_thousand_bytes(site: Site) -> None:
    reader, writer = await site.ask(POST)
    (connection,) = await only(site)
    await eventually(lambda: connection.cycle is not None, 10, "the head was not read")
    writer.write(b"x" * 20_000)
    await eventually(lambda: connection._received == 20_000, 10, "the bytes were not read")
    await site.pass_time(bounds.BODY_SECONDS + 1.9)
    assert len(site.connections) == 1
    await site.pass_time(0.2)
    assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
    assert site.dropped() == {"body": 1}


async def test_what_is_sent_around_a_body_gets_it_no_more_time_than_the_largest(site: Site) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    reader, writer = await site.ask(head)
    (connection,) = await only(site)
    await eventually(lambda: connection.cycle is not None, 10, "the head was not read")
    site.connections.most_body = 50_000
    chunk = b"1;" + b"e" * 9_000 + b"\r\nx\r\n"
    for _ in range(20):
        received = connection._received
        writer.write(chunk)
        await eventually(
            lambda n=received: connection._received >= n + len(chunk), 10, "it did not read"
        )
    await site.pass_time(bounds.BODY_SECONDS + 4.9)
    assert len(site.connections) == 1
    await site.pass_time(0.2)
    await held(site, 0)
    assert (await reader.read()).startswith(b"HTTP/1.1 408 ")


async def test_a_body_that_nobody_reads_has_ten_seconds_however_much_comes(site: Site) -> None:
    reader, writer = await site.ask(POST.replace(b" / ", b" /refused ").replace(b"5", b"500"))
    (connection,) = await only(site)
    await eventually(lambda: connection.cycle is not None, 10, "the head was not read")
    await eventually(lambda: connection.cycle.response_complete, 10, "it was not refused")
    for _ in range(10):
        received = connection._received
        writer.write(b"x" * 9_000)
        await eventually(lambda n=received: connection._received > n, 10, "it did not read")
        await site.pass_time(1.01)
    await held(site, 0)
    answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.count(b"HTTP/1.1") == 1
    assert site.dropped() == {"body": 1}


async def test_a_connection_that_is_answered_has_no_deadline_but_an_idle_one_has(
    site: Site,
) -> None:
    reader, writer = await site.ask(GET.replace(b" / ", b" /wait "))
    (connection,) = await only(site)
    await eventually(lambda: connection.cycle is not None, 10, "the request was not read")
    await site.pass_time(1_000)
    site.go.set()
    assert (await reader.readuntil(b"0\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    await site.pass_time(bounds.IDLE_SECONDS - 0.1)
    writer.write(GET)
    assert (await reader.readuntil(b"0\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    await site.pass_time(bounds.IDLE_SECONDS + 0.1)
    assert await reader.read() == b""
    assert site.dropped() == {}


async def test_who_does_not_read_is_closed_whatever_is_left_unread(site: Site) -> None:
    await site.ask(GET.replace(b" / ", b" /large "))
    (connection,) = await only(site)
    await eventually(lambda: connection.flow.write_paused, 10, "the answer was not begun")
    await site.pass_time(0)
    await site.pass_time(bounds.UNREAD_SECONDS - 0.1)
    assert len(site.connections) == 1
    await site.pass_time(0.1)
    await held(site, 0)
    assert site.dropped() == {"unread": 1}


async def test_a_connection_that_is_being_closed_ends_although_its_last_bytes_stay_unread(
    site: Site,
) -> None:
    await site.ask(GET.replace(b" / ", b" /large "))
    (connection,) = await only(site)
    await eventually(lambda: connection.flow.write_paused, 10, "the answer was not begun")
    connection.transport.close()
    await site.pass_time(0)
    await site.pass_time(bounds.CLOSING_SECONDS - 0.1)
    assert len(site.connections) == 1
    await site.pass_time(0.1)
    await held(site, 0)


async def test_the_one_that_waits_longest_makes_room_for_a_new_connection(site: Site) -> None:
    longest, _ = await site.ask(b"")
    await held(site, 1)
    others = []
    for number in (2, 3):
        others.append(await site.ask(GET))
        await held(site, number)
        await others[-1][0].readuntil(b"0\r\n\r\n")
    reader, _ = await site.ask(GET)
    assert (await reader.readuntil(b"0\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    assert await longest.read() == b""
    assert len(site.connections) == 3
    assert site.dropped() == {"evicted": 1}


async def test_a_new_connection_gets_503_while_all_others_are_being_answered(site: Site) -> None:
    for number in (1, 2, 3):
        await site.ask(GET.replace(b" / ", b" /wait "))
        await held(site, number)
    await eventually(lambda: not site.connections._waiting, 10, "requests were not read")
    reader, _ = await site.ask(b"")
    answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 1\r\n" in answer
    assert b"cache-control: no-store\r\n" in answer
    assert answer.endswith(b'{"message":"all connections are in use: try again in a second"}')
    assert site.dropped() == {"full": 1}
    site.go.set()


async def test_what_is_closed_is_logged_in_one_line_every_ten_seconds(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "stream_persona")
    for _ in range(3):
        site.connections.count("evicted")
        site.connections.count("head")
        await site.pass_time(4)
    assert len(caplog.messages) == 1
    await site.pass_time(4)
    assert caplog.messages[1].endswith("their callers were done: 2 evicted, 2 head")


# --- the numbers ---


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (64, Bounds(32, 24, 6)),
        (256, Bounds(96, 72, 18)),
        (1_024, Bounds(768, 576, 144)),
        (20_000, Bounds(10_000, 7_500, 1_875)),
        (2**30, Bounds(10_000, 7_500, 1_875)),
    ],
)
def test_bounds_are_derived_from_the_limit_of_open_files(files: int, expected: Bounds) -> None:
    assert Bounds.of(files) == expected
