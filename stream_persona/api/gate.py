"""The gate before all routes: a key, where keys are needed, and not too many requests."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from starlette.datastructures import Headers, MutableHeaders, QueryParams

from stream_persona.api.keys import COOKIE
from stream_persona.api.problems import problem

if TYPE_CHECKING:
    from fastapi.responses import JSONResponse
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from stream_persona.api.keys import Keys
    from stream_persona.api.limits import Buckets

#: What probes ask, as often as they like; neither it nor the files of pages tell of a customer.
_OPEN: Final = frozenset({"/healthz", "/readyz"})
_FILES: Final = "/static/"
#: The page: a browser brings its key to it once, in the query.
_PAGE: Final = "/"
_SENTENCE: Final = (
    "a valid API key is needed: send it as `Authorization: Bearer <key>` or `X-API-Key: <key>`, "
    "or open /?key=<key> in a browser"
)


class Gate:
    """Middleware that lets in callers with a key that is known, each at a bounded rate.

    The rate holds for those without a valid key as well, by their address, so that keys can't be
    guessed any faster.
    """

    def __init__(self, app: ASGIApp, keys: Keys, buckets: Buckets) -> None:
        self._app = app
        self._keys = keys
        self._buckets = buckets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, or answer 429 or 401."""
        if scope["type"] != "http" or _is_open(scope["path"]):
            await self._app(scope, receive, send)
            return
        cookie = self._exchanged(scope)
        caller = self._keys.caller(Headers(scope=scope)) if self._keys else None
        refusal = self._too_often(caller or _address(scope))
        if refusal is None and self._keys and caller is None and cookie is None:
            refusal = problem(401, _SENTENCE, {"WWW-Authenticate": "Bearer"})
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        await self._app(scope, receive, send if cookie is None else _setting(send, cookie, scope))

    def _exchanged(self, scope: Scope) -> str | None:
        """The cookie for the key in the page's address."""
        if not self._keys or scope["path"] != _PAGE:
            return None
        return self._keys.cookie_for(QueryParams(scope["query_string"]).get("key", ""))

    def _too_often(self, caller: str) -> JSONResponse | None:
        wait = self._buckets.wait(caller)
        if not wait:
            return None
        seconds = math.ceil(wait)
        message = f"too many requests: try again in {seconds} s"
        return problem(429, message, {"Retry-After": str(seconds)})


def _is_open(path: str) -> bool:
    return path in _OPEN or path.startswith(_FILES)


def _address(scope: Scope) -> str:
    host, *_ = scope.get("client") or ("unknown",)
    return f"address {host}"


def _setting(send: Send, cookie: str, scope: Scope) -> Send:
    """``send``, with a cookie that no script can read and no other site can use."""
    secure = "; Secure" if scope["scheme"] == "https" else ""
    value = f"{COOKIE}={cookie}; Path=/; HttpOnly; SameSite=Strict{secure}"

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).append("Set-Cookie", value)
        await send(message)

    return sending
