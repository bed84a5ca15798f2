"""Decoded values as JSON has them, so that a mapping sees numbers, texts, lists and objects alone.

==========================  =======================================================================
times with a zone           RFC 3339 in UTC; without one, as they are; dates ``YYYY-MM-DD``
decimals                    a whole number if they are one, else the nearest floating-point number
bytes                       Base64, as in Protobuf's JSON
UUIDs, numbers that         texts
are not finite
==========================  =======================================================================
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from stream_persona.domain.message_size import MAX_DEPTH
from stream_persona.errors import DecodeError

#: Decodes bytes to plain values.
Decode = Callable[[bytes], Any]

_PLAIN: Final = (str, int, bool, type(None))


def make_plain(value: object, depth: int = 0) -> Any:  # noqa: ANN401 - JSON of any shape
    """Return a decoded value as JSON has it.

    Raises:
        DecodeError: it is nested too deep, or of a type that nothing is known of.
    """
    if isinstance(value, _PLAIN):
        return value
    if depth > MAX_DEPTH:
        raise DecodeError("too_deep", f"nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, dict):
        return {str(key): make_plain(each, depth + 1) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [make_plain(each, depth + 1) for each in value]
    return _convert(value)


def _convert(value: object) -> Any:  # noqa: ANN401 - a number or a text
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Decimal):
        return convert_decimal(value)
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        text = (value.astimezone(UTC) if value.tzinfo else value).isoformat()
        return text.replace("+00:00", "Z")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    raise DecodeError("wrong_format", f"a value of type {type(value).__name__} has no JSON")


def convert_decimal(value: Decimal) -> int | float | str:
    """Return a decimal as a number.

    >>> convert_decimal(Decimal("12.50")), convert_decimal(Decimal("90071992547409930"))
    (12.5, 90071992547409930)
    """
    if not value.is_finite():
        return str(value)
    is_whole = value == value.to_integral_value()
    return int(value) if is_whole else float(value)
