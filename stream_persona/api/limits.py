"""How much a caller may ask for: requests a second, and bytes of one request."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

from stream_persona.api.problems import problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Callers whose buckets are remembered; the one longest unheard of goes first.
MOST_CALLERS: Final = 10_000


class Buckets:
    """A token bucket for each caller: it holds a second's worth and is filled steadily.

    ``clock`` gives seconds that never go back.
    """

    def __init__(
        self, rate: float, clock: Callable[[], float] = time.monotonic, most: int = MOST_CALLERS
    ) -> None:
        """``rate`` is in requests a second; 0 lets everything through."""
        self._rate = rate
        self._holds = max(1.0, rate)
        self._clock = clock
        self._most = most
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def wait(self, caller: str) -> float:
        """Take a token; the seconds after which there is one again when there is none."""
        if not self._rate:
            return 0.0
        now = self._clock()
        tokens, since = self._buckets.pop(caller, (self._holds, now))
        tokens = min(self._holds, tokens + (now - since) * self._rate)
        enough = tokens >= 1.0
        self._buckets[caller] = (tokens - 1.0 if enough else tokens, now)
        if len(self._buckets) > self._most:
            self._buckets.popitem(last=False)
        return 0.0 if enough else (1.0 - tokens) / self._rate


class Bounded:
    """Middleware that reads no body beyond a limit, whether its length was announced or not."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app = app
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a body that says it is too large, and count one that says nothing."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdecimal() and int(announced[:20]) > self._most:
            await problem(413, self._sentence)(scope, receive, send)
            return
        size = 0

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > self._most:
                raise HTTPException(413, self._sentence)
            return message

        await self._app(scope, counted, send)

    @property
    def _sentence(self) -> str:
        return f"the body is too large: at most {self._most:,} bytes are read"
