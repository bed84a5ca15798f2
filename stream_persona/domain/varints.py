"""Numbers as varints (LEB128: seven bits to a byte, the lowest first), many at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Ints = NDArray[np.int64]


def encode_varints(numbers: Ints) -> tuple[bytes, Ints]:
    """Encode numbers as LEB128; also return where each begins (one more: the end)."""
    lengths = np.ones(len(numbers), np.int64)
    most = int(numbers.max(initial=0))
    for bits in range(7, max(most.bit_length(), 1), 7):
        lengths += numbers >= 1 << bits
    ends = np.concatenate(([0], np.cumsum(lengths)))
    out = np.empty(int(ends[-1]), np.uint8)
    at, rest = ends[:-1], numbers
    while len(at):
        more = rest >= 128  # noqa: PLR2004 - seven bits to a byte
        out[at] = (rest & 127) | (more << 7)
        at, rest = at[more] + 1, rest[more] >> 7
    return out.tobytes(), ends


def decode_varints(blob: bytes) -> Ints:
    """Decode all numbers of a run of LEB128.

    >>> decode_varints(encode_varints(np.array([0, 127, 128, 2**62]))[0]).tolist()
    [0, 127, 128, 4611686018427387904]
    """
    raw = np.frombuffer(blob, np.uint8)
    ends = (raw < 128).nonzero()[0]  # noqa: PLR2004
    starts = np.zeros_like(ends)
    np.add(ends[:-1], 1, out=starts[1:])
    return (_join_few if 0 < len(raw) <= _FEW_BYTES else _join_many)(raw, starts, ends)


#: Up to so many bytes, to call numpy takes longer than what it does then.
_FEW_BYTES: Final = 4_096
#: How far each byte would be shifted, were all of one number.
_SHIFTS: Final = np.arange(_FEW_BYTES, dtype=np.int64) * 7


def _join_few(raw: Bytes, starts: Ints, ends: Ints) -> Ints:
    """Join the bytes of numbers, all at once."""
    if not len(ends):
        return ends
    before = (starts * 7).repeat(ends - starts + 1)
    shifts = _SHIFTS[: len(before)] - before
    return np.asarray(np.bitwise_or.reduceat((raw[: len(before)] & 127) << shifts, starts))


def _join_many(raw: Bytes, starts: Ints, _: Ints) -> Ints:
    """Join the bytes of numbers: the first of each, then the second of those that have one, ..."""
    numbers = (raw[starts] & 127).astype(np.int64)
    rows, at, shift = np.flatnonzero(raw[starts] >= 128), starts, 7  # noqa: PLR2004
    while len(rows):
        byte = raw[at[rows] + shift // 7]
        numbers[rows] |= (byte & 127).astype(np.int64) << shift
        rows, shift = rows[byte >= 128], shift + 7  # noqa: PLR2004
    return numbers
