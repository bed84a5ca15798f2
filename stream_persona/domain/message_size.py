"""How large and how deep a message may be, looked at before it is parsed."""

from __future__ import annotations

from typing import Final

import numpy as np

from stream_persona.errors import DecodeError

#: Most bytes of a message: one that is accepted fits, with headers, into any broker's defaults.
MAX_BYTES: Final = 1_000_000
#: Most levels of nesting: whether a deeper message can be read depends on how deep our stack is.
MAX_DEPTH: Final = 256
#: A message of fewer bytes is within both limits.
SHORT_MESSAGE: Final = 2 * MAX_DEPTH

_STEPS = bytes.maketrans(b"{[}]", b"\x01\x01\xff\xff")
_OTHERS = bytes(set(range(256)) - set(b"{[}]"))


def check_size(value: bytes) -> None:
    """Refuse a message that is too large, or nested too deep, to be parsed."""
    if len(value) > MAX_BYTES:
        detail = f"the message has {len(value):,} bytes; at most {MAX_BYTES:,} are read"
        raise DecodeError("too_large", detail)
    if value.count(b"{") + value.count(b"[") > MAX_DEPTH and _is_deep(value):
        raise DecodeError("too_deep", f"nested deeper than {MAX_DEPTH} levels")


def _is_deep(value: bytes) -> bool:
    """Whether well-formed JSON is nested too deep; for anything else the result has no meaning."""
    unescaped = value.replace(rb"\\", b"").replace(rb"\"", b"")
    outside_strings = b"".join(unescaped.split(b'"')[::2])
    steps = np.frombuffer(outside_strings.translate(_STEPS, _OTHERS), np.int8)
    return int(steps.cumsum(dtype=np.int64).max(initial=0)) > MAX_DEPTH
