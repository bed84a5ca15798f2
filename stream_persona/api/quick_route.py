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
from starlette.requests import ClientDisconnect

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from fastapi.responses import Response
    from starlette.requests import Request

    Handler = Callable[[Request], Coroutine[Any, Any, Response]]

#: Returns what an endpoint takes of a parsed body, or None.
Read = Callable[[dict[str, Any]], object | None]

#: Media types of the bodies that are looked at, as nearly all callers write them.
_JSON: Final = frozenset(
    {"application/json", "application/json; charset=utf-8", "application/json;charset=utf-8"}
)
#: From here on, a whole number has become another one when it was read.
_MOST: Final = float(1 << 63)


def quick_route(read: Read) -> type[APIRoute]:
    """Make the class of a route with one body, whose endpoint returns a response."""

    class QuickRoute(APIRoute):
        def get_route_handler(self) -> Handler:
            long_way, endpoint = super().get_route_handler(), self.endpoint

            async def handle(request: Request) -> Response:
                if request.headers.get("content-type") not in _JSON:
                    return await long_way(request)
                try:
                    body = parse_object(await request.body())
                except ClientDisconnect:
                    body = None
                asked = None if body is None else read(body)
                if asked is None:
                    return await long_way(request)
                response: Response = await endpoint(asked)
                return response

            return handle

    return QuickRoute


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
