"""Sends the head of an answer and its body to the system in one call.

uvicorn writes them one after another, in the same turn of the event loop: two calls, two packets,
and a caller that is woken for a head alone. The head waits for what follows it in this turn, and no
longer: the head of a stream, whose first event may come much later, goes at the turn's end.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

_HEAD: Final = b"HTTP/1.1 "


class JoinedWrites:
    """A transport, of which the head of an answer is written with what follows it."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""
        self.is_closing = transport.is_closing
        self.abort = transport.abort

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - all else is the transport's own
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Write, or wait for what follows a head."""
        if self._head:
            data, self._head = self._head + data, b""
        elif data.startswith(_HEAD):
            self._head = data
            asyncio.get_running_loop().call_soon(self._flush)
            return
        if data:
            self._transport.write(data)

    def close(self) -> None:
        """Close once all has been written."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head)
