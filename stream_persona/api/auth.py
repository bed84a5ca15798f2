"""Authentication: keys in headers, and for a browser a cookie that a key was exchanged for."""

from __future__ import annotations

import hashlib
import hmac
import math
from typing import TYPE_CHECKING, Final

from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.requests import cookie_parser

from stream_persona.api.problems import problem

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fastapi.responses import JSONResponse
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from stream_persona.api.limits import TokenBuckets

#: The cookie that represents a key: an ``EventSource`` can send no headers.
COOKIE: Final = "stream_persona_key"

#: Paths of probes, which need no key and have no rate; the files of pages have neither.
_OPEN: Final = frozenset({"/healthz", "/readyz"})
_FILES: Final = "/static/"
#: The path to which a browser brings its key once, in the query.
_PAGE: Final = "/"

_SENTENCE: Final = (
    "a valid API key is needed: send it as `Authorization: Bearer <key>` or `X-API-Key: <key>`, "
    "or open /?key=<key> in a browser"
)


class ApiKeys:
    """The valid keys.

    Digests of one length are compared, each with every key, so that the time it takes reveals
    nothing of a key. A cookie is a digest as well: it is valid for as long as its key is, on every
    API process, and does not reveal the key.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        encoded = [key.encode() for key in keys]
        self._digests = [_digest(key) for key in encoded]
        self._cookies = [_cookie(key) for key in encoded]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def identify(self, headers: Headers) -> str | None:
        """Return a name for the caller with these headers, or None if they hold no valid key."""
        given = headers.get("x-api-key")
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if given is None and scheme.lower() == "bearer":
            given = token.strip()
        if given is not None:
            return _match(_digest(given.encode("latin-1")), self._digests)
        cookie = cookie_parser(headers.get("cookie", "")).get(COOKIE, "")
        return _match(cookie.encode(), self._cookies)

    def cookie_for(self, key: str) -> str | None:
        """Return the cookie that represents a key, or None if the key is not valid."""
        given = key.encode(errors="replace")
        return None if _match(_digest(given), self._digests) is None else _cookie(given).decode()


def _match(given: bytes, valid: Iterable[bytes]) -> str | None:
    same = [hmac.compare_digest(given, each) for each in valid]
    return f"key {same.index(True)}" if any(same) else None


def _digest(key: bytes) -> bytes:
    return hashlib.blake2b(key, digest_size=32).digest()


def _cookie(key: bytes) -> bytes:
    return hmac.new(key, b"a cookie of stream_persona", "sha256").hexdigest().encode()


class AuthMiddleware:
    """Middleware that lets in callers with a valid key, each at a bounded rate.

    The rate holds for callers without a valid key as well, by their address, so that keys can't be
    guessed any faster.
    """

    def __init__(self, app: ASGIApp, keys: ApiKeys, buckets: TokenBuckets) -> None:
        self._app = app
        self._keys = keys
        self._buckets = buckets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, or answer 429 or 401."""
        if scope["type"] != "http" or _is_open(scope["path"]):
            await self._app(scope, receive, send)
            return
        cookie = self._exchange_key(scope)
        caller = self._keys.identify(Headers(scope=scope)) if self._keys else None
        known = scope.setdefault("state", {})["caller"] = caller or _address(scope)
        refusal = self._limit_rate(known)
        if refusal is None and self._keys and caller is None and cookie is None:
            refusal = problem(401, _SENTENCE, {"WWW-Authenticate": "Bearer"})
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        send = send if cookie is None else _add_cookie(send, cookie, scope)
        await self._app(scope, receive, send)

    def _exchange_key(self, scope: Scope) -> str | None:
        """Return the cookie for the key in the page's address, or None without a valid one."""
        if not self._keys or scope["path"] != _PAGE:
            return None
        return self._keys.cookie_for(QueryParams(scope["query_string"]).get("key", ""))

    def _limit_rate(self, caller: str) -> JSONResponse | None:
        wait = self._buckets.take(caller)
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


def _add_cookie(send: Send, cookie: str, scope: Scope) -> Send:
    """``send``, with a cookie that no script can read and no other site can use."""
    secure = "; Secure" if scope["scheme"] == "https" else ""
    value = f"{COOKIE}={cookie}; Path=/; HttpOnly; SameSite=Strict{secure}"

    async def send_with_cookie(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).append("Set-Cookie", value)
        await send(message)

    return send_with_cookie
