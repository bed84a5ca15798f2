"""Where Segment's libraries put their write key: the user of ``Basic``, the body, an address.

It becomes an ``X-API-Key`` like any other caller's, before anything looks at keys. A key that a
header names already, or names otherwise, is left alone.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Final

import msgspec
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

from stream_persona.api.collector.bodies import MAX_BODY, unpack
from stream_persona.errors import DecodeError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Paths of the collector: its own, and Segment's with their short forms.
OWN_PATH: Final = "/v1/events"
CALLS: Final = {
    "track": ("/v1/track", "/v1/t"),
    "identify": ("/v1/identify", "/v1/i"),
    "alias": ("/v1/alias", "/v1/a"),
    "page": ("/v1/page", "/v1/p"),
    "screen": ("/v1/screen", "/v1/s"),
    "group": ("/v1/group", "/v1/g"),
}  # fmt: skip
BATCH: Final = "/v1/batch"
SHORT_BATCH: Final = "/v1/b"
IMPORT: Final = "/v1/import"
#: A library asks here, with its key in the address, how it is set.
SETTINGS: Final = "/v1/projects/{write_key}/settings"

_POSTED: Final = frozenset({
    OWN_PATH, BATCH, SHORT_BATCH, IMPORT, *(path for paths in CALLS.values() for path in paths)
})  # fmt: skip
_BEFORE_KEY, _AFTER_KEY = SETTINGS.split("{write_key}")


class _Keyed(msgspec.Struct):
    writeKey: str = ""  # noqa: N815 - the field's name at Segment


_KEYED: Final = msgspec.json.Decoder(_Keyed)


class WriteKeyMiddleware:
    """Middleware that makes a header of a write key, wherever the collector's callers have it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, with its write key in a header."""
        if scope["type"] == "http" and is_collected(scope):
            headers = Headers(scope=scope)
            if "x-api-key" not in headers:
                key, receive = await _find_key(scope, headers, receive)
                if key:  # in place: what is outside looks at the scope as well
                    encoded = key.encode(errors="replace")
                    scope["headers"] = [*scope["headers"], (b"x-api-key", encoded)]
        await self._app(scope, receive, send)


def is_collected(scope: Scope) -> bool:
    """Whether a request is the collector's, so that it may have a write key."""
    if scope["method"] == "POST":
        return scope["path"] in _POSTED
    return scope["method"] == "GET" and bool(_key_in(scope["path"]))


async def _find_key(scope: Scope, headers: Headers, receive: Receive) -> tuple[str, Receive]:
    """Find the key; return it, or nothing, and what gives the body's messages, read or not."""
    if "authorization" in headers:
        return read_basic_user(headers["authorization"]), receive
    if scope["method"] == "GET":
        return _key_in(scope["path"]), receive
    body, replay = await _read_ahead(receive)
    return _key_of_body(body, headers.get("content-encoding", "")), replay


def read_basic_user(authorization: str) -> str:
    """Read the user of ``Basic`` credentials; nothing if they are none.

    >>> read_basic_user("Basic a2V5Og=="), read_basic_user("Bearer key")
    ('key', '')
    """
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(token.strip(), validate=True).decode().partition(":")[0]
    except (binascii.Error, ValueError):
        return ""


def _key_in(path: str) -> str:
    if not path.startswith(_BEFORE_KEY) or not path.endswith(_AFTER_KEY):
        return ""
    key = path[len(_BEFORE_KEY) : -len(_AFTER_KEY)]
    return "" if "/" in key else key


def _key_of_body(body: bytes, encoding: str) -> str:
    try:
        return _KEYED.decode(unpack(body, encoding)).writeKey
    except (DecodeError, HTTPException, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""  # what is wrong with it is said to those who have a key


async def _read_ahead(receive: Receive) -> tuple[bytes, Receive]:
    """Read a body, or a little more than is taken of one; return it, and what gives it again."""
    messages: list[Message] = []
    size, more = 0, True
    while more and size <= MAX_BODY:
        message = await receive()
        messages.append(message)
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    pending = iter(messages)

    async def replay() -> Message:
        kept = next(pending, None)
        return await receive() if kept is None else kept

    return b"".join(message.get("body", b"") for message in messages), replay
