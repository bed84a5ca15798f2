"""The JSON in a message's value, or in a text within it."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from stream_persona.domain.decode_errors import explain
from stream_persona.domain.mapping.snowplow_tsv import is_enriched_line, parse_line
from stream_persona.domain.message_size import SHORT_MESSAGE, check_size
from stream_persona.errors import DecodeError

_DECODER: Final = msgspec.json.Decoder()


def decode_document(value: bytes | None) -> Any:
    """Return the JSON in a message's value, within the limits of our own events.

    A line of Snowplow's enriched event, which no JSON looks like, is an object of its fields.

    Raises:
        DecodeError: it is empty, too large, too deep or no JSON.
    """
    if not value:
        raise DecodeError("empty", "the message has no value")
    if len(value) >= SHORT_MESSAGE:
        check_size(value)
    try:
        if is_enriched_line(value):
            return parse_line(value.decode())
        return _DECODER.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise explain(error, {}) from None
