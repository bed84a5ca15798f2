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
from stream_persona.domain.features import Counts, join_columns, split_columns
from stream_persona.domain.record import Label, PublishedChange, Record
from stream_persona.errors import TopologyError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

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
    ends = np.flatnonzero(raw < 128)  # noqa: PLR2004
    starts = np.concatenate(([0], ends[:-1] + 1))[: len(ends)]
    numbers = (raw[starts] & 127).astype(np.int64)
    rows, at, shift = np.flatnonzero(raw[starts] >= 128), starts, 7  # noqa: PLR2004
    while len(rows):
        byte = raw[at[rows] + shift // 7]
        numbers[rows] |= (byte & 127).astype(np.int64) << shift
        rows, shift = rows[byte >= 128], shift + 7  # noqa: PLR2004
    return numbers


#: The first number of every record: one of another format is refused.
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
_published_decoder = msgspec.msgpack.Decoder(PublishedChange | None)

_HEAD_BYTES = 4


def encode_records(records: Sequence[Record], fingerprint: int) -> list[bytes]:
    """Encode each record; equal records give equal bytes."""
    sizes, keys, values = join_columns([record.counts for record in records])
    starts = np.concatenate(([0], np.cumsum(sizes)))
    sections = _find_sections(keys >> 16, starts)
    shifts = _count_common_zeros(values, sections)
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
    """Replace a record's last change; it is encoded once for as long as it stays."""
    return replace(
        record, published=published, packed=(published, msgspec.Raw(_encoder.encode(published)))
    )


def encode_folded(record: Record, fingerprint: int) -> bytes:
    """Encode the folded part alone: every run over the same events must end in these bytes."""
    return encode_records([replace(record, published=None)], fingerprint)[0]


def decode_records(blobs: Sequence[bytes], fingerprint: int) -> list[Record]:
    """Decode the records in ``blobs``.

    Raises:
        TopologyError: a record was written with another half-life, origin or format.
    """
    heads, counts = _open(blobs, _head_decoder, fingerprint)
    return [_build_record(head, own) for head, own in zip(heads, counts, strict=True)]


def decode_counts_and_labels(blobs: Sequence[bytes], fingerprint: int) -> list[Record]:
    """Decode the counts and labels alone: the input of the model; the rest is skipped.

    Raises:
        TopologyError: as ``decode_records``.
    """
    starts, counts = _open(blobs, _start_decoder, fingerprint)
    return [Record(own, start.label) for start, own in zip(starts, counts, strict=True)]


def _open(
    blobs: Sequence[bytes], decoder: msgspec.msgpack.Decoder[_AnyStart], fingerprint: int
) -> tuple[list[_AnyStart], list[Counts]]:
    """Decode the heads of records, as far as the decoder reads them, and their counts."""
    heads, bodies = [], []
    for blob in blobs:
        size = int.from_bytes(blob[:_HEAD_BYTES], "little")
        heads.append(_decode_head(decoder, blob[_HEAD_BYTES : _HEAD_BYTES + size], fingerprint))
        bodies.append(blob[_HEAD_BYTES + size :])
    sizes = np.array([head.tokens for head in heads], np.int64)
    numbers = decode_varints(b"".join(bodies))
    keys, values = _split_halves(numbers, sizes)
    starts = np.concatenate(([0], np.cumsum(sizes)))
    keys = _undo_deltas(keys, starts)
    shifts = np.array([head.shifts for head in heads], np.int64).reshape(-1, 2)
    values <<= shifts[np.repeat(np.arange(len(heads)), sizes), keys >> 16]
    parts = split_columns(keys, values, starts)
    return heads, [
        Counts(head.epoch, head.clock, *part) for head, part in zip(heads, parts, strict=True)
    ]


def _split_halves(numbers: Ints, sizes: Ints) -> tuple[Ints, Ints]:
    """Separate the deltas from the values: each row has ``size`` of both, one after another."""
    kind = np.repeat(np.tile([False, True], len(sizes)), np.repeat(sizes, 2))
    return numbers[~kind], numbers[kind]


def _undo_deltas(deltas: Ints, starts: Ints) -> Ints:
    """Sum differences up to keys, row by row."""
    summed = np.concatenate(([0], np.cumsum(deltas)))
    return np.asarray(summed[1:] - np.repeat(summed[starts[:-1]], np.diff(starts)))


def _encode_head(record: Record, fingerprint: int, shifts: tuple[int, int], tokens: int) -> bytes:
    counts, published, packed = record.counts, record.published, record.packed
    encoded = _encoder.encode((
        FORMAT, fingerprint, counts.epoch, counts.clock, shifts, tokens, record.label,
        sorted(record.positions.items()), sorted(record.recent.items()), record.deleted_at,
        packed[1] if packed is not None and packed[0] is published else published,
    ))  # fmt: skip  # the fields of a `_Head`: to make one takes as long as to encode it
    return len(encoded).to_bytes(_HEAD_BYTES, "little") + encoded


def _decode_head(
    decoder: msgspec.msgpack.Decoder[_AnyStart], blob: bytes, fingerprint: int
) -> _AnyStart:
    try:
        head = decoder.decode(blob)
    except msgspec.DecodeError as error:
        raise _unreadable_error(error) from None
    if head.format != FORMAT or head.fingerprint != fingerprint:
        message = (
            "stored records were folded with another half-life or epoch origin than the "
            "taxonomy's (STREAM_PERSONA_TAXONOMY): take the one before, or set "
            "STREAM_PERSONA_PREFIX to a new prefix and replay"
        )
        raise TopologyError(message)
    return head


def _unreadable_error(error: msgspec.DecodeError) -> TopologyError:
    return TopologyError(
        f"a stored record cannot be read ({error}): this Redis holds another version's "
        "records; set STREAM_PERSONA_PREFIX to a new prefix and replay"
    )


def _build_record(head: _Head, counts: Counts) -> Record:
    try:
        published = _published_decoder.decode(head.published)
    except msgspec.DecodeError as error:
        raise _unreadable_error(error) from None
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


def _find_sections(section: Ints, starts: Ints) -> Ints:
    """Find where each row's two sections begin, one after another; the end comes last."""
    older = np.concatenate(([0], np.cumsum(section)))
    middles = starts[1:] - (older[starts[1:]] - older[starts[:-1]])
    return np.append(np.stack([starts[:-1], middles], axis=1).ravel(), starts[-1])


def _count_common_zeros(values: Ints, starts: Ints) -> Ints:
    """Count for each section the zero bits that all its values end in (0 for an empty one)."""
    filled = starts[1:] > starts[:-1]
    shifts = np.zeros(len(starts) - 1, np.int64)
    if len(values):
        bits = np.bitwise_or.reduceat(values, starts[:-1][filled])
        shifts[filled] = np.frexp((bits & -bits).astype(np.float64))[1] - 1
    return shifts


def _interleave(deltas: Ints, values: Ints, starts: Ints) -> list[bytes]:
    """Encode each row: the varints of its deltas, then those of its values."""
    key_bytes, key_ends = encode_varints(deltas)
    value_bytes, value_ends = encode_varints(values)
    a, b = key_ends[starts].tolist(), value_ends[starts].tolist()
    return [
        key_bytes[a[i] : a[i + 1]] + value_bytes[b[i] : b[i + 1]] for i in range(len(starts) - 1)
    ]
