"""Listeners of ``/v1/changes``: what many of them cost one process, and what a slow one gets.

The listeners are in the measuring process, which publishes as well: one clock measures from
the PUBLISH to the last of them, with what reading 1,000 sockets takes in Python.
"""

import asyncio
import json
import socket
import time
from contextlib import suppress
from typing import Any, Self

import numpy as np
from redis.asyncio import Redis

from stream_persona.api.ring import RING
from tests.benchmarks.api_processes import Served
from tests.benchmarks.backpressure import memory
from tests.support.waiting import eventually

Address = tuple[str, int]
#: Seconds in which something must have arrived.
PATIENCE = 60.0
#: Changes until a slow listener has been left behind: the ring's, and what sockets hold.
CHANGES, STEP = RING + 3_000, 500
PADDING = "x" * 4_000
#: The posterior in all changes made here.
POSTERIOR = {"persona": None, "confidence": 0.5, "ambiguous": True, "source": "predicted"}


def request(address: Address, *headers: str) -> bytes:
    lines = ["GET /v1/changes HTTP/1.1", f"Host: {address[0]}:{address[1]}", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


async def wait_until_followed(redis: Redis, channel: str) -> None:
    """Wait until the API follows the channel."""

    async def subscribed() -> bool:
        return bool((await redis.pubsub_numsub(channel))[0][1])

    await eventually(subscribed, PATIENCE, "the API does not follow the changes")


# --- many listeners ---


class Audience:
    """Listeners that wait for the same words, and when the last of them had them."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.transports: list[asyncio.BaseTransport] = []
        self.words = b""

    def expect(self, words: bytes) -> "asyncio.Future[float]":
        self.words, self._left = words, self.size
        self._all = asyncio.get_running_loop().create_future()
        return self._all

    def note(self) -> None:
        self._left -= 1
        if not self._left:
            self._all.set_result(time.perf_counter())

    async def gather(self, address: Address) -> None:
        """Connect all, and wait until each of them was greeted."""
        loop, greeted = asyncio.get_running_loop(), self.expect(b"retry:")
        for _ in range(self.size):
            transport, _ = await loop.create_connection(lambda: Listener(self), *address)
            self.transports.append(transport)
        await asyncio.wait_for(greeted, PATIENCE)

    def close(self) -> None:
        for transport in self.transports:
            transport.close()


class Listener(asyncio.Protocol):
    def __init__(self, audience: Audience) -> None:
        self._audience = audience
        self._received = b""

    def connection_made(self, transport: Any) -> None:
        transport.write(request(transport.get_extra_info("peername")))

    def data_received(self, data: bytes) -> None:
        self._received += data
        # An event ends with an empty line, and the chunk that it came in with one more.
        if self._audience.words in self._received and self._received.endswith(b"\n\n\r\n"):
            self._received = b""
            self._audience.note()


async def measure_many(
    served: Served, redis: Redis, channel: str, change: bytes, number: int, changes: int
) -> dict[str, Any]:
    """Measure the process's memory with so many listeners, and each change's time to the last."""
    before, audience, times = memory(served.process, "VmRSS"), Audience(number), []
    try:
        await audience.gather(served.address)
        connected = memory(served.process, "VmRSS")
        for turn in range(changes):
            sent = json.loads(change) | {"change_id": f"{number:012x}{turn:012x}"}
            all_have_it, began = audience.expect(sent["change_id"].encode()), time.perf_counter()
            await redis.publish(channel, json.dumps(sent, separators=(",", ":")))
            times.append(1e3 * (await asyncio.wait_for(all_have_it, PATIENCE) - began))
        after = memory(served.process, "VmRSS")
    finally:
        audience.close()
    p50, p99 = np.percentile(times, [50, 99])
    return {
        "listeners": number, "changes": changes, "bytes_of_a_change": len(change),
        "p50_ms": float(p50), "p99_ms": float(p99),
        "rss_mb_before": before, "rss_mb_connected": connected, "rss_mb_after": after,
        "kb_a_listener": 1_024 * (after - before) / number,
    }  # fmt: skip


# --- a slow one ---


class Stream:
    """One listener whose socket holds little, and which reads when asked to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.gap = False

    @classmethod
    async def open(cls, address: Address, last_id: str | None = None) -> Self:
        """Connect, and wait for the greeting."""
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, address)
        stream = cls(*await asyncio.open_connection(sock=sock, limit=4 * len(PADDING)))
        headers = [] if last_id is None else [f"Last-Event-ID: {last_id}"]
        stream._writer.write(request(address, "Connection: close", *headers))
        async with asyncio.timeout(PATIENCE):
            while not (await stream._reader.readline()).startswith(b"retry:"):
                continue
        return stream

    async def until(self, last: str) -> list[str]:
        """Read changes up to this one or to the end of the stream; return their ids."""
        found: list[str] = []
        async with asyncio.timeout(PATIENCE):
            while not found or found[-1] != last:
                line = await self._reader.readline()
                if not line:
                    break
                self.gap |= line.startswith(b"event: gap")
                if line.startswith(b"id: "):
                    found.append(line[4:].strip().decode())
        return found

    async def close(self) -> None:
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()


async def slow_listener(address: Address, redis: Redis, channel: str) -> dict[str, Any]:
    """Measure a listener that does not read while the ring runs past it, beside one that does."""
    await wait_until_followed(redis, channel)
    slow, fast = await Stream.open(address), await Stream.open(address)
    ids = [f"{number:024x}" for number in range(CHANGES)]
    missed = 0
    for start in range(0, CHANGES, STEP):
        sent = ids[start : start + STEP]
        await publish(redis, channel, sent)
        missed += (await fast.until(sent[-1])) != sent
    received = await slow.until(ids[-1])
    back = await Stream.open(address, last_id=received[-1])
    caught_up = await back.until(ids[-1])
    for stream in (slow, fast, back):
        await stream.close()
    return {
        "changes": CHANGES,
        "heard_before_it_was_dropped": len(received),
        "dropped_before_the_end": received == ids[: len(received)] and len(received) < CHANGES,
        "told_of_the_gap": back.gap,
        "caught_up_with_all_that_is_held": caught_up == ids[-RING:],
        "the_fast_one_missed": missed,
    }


async def publish(redis: Redis, channel: str, ids: list[str]) -> None:
    async with redis.pipeline(transaction=False) as pipeline:
        for change_id in ids:
            change = {"change_id": change_id, "customer_id": "c", "current": POSTERIOR}
            pipeline.publish(channel, json.dumps(change | {"padding": PADDING}))
        await pipeline.execute()
