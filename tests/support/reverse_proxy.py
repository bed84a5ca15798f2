"""A reverse proxy: it rewrites the head of a request, and passes on the rest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

#: Rewrites a head, line by line; the second argument is ``host:port`` of what is behind.
Rewrite = Callable[[list[str], str], list[str]]


def forwarding(head: list[str], behind: str) -> list[str]:
    """As most are set up: the client's address in a header, the Host that of what is behind."""
    return [*_to(head, behind), "X-Forwarded-For: 127.0.0.1", "X-Forwarded-Host: 127.0.0.1"]


def standard(head: list[str], behind: str) -> list[str]:
    """As the standard has it."""
    return [*_to(head, behind), f"Forwarded: for=127.0.0.1;host={behind}", "Via: 1.1 proxy"]


def terse(head: list[str], behind: str) -> list[str]:
    """As nginx does without another word than ``proxy_pass``: HTTP/1.0, and nothing of itself."""
    first, *rest = _to(head, behind)
    return [first.replace("HTTP/1.1", "HTTP/1.0"), *rest]


def transparent(head: list[str], behind: str) -> list[str]:
    """The Host stays the one that the client asked for, and nothing is added."""
    return head


def _to(head: list[str], behind: str) -> list[str]:
    kept = [line for line in head if not line.lower().startswith(("host:", "connection:"))]
    return [*kept, f"Host: {behind}", "Connection: close"]


@asynccontextmanager
async def proxy(behind: str, rewrite: Rewrite) -> AsyncIterator[str]:
    """A proxy on this machine that others reach; its address."""
    host, _, port = behind.rpartition(":")

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        upstream, sink = await asyncio.open_connection(host, int(port))
        sink.write(("\r\n".join(rewrite(head, behind)) + "\r\n\r\n").encode())
        pumps = [
            asyncio.create_task(_pump(reader, sink)),
            asyncio.create_task(_pump(upstream, writer)),
        ]
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for task in pumps:
            task.cancel()
        for each in (sink, writer):
            each.close()

    server = await asyncio.start_server(pass_on, "127.0.0.1", 0)
    async with server:
        yield "{}:{}".format(*server.sockets[0].getsockname()[:2])


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await source.read(65_536):
            sink.write(data)
            await sink.drain()
