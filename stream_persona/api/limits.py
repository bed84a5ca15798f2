"""Limits of what a caller may send: requests a second, and bytes of one request's parts."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

from stream_persona.api.bounds import (
    BODIES_BYTES,
    HEAD_BYTES,
    SMALL_BODY_BYTES,
    describe_too_long_head,
)
from stream_persona.api.problems import make_problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Callers whose buckets are kept; the one that has been idle longest goes first.
MOST_CALLERS: Final = 10_000


class TokenBuckets:
    """A token bucket for each caller: it holds a second's worth and is filled steadily.

    ``clock`` gives seconds that never go back.
    """

    def __init__(
        self, rate: float, clock: Callable[[], float] = time.monotonic, most: int = MOST_CALLERS
    ) -> None:
        """Fill at ``rate`` requests a second; 0 lets everything through."""
        self._rate = rate
        self._capacity = max(1.0, rate)
        self._clock = clock
        self._most = most
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, caller: str) -> float:
        """Take a token and return 0, or return the seconds until there is one."""
        if not self._rate:
            return 0.0
        now = self._clock()
        tokens, since = self._buckets.pop(caller, (self._capacity, now))
        tokens = min(self._capacity, tokens + (now - since) * self._rate)
        enough = tokens >= 1.0
        self._buckets[caller] = (tokens - 1.0 if enough else tokens, now)
        if len(self._buckets) > self._most:
            self._buckets.popitem(last=False)
        return 0.0 if enough else (1.0 - tokens) / self._rate


class HeadLimitMiddleware:
    """Middleware that answers 431 to a request whose line and headers are too long.

    One that is incomplete is refused by the connection; this one came whole in one packet.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse it, or let it through."""
        if scope["type"] == "http" and _count_head_bytes(scope) > HEAD_BYTES:
            await make_problem(431, describe_too_long_head())(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _count_head_bytes(scope: Scope) -> int:
    """Count the bytes of a request's line and headers, signs between them left out."""
    line = len(scope.get("raw_path") or b"") + len(scope["query_string"]) + len(scope["method"])
    return line + sum(len(name) + len(value) for name, value in scope["headers"])


class BodyLimitMiddleware:
    """Middleware that answers 413 to a larger body, whether its length is announced or not.

    Bodies of all requests in progress have a bound as well: beyond it a large one is answered 503.

    Starlette's ``RequestBodyLimitMiddleware`` (1.10) does not fit. Its answer is plain text, where
    ours is JSON, and it lets a route that reads no body run before it refuses: an oversized
    ``DELETE`` would be answered 413 although the deletion was sent.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._sentence = f"the body is too large: at most {max_bytes:,} bytes are read"
        self._most_held = max(BODIES_BYTES, max_bytes)
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a body that is announced as too large, and count the bytes of any other."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdecimal() and int(announced[:20]) > self._max_bytes:
            await make_problem(413, self._sentence)(scope, receive, send)
            return
        body = _Body()
        try:
            await self._app(scope, self._limit(receive, body), send)
        finally:
            self._hold(body, 0)

    def _limit(self, receive: Receive, body: _Body) -> Receive:
        """Return a ``receive`` that raises once the body exceeds a limit."""

        async def receive_limited() -> Message:
            message = await receive()
            body.size += len(message.get("body", b""))
            if body.size > self._max_bytes:
                raise HTTPException(413, self._sentence)
            self._hold(body, body.size if body.size > SMALL_BODY_BYTES else 0)
            if body.held and self._held > self._most_held:
                raise HTTPException(503, _TOO_MANY, {"Retry-After": "1"})
            return message

        return receive_limited

    def _hold(self, body: _Body, size: int) -> None:
        """Add ``size`` bytes of a body to those of all requests in progress."""
        self._held += size - body.held
        body.held = size


@dataclass(slots=True)
class _Body:
    """What has come of a request's body, and what is counted of it."""

    size: int = 0
    held: int = 0


_TOO_MANY: Final = "too many large requests are being read or answered: try again in a second"
