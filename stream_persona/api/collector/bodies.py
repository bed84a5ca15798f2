"""What a request to the collector holds: bytes, packed or not, and the JSON in them."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from typing import TYPE_CHECKING, Any, Final

import msgspec
from starlette.exceptions import HTTPException

from stream_persona.domain.decode_errors import explain
from stream_persona.domain.message_size import check_size
from stream_persona.errors import DecodeError

if TYPE_CHECKING:
    from collections.abc import Sequence
#: Most bytes of a body, packed or not, and of one event: as at Segment.
MAX_BODY: Final = 512_000
MAX_EVENT: Final = 32_768
#: Most events of a body.
MAX_EVENTS: Final = 1_000

Documents = list[msgspec.Raw]
_LISTS: Final = msgspec.json.Decoder(Documents)
_OBJECTS: Final = msgspec.json.Decoder(dict[str, Any])


def decompress_body(body: bytes, encoding: str) -> bytes:
    """Unpack a body of a ``Content-Encoding``.

    Raises:
        HTTPException: 413, it is too large; 415, it is packed by other means than gzip.
        DecodeError: it is no gzip.
    """
    if encoding.strip().lower() in {"gzip", "x-gzip"}:
        body = _unpack_gzip(body)
    elif encoding.strip().lower() not in {"", "identity"}:
        raise HTTPException(415, f"Content-Encoding: expected gzip or none, got {encoding[:64]!r}")
    if len(body) > MAX_BODY:
        raise HTTPException(413, f"the body is too large: at most {MAX_BODY:,} bytes are read")
    return body


def _unpack_gzip(body: bytes) -> bytes:
    """Unpack no more than what shows that it is too much."""
    try:
        return gzip.GzipFile(fileobj=io.BytesIO(body)).read(MAX_BODY + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DecodeError("not_json", f"the body is not valid gzip: {error}") from None


def split_list(body: bytes) -> Documents:
    """Split a JSON list into its elements, unread; of anything else make the only element.

    Raises:
        DecodeError: it is no JSON, empty, or has too many elements.
    """
    if not body.lstrip(b" \t\r\n").startswith(b"["):
        return [msgspec.Raw(body)]
    try:
        check_size(body)
        documents = _LISTS.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        found = load_as_python_writes(body)
        if not isinstance(found, list):
            raise _explain_body(error) from None
        documents = pack_each(found)
    check_number(documents)
    return documents


def load_as_python_writes(body: bytes) -> Any:  # noqa: ANN401 - whatever it is
    """Load a body that is JSON but for numbers and characters which Python's libraries write.

    ``NaN`` in one event is to keep no other one from being taken. None if it is none, either.
    """
    try:
        return json.loads(body.decode())
    except (ValueError, RecursionError):
        return None


def pack_each(values: Sequence[object]) -> Documents:
    """Pack values again, so that each is read, or refused, by itself."""
    return [msgspec.Raw(json.dumps(value).encode()) for value in values]


def check_number(documents: Sequence[object]) -> None:
    """Refuse a list of no events, or of too many.

    Raises:
        DecodeError: it is one.
    """
    if not documents:
        raise DecodeError("empty", "the list has no events")
    if len(documents) > MAX_EVENTS:
        detail = f"the list has {len(documents):,} events; at most {MAX_EVENTS:,} are read"
        raise DecodeError("too_large", detail)


def decode_object(raw: bytes | msgspec.Raw, most: int = MAX_EVENT) -> dict[str, Any]:
    """Decode a JSON object of at most so many bytes.

    Raises:
        DecodeError: it is none, or larger, or nested too deep.
    """
    value = bytes(raw)
    if len(value) > most:
        detail = f"the event has {len(value):,} bytes; at most {most:,} are read"
        raise DecodeError("too_large", detail)
    try:
        check_size(value)
        return _OBJECTS.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise explain(error, {}) from None


def _explain_body(error: Exception) -> DecodeError:
    explained = explain(error, {})
    return DecodeError(explained.reason, f"the body cannot be read: {explained.detail}")
