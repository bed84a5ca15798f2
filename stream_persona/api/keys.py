"""Who may call: keys in headers, and for a browser a cookie that a key was exchanged for."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Final

from starlette.requests import cookie_parser

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.datastructures import Headers

#: The cookie that stands for a key: an ``EventSource`` can send no headers.
COOKIE: Final = "stream_persona_key"


class Keys:
    """The keys that let callers in.

    What is compared are digests of one length, each with every key, so that the time it takes tells
    nothing of a key. A cookie holds a digest as well: it is good for as long as its key is, on
    every API process, and does not give the key away.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        found = [key.encode() for key in keys]
        self._digests = [_digest(key) for key in found]
        self._cookies = [_cookie(key) for key in found]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def caller(self, headers: Headers) -> str | None:
        """A name for whoever sends these headers; None when they hold no key that is known."""
        given = headers.get("x-api-key")
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if given is None and scheme.lower() == "bearer":
            given = token.strip()
        if given is not None:
            return _known(_digest(given.encode("latin-1")), self._digests)
        cookie = cookie_parser(headers.get("cookie", "")).get(COOKIE, "")
        return _known(cookie.encode(), self._cookies)

    def cookie_for(self, key: str) -> str | None:
        """The cookie that stands for a key; None when the key is not known."""
        given = key.encode(errors="replace")
        return None if _known(_digest(given), self._digests) is None else _cookie(given).decode()


def _known(given: bytes, known: Iterable[bytes]) -> str | None:
    same = [hmac.compare_digest(given, each) for each in known]
    return f"key {same.index(True)}" if any(same) else None


def _digest(key: bytes) -> bytes:
    return hashlib.blake2b(key, digest_size=32).digest()


def _cookie(key: bytes) -> bytes:
    return hmac.new(key, b"a cookie of stream_persona", "sha256").hexdigest().encode()
