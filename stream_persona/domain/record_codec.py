"""The compact bytes of records.

Bytes of a record are a head in msgpack, then all numbers as varints (LEB128: seven bits to a byte,
the lowest first): the keys as differences, the values without the zeros that all of their section
end in. Many records are encoded and decoded at once, without a Python loop over tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

import msgspec
import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from stream_persona.domain.deduplication import Recent
from stream_persona.domain.features import Counts, columns, cut
from stream_persona.domain.record import Label, PublishedChange, Record
from stream_persona.errors import TopologyError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]


def to_varints(numbers: Ints) -> tuple[bytes, Ints]:
    """LEB128 of all numbers, and where each begins (one more: the end)."""
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


def from_varints(blob: bytes) -> Ints:
    """All numbers of a run of LEB128."""
    raw = np.frombuffer(blob, np.uint8)
    ends = np.flatnonzero(raw < 128)  # noqa: PLR2004
    starts = np.concatenate(([0], ends[:-1] + 1))[: len(ends)]
    numbers = (raw[starts] & 127).astype(np.int64)
    rows, at, shift = np.flatnonzero(raw[starts] >= 128), starts, 7  # noqa: PLR2004
    while len(rows):
        byte = raw[at[rows] + shift // 7]
        numbers[rows] |= (byte & 127).astype(np.int64) << shift
        rows, shift = rows[byte >= 128], shift + 7  # noqa: PLR2004
    return numbers


FORMAT: Final = 5


class _Start(Struct, frozen=True, array_like=True, gc=False):
    format: int
    fingerprint: int
    epoch: int
    clock: int
    shifts: tuple[int, int]
    tokens: int
    label: Label | None


class _Head(_Start, frozen=True, array_like=True, gc=False):
    positions: tuple[tuple[int, int], ...]
    recent: tuple[tuple[int, Recent], ...]
    deleted_at: int
    published: msgspec.Raw


_AnyStart = TypeVar("_AnyStart", bound=_Start)


_encoder = msgspec.msgpack.Encoder()


_start_decoder = msgspec.msgpack.Decoder(_Start)  # which skips what follows


_head_decoder = msgspec.msgpack.Decoder(_Head)


_said_decoder = msgspec.msgpack.Decoder(PublishedChange | None)


_HEAD_BYTES = 4


def encode(records: Sequence[Record], fingerprint: int) -> list[bytes]:
    """The bytes of each record; equal records give equal bytes."""
    sizes, keys, values = columns([record.counts for record in records])
    starts = np.concatenate(([0], np.cumsum(sizes)))
    sections = _section_starts(keys >> 16, starts)
    shifts = _common_zeros(values, sections)
    deltas = keys.copy()
    deltas[1:] -= keys[:-1]
    firsts = starts[:-1][sizes > 0]
    deltas[firsts] = keys[firsts]
    shifted = np.right_shift(values, np.repeat(shifts, np.diff(sections)))
    bodies = _interleave(deltas, shifted, starts)
    return [
        _encode_head(record, fingerprint, (a, b), size) + body
        for record, (a, b), size, body in zip(
            records, shifts.reshape(-1, 2).tolist(), sizes.tolist(), bodies, strict=True
        )
    ]


def with_change(record: Record, published: PublishedChange) -> Record:
    """The record with a new last change, encoded once for as long as it stays."""
    return replace(
        record, published=published, packed=(published, msgspec.Raw(_encoder.encode(published)))
    )


def folded(record: Record, fingerprint: int) -> bytes:
    """The bytes of the folded part alone: what every run over the same events must end in."""
    return encode([replace(record, published=None)], fingerprint)[0]


def decode(blobs: Sequence[bytes], fingerprint: int) -> list[Record]:
    """The records in ``blobs``.

    Raises:
        TopologyError: a record was written with another half-life, origin or format.
    """
    heads, counts = _opened(blobs, _head_decoder, fingerprint)
    return [_record(head, own) for head, own in zip(heads, counts, strict=True)]


def decode_counts_and_labels(blobs: Sequence[bytes], fingerprint: int) -> list[Record]:
    """The counts and labels of records alone: what a model learns from; the rest is skipped.

    Raises:
        TopologyError: as ``decode``.
    """
    starts, counts = _opened(blobs, _start_decoder, fingerprint)
    return [Record(own, start.label) for start, own in zip(starts, counts, strict=True)]


def _opened(
    blobs: Sequence[bytes], decoder: msgspec.msgpack.Decoder[_AnyStart], fingerprint: int
) -> tuple[list[_AnyStart], list[Counts]]:
    """The heads of records, as far as the decoder reads them, and their counts."""
    heads, bodies = [], []
    for blob in blobs:
        size = int.from_bytes(blob[:_HEAD_BYTES], "little")
        heads.append(_decoded(decoder, blob[_HEAD_BYTES : _HEAD_BYTES + size], fingerprint))
        bodies.append(blob[_HEAD_BYTES + size :])
    sizes = np.array([head.tokens for head in heads], np.int64)
    numbers = from_varints(b"".join(bodies))
    keys, values = _halves(numbers, sizes)
    starts = np.concatenate(([0], np.cumsum(sizes)))
    keys = _undone_deltas(keys, starts)
    shifts = np.array([head.shifts for head in heads], np.int64).reshape(-1, 2)
    values <<= shifts[np.repeat(np.arange(len(heads)), sizes), keys >> 16]
    parts = cut(keys, values, starts)
    return heads, [
        Counts(head.epoch, head.clock, *part) for head, part in zip(heads, parts, strict=True)
    ]


def _halves(numbers: Ints, sizes: Ints) -> tuple[Ints, Ints]:
    """Of rows of so many deltas and as many values, one after another, the two apart."""
    kind = np.repeat(np.tile([False, True], len(sizes)), np.repeat(sizes, 2))
    return numbers[~kind], numbers[kind]


def _undone_deltas(deltas: Ints, starts: Ints) -> Ints:
    """Keys from their differences, row by row."""
    summed = np.concatenate(([0], np.cumsum(deltas)))
    return np.asarray(summed[1:] - np.repeat(summed[starts[:-1]], np.diff(starts)))


def _encode_head(record: Record, fingerprint: int, shifts: tuple[int, int], tokens: int) -> bytes:
    counts, published, packed = record.counts, record.published, record.packed
    encoded = _encoder.encode((
        FORMAT, fingerprint, counts.epoch, counts.clock, shifts, tokens, record.label,
        sorted(record.positions.items()), sorted(record.recent.items()), record.deleted_at,
        packed[1] if packed is not None and packed[0] is published else published,
    ))  # fmt: skip  # a `_Head`, which to make would take as long as to encode it
    return len(encoded).to_bytes(_HEAD_BYTES, "little") + encoded


def _decoded(
    decoder: msgspec.msgpack.Decoder[_AnyStart], blob: bytes, fingerprint: int
) -> _AnyStart:
    try:
        head = decoder.decode(blob)
    except msgspec.DecodeError as error:
        raise _unreadable(error) from None
    if head.format != FORMAT or head.fingerprint != fingerprint:
        message = (
            "stored records were folded with another half-life or epoch origin than the "
            "taxonomy's; set STREAM_PERSONA_PREFIX to a new prefix and replay"
        )
        raise TopologyError(message)
    return head


def _unreadable(error: msgspec.DecodeError) -> TopologyError:
    return TopologyError(
        f"a stored record cannot be read ({error}): this Redis holds another version's "
        "records; set STREAM_PERSONA_PREFIX to a new prefix and replay"
    )


def _record(head: _Head, counts: Counts) -> Record:
    try:
        published = _said_decoder.decode(head.published)
    except msgspec.DecodeError as error:
        raise _unreadable(error) from None
    packed = None if published is None else (published, head.published.copy())
    return Record(
        counts,
        head.label,
        dict(head.positions),
        dict(head.recent),
        head.deleted_at,
        published,
        packed,
    )


def _section_starts(section: Ints, starts: Ints) -> Ints:
    """Where each row's two sections begin, one after another; the end last."""
    older = np.concatenate(([0], np.cumsum(section)))
    middles = starts[1:] - (older[starts[1:]] - older[starts[:-1]])
    return np.append(np.stack([starts[:-1], middles], axis=1).ravel(), starts[-1])


def _common_zeros(values: Ints, starts: Ints) -> Ints:
    """Per section, how many zero bits all its values end in (0 for an empty one)."""
    filled = starts[1:] > starts[:-1]
    shifts = np.zeros(len(starts) - 1, np.int64)
    if len(values):
        bits = np.bitwise_or.reduceat(values, starts[:-1][filled])
        shifts[filled] = np.frexp((bits & -bits).astype(np.float64))[1] - 1
    return shifts


def _interleave(deltas: Ints, values: Ints, starts: Ints) -> list[bytes]:
    """Per row the varints of its deltas, then those of its values."""
    key_bytes, key_ends = to_varints(deltas)
    value_bytes, value_ends = to_varints(values)
    a, b = key_ends[starts].tolist(), value_ends[starts].tolist()
    return [
        key_bytes[a[i] : a[i + 1]] + value_bytes[b[i] : b[i + 1]] for i in range(len(starts) - 1)
    ]
