"""A TCP proxy that makes a server slow, silent or absent, and well again, while clients use it.

.. code-block:: python

    async with SlowProxy("127.0.0.1", 6379) as proxy:
        settings = settings_for(kafka, f"redis://{proxy.address}/0")
        proxy.delay = 0.2      # every reply comes 200 ms later
        proxy.freeze()         # nothing passes, either way; connections stay open
        proxy.unfreeze()
        proxy.cut()            # all present connections are reset
        proxy.refuse = True    # new ones are reset as soon as they are made

A delay is a latency, not a rate: replies that came together go on together. What waits in the
proxy is bounded, so a client that does not read slows the server down as it does without a proxy.
Kafka sends its clients to an advertised address: see ``RealKafka.proxied`` and
``SlowProxy.of_kafka``.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Protocol, Self

#: Most bytes of one read, and most reads of a connection that wait for their time.
CHUNK = 65_536
WAITING = 256


class ProxiedKafka(Protocol):
    """A broker with a listener for a proxy, and the address that it advertises for the proxy."""

    proxied: int
    proxy: int


class SlowProxy:
    """Listens on ``address`` and passes on to ``host:port``; ``listen`` 0 is any free port."""

    def __init__(self, host: str, port: int, listen: int = 0) -> None:
        #: Seconds by which each reply comes later.
        self.delay = 0.0
        #: Whether new connections are reset at once.
        self.refuse = False
        #: How many connections were accepted, and how many reply bytes were passed on.
        self.accepted = 0
        self.replied = 0
        self._target = host, port
        self._listen = listen
        self._server: asyncio.Server | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._open: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()

    @classmethod
    def of_kafka(cls, kafka: ProxiedKafka) -> Self:
        """One whose ``address`` is a broker's to all clients that begin there."""
        return cls("127.0.0.1", kafka.proxied, kafka.proxy)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._listen)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.refuse = True
        self.unfreeze()
        self.cut()
        await asyncio.gather(*self._serving, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def port(self) -> int:
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def address(self) -> str:
        """``host:port``, where clients connect."""
        return f"127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Reset all connections; new ones are welcome."""
        for writer in self._open:
            writer.transport.abort()

    def freeze(self) -> None:
        """Pass nothing on, either way, as when a host is gone without a packet."""
        self._flowing.clear()

    def unfreeze(self) -> None:
        """Pass on what has waited, and all that comes."""
        self._flowing.set()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self.refuse:
            writer.transport.abort()
            return
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            await self._join(reader, writer)
        except OSError:  # the server is not there, and so are we
            writer.transport.abort()
        finally:
            self._open.discard(writer)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection(*self._target)
        self._open.add(to_server)
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(WAITING)
        ways = [
            self._pass(reader, to_server),
            self._take(from_server, waiting),
            self._give(waiting, writer),
        ]
        try:
            await _first_of(ways)
        finally:
            self._open.discard(to_server)
            to_server.transport.abort()
            writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """The client's requests, as they come."""
        while chunk := await reader.read(CHUNK):
            await self._flowing.wait()
            writer.write(chunk)
            await writer.drain()

    async def _take(
        self, reader: asyncio.StreamReader, waiting: asyncio.Queue[tuple[float, bytes]]
    ) -> None:
        """The server's replies, each with the time when it is due; at the end an empty one."""
        loop = asyncio.get_running_loop()
        chunk = b"-"
        while chunk:
            chunk = await reader.read(CHUNK)
            await waiting.put((loop.time() + self.delay, chunk))
        await loop.create_future()  # `_give` ends the connection, once all is given

    async def _give(
        self, waiting: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter
    ) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, chunk = await waiting.get()
            if (early := due - loop.time()) > 0:
                await asyncio.sleep(early)
            await self._flowing.wait()
            if not chunk:
                return
            writer.write(chunk)
            self.replied += len(chunk)
            await writer.drain()


async def _first_of(ways: list[Coroutine[object, object, None]]) -> None:
    """Run all until one ends, by an end of file or an error; end the others."""
    tasks = [asyncio.ensure_future(way) for way in ways]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)
