"""Changes as server-sent events: one connection to Redis, one ring, any number of listeners.

The ring holds the newest changes once; a listener is nothing but a position in it. A listener so
slow that its position has left the ring is dropped: it reconnects with ``Last-Event-ID`` (a
``change_id``, the same on every API process) and gets what the ring still holds after it. An id
that the ring does not hold is answered with an event ``gap`` and everything it holds. So a change
may arrive twice, with one id. Deletions carry no id of their own.

Nobody gets the changes of a deleted customer, whatever they ask for: neither from the ring, nor
from the topic when a process begins or has lost its connection to the channel (``refill``).
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing, nullcontext, suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from starlette.responses import StreamingResponse

from stream_persona.api.ring import HeldChange, Ring
from stream_persona.retrying import retry_endlessly

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable
    from contextlib import AbstractContextManager

    from starlette.types import Receive, Scope, Send

logger = logging.getLogger(__name__)

#: Seconds of silence after which a listener gets a comment.
HEARTBEAT: Final = 15.0
#: Seconds in which a listener must take a chunk.
SEND_SECONDS: Final = 30.0
_RETRY_MS: Final = 2_000
_POLL: Final = 5.0
_GAP: Final = b"event: gap\ndata: {}\n\n"
#: Seconds that a listener waits for the changes from before the process started.
_REFILL_SECONDS: Final = 5.0


class ChangeFeed:
    """Receives the channel of changes for any number of listeners.

    ``receive`` is called with each change, before listeners get it, and not again with one that is
    held: it may come twice. It may raise what a message
    that is no change raises; then nothing is passed on. ``subscriptions`` counts how often the
    channel was subscribed to.
    """

    def __init__(
        self, redis: Redis, channel: str, receive: Callable[[dict[str, Any]], None]
    ) -> None:
        self._redis = redis
        self._channel = channel
        self._receive = receive
        self._closed = False
        self._is_refused = False
        self.ring = Ring()
        self.listeners = 0
        self.ready = False
        self.subscriptions = 0
        self.refilled = asyncio.Event()
        self.refilled.set()

    async def follow(self) -> None:
        """Receive changes for ever; subscribe again whenever Redis was away."""
        try:
            await retry_endlessly(
                self._subscribe, on=(RedisError, OSError), note=self._note_trouble
            )
        finally:
            self.ready = False

    def close(self) -> None:
        """End every listener's stream; they may reconnect to another process."""
        self._closed = True
        self.ring.wake()

    def publish(self, data: bytes) -> None:
        """Pass one message of the channel on to listeners; log and drop what is no change."""
        try:
            change = msgspec.json.decode(data)
            event = _format_event(change)
            if not self.ring.holds(event):
                self._receive(change)
        except _NO_CHANGE as error:
            logger.warning("a message on %s is no change: %r", self._channel, error)
            return
        self.ring.add(event)

    def prepend(self, messages: Iterable[tuple[int, bytes]]) -> None:
        """Add messages from before the first that was received; ``receive`` is not called.

        Each has the time at which it was sent, in epoch milliseconds; the oldest is the first.
        """
        older, times = [], []
        for at, data in messages:
            with suppress(*_NO_CHANGE):  # the topic may hold another program's messages
                older.append(_format_event(msgspec.json.decode(data)))
                times.append(at)
        self.ring.prepend(older, times)

    def forget_deleted(self, messages: Iterable[tuple[int, bytes]]) -> None:
        """Empty what is held from before the deletions among messages; the oldest is the first."""
        later: dict[str, set[str]] = {}
        for _, data in messages:
            with suppress(*_NO_CHANGE):
                change = _format_event(msgspec.json.decode(data))
                if change.is_deletion:
                    later[change.customer_id] = set()
                elif change.customer_id in later:
                    later[change.customer_id].add(change.change_id)
        for customer, ids in later.items():
            self.ring.forget(customer, but=ids)

    async def listen(
        self,
        last_id: str | None = None,
        recent: int = 0,
        heartbeat: float = HEARTBEAT,
        may_listen: Callable[[], bool] = lambda: True,
    ) -> AsyncGenerator[bytes]:
        """Yield one listener's stream: what comes after ``last_id``, or what comes from now on.

        Without ``last_id``, that many ``recent`` changes come first, without those that would show
        of deleted customers. After ``heartbeat`` seconds of
        silence a comment is sent. The stream ends once ``may_listen`` is false.
        """
        end = self.ring.end
        self.listeners += 1
        try:
            yield f"retry: {_RETRY_MS}\n\n".encode()
            await self._wait_for_refill()
            position: int | None = min(end, max(self.ring.start, end - recent))
            missed, quiet_until = list[bytes](), end if last_id is None else None
            if last_id is not None:
                position = self.ring.find_position_after(last_id)
                missed = self.ring.list_tied_before(last_id)
            if position is None:
                yield _GAP
                position = self.ring.start
            while not self._closed and may_listen() and position >= self.ring.start:
                events = self.ring.read(position, quiet_until)
                if missed or events:
                    position += len(events)
                    chunk, missed = b"".join([*missed, *events]), []
                    if chunk:
                        yield chunk
                    continue
                await self.ring.wait(heartbeat)
                if position == self.ring.end:
                    yield b": still here\n\n"
        finally:
            self.listeners -= 1

    async def _wait_for_refill(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_REFILL_SECONDS):
                await self.refilled.wait()

    def _note_trouble(self, error: Exception) -> None:
        """Log what ends a subscription, and the first of a row of refusals."""
        is_refused = isinstance(error, AuthenticationError | NoPermissionError)
        if self.ready or (is_refused and not self._is_refused):
            logger.warning("changes can't be followed for now: %s", error)
        self.ready, self._is_refused = False, is_refused

    async def _subscribe(self) -> None:
        """Receive changes until Redis is away; ready from the confirmation on."""
        async with self._redis.pubsub() as pubsub:
            await pubsub.subscribe(self._channel)
            pinged = False
            while True:
                message = await pubsub.get_message(timeout=_POLL)
                if message is not None and message["type"] == "subscribe":
                    self.ready = True
                    self.subscriptions += 1
                if message is not None and message["type"] == "message":
                    self.publish(message["data"])
                if message is None and pinged:
                    raise RedisConnectionError(f"no answer for {_POLL:g} s")
                pinged = message is None
                if pinged:
                    await pubsub.ping()


class EventStream(StreamingResponse):
    """Server-sent events; a listener that takes nothing for ``patience`` seconds is dropped.

    It holds its ``seat`` until it ends; where there is none, the refusal is the answer.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        events: AsyncGenerator[bytes],
        seat: AbstractContextManager[None] | None = None,
        patience: float = SEND_SECONDS,
    ) -> None:
        super().__init__(events, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._events = events
        self._seat = seat or nullcontext()
        self._patience = patience

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take the seat, and stream."""
        with self._seat:
            await super().__call__(scope, receive, send)

    async def stream_response(self, send: Send) -> None:
        """Send until the events end, or the listener takes none for too long."""
        head = {"status": self.status_code, "headers": self.raw_headers}
        await send({"type": "http.response.start", **head})
        async with aclosing(self._events) as events:
            async for chunk in events:
                try:
                    async with asyncio.timeout(self._patience):
                        await send({"type": "http.response.body", "body": chunk, "more_body": True})
                except TimeoutError:
                    return  # unfinished, so the server closes the connection
        await send({"type": "http.response.body", "body": b"", "more_body": False})


_NO_CHANGE: Final = (msgspec.MsgspecError, AttributeError, KeyError, TypeError)


def _format_event(change: dict[str, Any]) -> HeldChange:
    """Format a change as one server-sent event.

    A deletion has no id: the listener's ``Last-Event-ID`` remains that of the event before.
    """
    change_id: str = "" if change.get("deleted") else change["change_id"]
    head = f"id: {change_id}\n" if change_id.isalnum() else ""
    event = head.encode() + b"data: " + msgspec.json.encode(change) + b"\n\n"
    return HeldChange(change_id, change["customer_id"], event, bool(change.get("deleted")))
