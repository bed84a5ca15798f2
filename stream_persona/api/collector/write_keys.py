"""Where Segment's libraries put their write key, if not in a header: the body, or an address.

The door lets what brings no key in a header through to the collector's routes alone, and each of
them asks ``admit`` before it does anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from starlette.exceptions import HTTPException

from stream_persona.api.collector.bodies import decompress_body
from stream_persona.api.security.caller import get_caller
from stream_persona.api.security.middleware import admit_by_key
from stream_persona.errors import DecodeError

if TYPE_CHECKING:
    from starlette.requests import Request

    from stream_persona.api.security.key_file import ApiKeys


class _Keyed(msgspec.Struct):
    writeKey: str = ""  # noqa: N815 - the field's name at Segment


_KEYED: Final = msgspec.json.Decoder(_Keyed)


def admit(request: Request, keys: ApiKeys, key: str) -> None:
    """Admit a request whose key the door has accepted, or else one with this key.

    Raises:
        HTTPException: 401 or 403, there is no key that may collect.
    """
    if keys.needed and get_caller(request.scope) is None:
        admit_by_key(request.scope, keys, key)


def find_key(body: bytes, encoding: str) -> str:
    """Find the write key in a body, packed or not; an empty text without one.

    What is wrong with a body is explained to those who have a key.
    """
    try:
        return _KEYED.decode(decompress_body(body, encoding)).writeKey
    except (DecodeError, HTTPException, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
