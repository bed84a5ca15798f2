"""Headers of every answer: kept nowhere, read as what it is, framed and embedded by nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stream_persona.api.security.request_ids import REQUEST_ID, choose_request_id

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Pages and their files have some of these of their own, which hold.
HEADERS: Final = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class AnswerHeadersMiddleware:
    """Middleware that adds ``HEADERS`` and the request's id to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through; add to its answer what that lacks."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = choose_request_id(scope)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = _complete(message["headers"], request_id)
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _complete(given: Iterable[tuple[bytes, bytes]], request_id: str) -> list[tuple[bytes, bytes]]:
    """Return headers with those that they lack."""
    headers = list(given)
    names = {name.lower() for name, _ in headers}
    own = [*_ENCODED, (REQUEST_ID.lower().encode(), request_id.encode())]
    return headers + [header for header in own if header[0] not in names]


_ENCODED: Final = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
