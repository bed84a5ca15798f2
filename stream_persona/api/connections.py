"""Connections of callers, bounded below the application: their number, and how long each may wait.

A connection that is being answered may take its time. One that waits for its caller (for a head or
a body, for the next request, for the caller to read) has a deadline, and where all connections are
in use the one that has waited longest makes room for a new one, as in nginx. So thousands of
half-open connections keep nobody out. If all are being answered, a new one gets 503 at once.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, cast

import h11
import orjson
from uvicorn.protocols.http.h11_impl import H11Protocol

from stream_persona.api import bounds as limits
from stream_persona.api.joined_writes import JoinedWrites

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from uvicorn.protocols.http.h11_impl import RequestResponseCycle

    from stream_persona.api.bounds import Bounds
    from stream_persona.api.metrics import ApiMetrics

logger = logging.getLogger(__name__)

#: Seconds between two looks at all connections, and between two lines about those that were closed.
SWEEP_SECONDS: Final = 1.0
_REPORT_SECONDS: Final = 10.0


class Phase(Enum):
    """What a connection is waiting for."""

    HEAD = "head"
    IDLE = "idle"
    BODY = "body"
    ANSWER = "answer"
    READER = "unread"
    CLOSING = "closing"


#: Phases in which it is the caller's turn, so that a connection may have to make room.
_CALLERS_TURN: Final = frozenset({Phase.HEAD, Phase.IDLE, Phase.BODY})
_SECONDS: Final = {
    Phase.HEAD: limits.HEAD_SECONDS,
    Phase.IDLE: float(limits.IDLE_SECONDS),
    Phase.BODY: limits.BODY_SECONDS,
    Phase.ANSWER: math.inf,
    Phase.READER: limits.UNREAD_SECONDS,
    Phase.CLOSING: limits.CLOSING_SECONDS,
}


class Connections:
    """All connections of a process; ``clock`` gives seconds that never go back."""

    def __init__(
        self, bounds: Bounds, metrics: ApiMetrics, clock: Callable[[], float], most_body: int
    ) -> None:
        """Hold none yet; at most ``most_body`` bytes of a body are read."""
        self._most = bounds.connections
        self.most_body = most_body
        self._metrics = metrics
        self.clock = clock
        self._held: dict[BoundedProtocol, None] = {}
        #: Those that wait for their caller: the one that has waited longest is the first.
        self._waiting: dict[BoundedProtocol, None] = {}
        self._closed: Counter[str] = Counter()
        self._next_report = 0.0

    def __len__(self) -> int:
        return len(self._held)

    def admit(self, connection: BoundedProtocol) -> bool:
        """Hold a new connection, in the place of another one if need be; False: there is no room.

        The other one is closed.
        """
        if len(self._held) >= self._most:
            longest = next(iter(self._waiting), None)
            if longest is None:
                self.count("full")
                return False
            self.count("evicted")
            self.forget(longest)
            longest.abort()
        self._held[connection] = None
        self._waiting[connection] = None
        return True

    def note(self, connection: BoundedProtocol, *, waits: bool) -> None:
        """Note that a connection begins to wait for its caller, or does so no more."""
        self._waiting.pop(connection, None)
        if waits and connection in self._held:
            self._waiting[connection] = None

    def forget(self, connection: BoundedProtocol) -> None:
        """Hold a connection no more."""
        self._held.pop(connection, None)
        self._waiting.pop(connection, None)

    def count(self, reason: str) -> None:
        """Count a connection that was closed before its caller was done."""
        self._metrics.dropped.labels(reason).inc()
        self._closed[reason] += 1

    async def sweep(self) -> None:
        """Close what is overdue; log what was closed, at most every ten seconds."""
        now = self.clock()
        for connection in list(self._held):
            connection.look(now)
        if self._closed and now >= self._next_report:
            numbers = ", ".join(f"{n:,} {why}" for why, n in sorted(self._closed.items()))
            logger.warning("connections closed before their callers were done: %s", numbers)
            self._closed.clear()
            self._next_report = now + _REPORT_SECONDS


class BoundedProtocol(H11Protocol):
    """uvicorn's HTTP, of which every wait for the caller has an end."""

    def __init__(self, *args: Any, connections: Connections, **options: Any) -> None:  # noqa: ANN401 - uvicorn's own
        super().__init__(*args, **options)
        self._all = connections
        self._phase = Phase.HEAD
        self._since = connections.clock()
        self._received = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Hold the connection, or refuse it."""
        super().connection_made(JoinedWrites(transport))  # type: ignore[arg-type]
        if not self._all.admit(self):
            self._refuse(503, "all connections are in use: try again in a second", retry=1)

    def connection_lost(self, exc: Exception | None) -> None:
        """Hold it no more."""
        self._all.forget(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count the bytes, and see what they end."""
        self._received += len(data)
        super().data_received(data)
        self._observe()

    def on_response_complete(self) -> None:
        """Begin to wait for the next request."""
        self.cycle.body = bytearray()  # of a request that was refused unread
        super().on_response_complete()
        self._observe()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP as every other mistake is answered: with a sentence in JSON."""
        if len(self.conn.trailing_data[0]) > limits.HEAD_BYTES:
            self._refuse(431, limits.describe_too_long_head())
        else:
            self._refuse(400, f"{msg.rstrip('.').lower()}: this is no HTTP/1.1")

    def look(self, now: float) -> None:
        """End a wait that is overdue."""
        self._observe()
        seconds = _SECONDS[self._phase]
        if self._phase is Phase.BODY and not self._is_answered():
            # What is sent around a body, as in chunks, gets it no time beyond that of the largest.
            seconds += min(self._received, self._all.most_body) / limits.BODY_RATE
        if now - self._since >= seconds:
            self._end_wait()

    def abort(self) -> None:
        """Close at once, whatever the caller has not read yet."""
        self.transport.abort()

    def _observe(self) -> None:
        phase = self._find_phase()
        if phase is not self._phase:
            self._phase, self._since, self._received = phase, self._all.clock(), 0
            self._all.note(self, waits=phase in _CALLERS_TURN)

    def _is_answered(self) -> bool:
        """Whether the answer is there: nobody reads what is left of the body."""
        return bool(self.cycle.response_complete)

    def _find_phase(self) -> Phase:
        cycle = cast("RequestResponseCycle | None", self.cycle)
        if self.transport.is_closing():
            return Phase.CLOSING
        if self.flow.write_paused:
            return Phase.READER
        if cycle is None:
            return Phase.HEAD
        if not cycle.response_complete:
            return Phase.BODY if cycle.more_body else Phase.ANSWER
        if self.conn.their_state is h11.SEND_BODY:  # what is left of a body that nobody reads
            return Phase.BODY
        return Phase.HEAD if self.conn.trailing_data[0] else Phase.IDLE

    def _end_wait(self) -> None:
        if self._phase is not Phase.IDLE:
            self._all.count("unread" if self._phase is Phase.CLOSING else self._phase.value)
        if self._phase in {Phase.READER, Phase.CLOSING}:
            self.abort()
        elif self._phase is Phase.BODY and not self.cycle.response_started:
            self._refuse(408, "the rest of the request did not come in time")
        elif self._phase is Phase.HEAD and self._received:
            self._refuse(408, "the request's head did not come in time")
        else:
            self.transport.close()

    def _refuse(self, status: int, sentence: str, retry: int | None = None) -> None:
        body = orjson.dumps({"message": sentence})
        wait = "" if retry is None else f"retry-after: {retry}\r\n"
        head = (
            f"HTTP/1.1 {status} \r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
            "\r\ncache-control: no-store\r\nx-content-type-options: nosniff\r\n"
            f"{wait}connection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()
