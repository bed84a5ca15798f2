"""The door: lets a request through to its route, or answers 401, 403 or 429."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from fastapi.responses import RedirectResponse
from starlette.datastructures import Headers, QueryParams
from starlette.exceptions import HTTPException

from stream_persona.api.problems import make_problem
from stream_persona.api.security.audit import find_address, note_route
from stream_persona.api.security.caller import Caller, get_caller, note_caller
from stream_persona.api.security.key_file import COOKIE
from stream_persona.api.security.keys import LOOPBACK
from stream_persona.api.security.origins import SAFE_METHODS, find_stranger, is_own_origin
from stream_persona.api.security.scopes import AUDITED, ENTRY, OPEN, SCOPES
from stream_persona.errors import StreamPersonaError

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

    from stream_persona.api.limits import TokenBuckets
    from stream_persona.api.security.audit import Audit
    from stream_persona.api.security.key_file import ApiKeys
    from stream_persona.api.security.scopes import ScopeRule, ScopeRules

#: The path to which a browser brings its key once, in the query.
_PAGE: Final = "/"
_PAGES: Final = frozenset({_PAGE, "/docs"})
#: The caller of every request while no keys are set.
_HERE: Final = Caller(LOOPBACK, frozenset(SCOPES))

_SENTENCE: Final = (
    "a valid API key is needed: send it as `Authorization: Bearer <key>` or `X-API-Key: <key>`, "
    "or open /?key=<key> in a browser"
)
_LACKS: Final = "this key lacks the scope `{}`"
_FOREIGN: Final = (
    "a page of another origin may not do this by the dashboard's cookie: send the key in a header"
)


class _RefusedError(StreamPersonaError):
    """A request that is not let through."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers


class DoorMiddleware:
    """Middleware that identifies the caller, checks the route's scope and bounds the rate.

    The rate holds for callers without a valid key as well, by their address, so that keys can't be
    guessed any faster. A route finds its caller by ``get_caller``.
    """

    def __init__(
        self, app: ASGIApp, keys: ApiKeys, rules: ScopeRules, buckets: TokenBuckets, audit: Audit
    ) -> None:
        self._app = app
        self._keys = keys
        self._rules = rules
        self._buckets = buckets
        self._audit = audit
        self._sentence = f"{_SENTENCE}, or log in at /login" if keys.provider else _SENTENCE

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, or refuse it; there are no routes for other protocols."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        rule = self._rules.find(scope)
        if rule is not None:
            note_route(scope, rule.route.path)
        try:
            answer = self._admit(scope, rule)
        except _RefusedError as refused:
            answer = make_problem(refused.status, str(refused), refused.headers)
        if answer is not None:
            await answer(scope, receive, send)
            return
        await self._pass_on(scope, receive, send, rule)

    def _admit(self, scope: Scope, rule: ScopeRule | None) -> Response | None:
        """Note the caller; return an answer where no route is needed for it.

        Raises:
            _RefusedError: they may not.
        """
        is_open = rule is not None and rule.scope == OPEN
        caller = stranger = None
        if self._keys.needed:
            caller = self._keys.identify(Headers(scope=scope))
        else:
            stranger = find_stranger(scope, is_page=scope["path"] in _PAGES)
            caller = None if stranger else _HERE
        note_caller(scope, caller)
        if is_open:
            return None
        self._limit_rate(scope, caller)
        if stranger is not None:
            raise self._refuse(scope, 403, None, stranger, "stranger")
        if self._keys.needed and (exchanged := self._exchange_key(scope)) is not None:
            return exchanged
        if caller is None and self._keys.provider and scope["path"] == _PAGE:
            return RedirectResponse("/login", 303)
        self._check(scope, caller, rule)
        return None

    def _check(self, scope: Scope, caller: Caller | None, rule: ScopeRule | None) -> None:
        if rule is not None and rule.scope == ENTRY:
            return
        if caller is None:
            if rule is not None and rule.scope == "collect" and not _brings_key(scope):
                return  # the body may hold it: the route asks ``admit_by_key``
            raise self._refuse(
                scope, 401, None, self._sentence, "no valid key", {"WWW-Authenticate": "Bearer"}
            )
        headers = Headers(scope=scope)
        is_command = scope["method"] not in SAFE_METHODS
        if caller.by_cookie and is_command and not is_own_origin(scope, headers, required=True):
            raise self._refuse(scope, 403, caller, _FOREIGN, "another origin")
        if rule is not None and rule.scope not in caller.scopes:
            message = _LACKS.format(rule.scope)
            raise self._refuse(scope, 403, caller, message, "scope", needs=rule.scope)

    def _exchange_key(self, scope: Scope) -> Response | None:
        """Answer a page's address that holds a key: with the cookie, and the address without it.

        So the key stands in no history and in no referrer.
        """
        query = QueryParams(scope["query_string"])
        if scope["path"] != _PAGE or scope["method"] != "GET" or "key" not in query:
            return None
        cookie = self._keys.make_cookie(query["key"])
        if cookie is None:
            raise self._refuse(
                scope, 401, None, _SENTENCE, "no valid key", {"WWW-Authenticate": "Bearer"}
            )
        answer = RedirectResponse(_PAGE, 303)
        secure = "; Secure" if scope["scheme"] == "https" else ""
        value = f"{COOKIE}={cookie}; Path=/; HttpOnly; SameSite=Strict{secure}"
        answer.headers["Set-Cookie"] = value
        return answer

    def _limit_rate(self, scope: Scope, caller: Caller | None) -> None:
        is_key = caller is not None and caller is not _HERE
        name = f"key {caller.name}" if caller and is_key else f"address {find_address(scope)}"
        wait = self._buckets.take(name)
        if wait:
            seconds = math.ceil(wait)
            message = f"too many requests: try again in {seconds} s"
            raise self._refuse(scope, 429, caller, message, "rate", {"Retry-After": str(seconds)})

    def _refuse(
        self, scope: Scope, status: int, caller: Caller | None, message: str, reason: str,
        headers: dict[str, str] | None = None, **facts: str,
    ) -> _RefusedError:  # fmt: skip
        self._audit.refuse(scope, status, caller.name if caller else None, reason, **facts)
        return _RefusedError(status, message, headers)

    async def _pass_on(
        self, scope: Scope, receive: Receive, send: Send, rule: ScopeRule | None
    ) -> None:
        caller = get_caller(scope)
        if rule is None or rule.scope not in AUDITED or caller is None:
            await self._app(scope, receive, self._audit.follow_answer(scope, send))
            return
        line = self._audit.follow_command(scope, send, rule, caller.name)
        try:
            await self._app(scope, receive, line.send)
        finally:
            line.close()


def admit_by_key(scope: Scope, keys: ApiKeys, key: str) -> None:
    """Let a request in by the key in its body: a route of scope ``collect`` asks this first.

    Raises:
        HTTPException: 401, the key is none; 403, it is not good for this.
    """
    caller = keys.find(key.encode(errors="replace"))
    if caller is None:
        raise HTTPException(401, _SENTENCE)
    if "collect" not in caller.scopes:
        raise HTTPException(403, _LACKS.format("collect"))
    note_caller(scope, caller)


def _brings_key(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    return "authorization" in headers or "x-api-key" in headers
