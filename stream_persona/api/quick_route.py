"""A route whose ordinary bodies take a shorter way than FastAPI's, to the same answers.

FastAPI reads JSON with the standard library, solves dependencies, and makes objects of everything.
A ``read`` function looks at the body first: it returns what the endpoint takes, or None for all
that is not plain; this and what can't be read goes FastAPI's way, which also finds the sentence for
what is wrong. So there is one set of rules and of sentences; ``read`` is only ever stricter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import orjson
from fastapi.routing import APIRoute

if TYPE_CHECKING:
    from fastapi.responses import Response
    from starlette.types import Message, Receive, Scope, Send

#: Returns what an endpoint takes of a parsed body, or None.
Read = Callable[[dict[str, Any]], object | None]

#: Media types of the bodies that are looked at, as nearly all callers write them.
_JSON: Final = frozenset(
    {b"application/json", b"application/json; charset=utf-8", b"application/json;charset=utf-8"}
)
#: From here on, a whole number has become another one when it was read.
_MOST: Final = float(1 << 63)


def make_quick_route(read: Read) -> type[APIRoute]:
    """Make the class of a route with one body, whose endpoint returns a response.

    The route has no dependencies. Errors of its endpoint are answered by the application's handlers
    like all others; what it skips are FastAPI's exits for dependencies, and its request.
    """

    class QuickRoute(APIRoute):
        async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
            kinds = [value for name, value in scope["headers"] if name == b"content-type"]
            if scope["method"] not in (self.methods or ()) or not kinds or kinds[0] not in _JSON:
                await super().handle(scope, receive, send)
                return
            messages = await _receive_body(receive)
            body = parse_object(_join_body(messages))
            asked = None if body is None else read(body)
            if asked is None:
                await super().handle(scope, _replay(messages, receive), send)
                return
            response: Response = await self.endpoint(asked)
            await response(scope, receive, send)

    return QuickRoute


async def _receive_body(receive: Receive) -> list[Message]:
    """Receive until a body has ended, or its caller has gone."""
    messages = [await receive()]
    while messages[-1].get("more_body", False):
        messages.append(await receive())
    return messages


def _join_body(messages: list[Message]) -> bytes:
    """Join the parts of a body; that of a caller who has gone is none."""
    if messages[-1]["type"] != "http.request":
        return b""
    return b"".join([each.get("body", b"") for each in messages])


def _replay(messages: list[Message], receive: Receive) -> Receive:
    """``receive``, which begins with messages that have been received already."""
    left = iter(messages)

    async def receive_again() -> Message:
        for message in left:
            return message
        return await receive()

    return receive_again


def parse_object(body: bytes) -> dict[str, Any] | None:
    """Parse a JSON object; None for what is none, or what not every parser takes for one.

    Its values are those that the standard library finds, but for numbers that are not ``is_plain``.
    """
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def is_plain(value: object) -> bool:
    """Whether a value of such an object is a text, a switch, null, or a number of 64 bits."""
    if isinstance(value, float):
        return -_MOST < value < _MOST
    return not isinstance(value, dict | list)
