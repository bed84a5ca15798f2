"""The compact bytes of records.

Bytes of a record are a seal (``record_seal``), a head in msgpack, then all numbers as varints: the
keys as differences, the values without the zeros that all of their section end in. Many records are
encoded and decoded at once, without a Python loop over tokens.

Records of the two formats before are read as well, and encoded in today's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np
from msgspec.structs import replace

from stream_persona.domain.features import Counts, join_columns, split_columns
from stream_persona.domain.record import PublishedChange, Record
from stream_persona.domain.record_head import (
    AnyStart,
    Head,
    Start,
    decode_head,
    decode_published,
    encode_head,
    encoder,
    head_decoder,
    is_unsealed,
    split_content,
    start_decoder,
)
from stream_persona.domain.record_seal import seal, unseal
from stream_persona.domain.varints import decode_varints, encode_varints
from stream_persona.errors import DamagedRecordError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

#: Keys of the older section begin here.
_SECTION: Final = 1 << 16


def encode_records(records: Mapping[str, Record], fingerprint: int) -> dict[str, bytes]:
    """Encode each customer's record; equal records of a customer give equal bytes."""
    sizes, keys, values = join_columns([record.counts for record in records.values()])
    starts = np.concatenate(([0], np.cumsum(sizes)))
    sections = _find_sections(keys >> 16, starts)
    shifts = _count_common_zeros(values, sections)
    deltas = keys.copy()
    deltas[1:] -= keys[:-1]
    firsts = starts[:-1][sizes > 0]
    deltas[firsts] = keys[firsts]
    shifted = np.right_shift(values, np.repeat(shifts, np.diff(sections)))
    bodies = _interleave(deltas, shifted, starts)
    rows = zip(shifts.reshape(-1, 2).tolist(), sizes.tolist(), bodies, strict=True)
    return {
        name: seal(name, encode_head(record, fingerprint, (a, b), size) + body)
        for (name, record), ((a, b), size, body) in zip(records.items(), rows, strict=True)
    }


def with_change(record: Record, published: PublishedChange) -> Record:
    """Replace a record's last change; it is encoded once for as long as it stays."""
    return replace(
        record, published=published, packed=(published, msgspec.Raw(encoder.encode(published)))
    )


def encode_folded(record: Record, fingerprint: int) -> bytes:
    """Encode the folded part alone: every run over the same events must end in these bytes."""
    return encode_records({"": replace(record, published=None)}, fingerprint)[""]


def decode_records(blobs: Mapping[str, bytes], fingerprint: int) -> dict[str, Record]:
    """Decode the stored records of customers.

    Raises:
        DamagedRecordError: some of them are not what was written for these customers.
        TopologyError: a record was written with another half-life, origin or format.
    """
    heads, counts = _open(blobs, head_decoder, fingerprint)
    records = map(_build_record, heads, counts)
    return dict(zip(blobs, records, strict=True))


def decode_counts_and_labels(blobs: Mapping[str, bytes], fingerprint: int) -> dict[str, Record]:
    """Decode the counts and labels alone: the input of the model; the rest is skipped.

    Raises:
        DamagedRecordError: as ``decode_records``.
        TopologyError: as ``decode_records``.
    """
    starts, counts = _open(blobs, start_decoder, fingerprint)
    rows = zip(blobs, starts, counts, strict=True)
    return {name: Record(own, start.label) for name, start, own in rows}


def decode_intact(
    blobs: Mapping[str, bytes],
    fingerprint: int,
    decode: Callable[[Mapping[str, bytes], int], dict[str, Record]] = decode_records,
) -> tuple[dict[str, Record], dict[str, bytes]]:
    """Decode the records that are not damaged; return them, and the bytes of the damaged ones.

    Raises:
        TopologyError: as ``decode_records``.
    """
    try:
        return decode(blobs, fingerprint), {}
    except DamagedRecordError as error:
        damaged = {name: blobs[name] for name in error.customers}
    intact = {name: blob for name, blob in blobs.items() if name not in damaged}
    return decode(intact, fingerprint), damaged


def _open(
    blobs: Mapping[str, bytes], decoder: msgspec.msgpack.Decoder[AnyStart], fingerprint: int
) -> tuple[list[AnyStart], list[Counts]]:
    """Decode the heads of records, as far as the decoder reads them, and their counts."""
    heads, bodies = [], []
    for content in _read_contents(blobs, fingerprint):
        head, body = split_content(content)
        heads.append(decode_head(decoder, head, fingerprint))
        bodies.append(body)
    if len(heads) == 1 and (alone := _read_counts(heads[0], bodies[0])) is not None:
        return heads, [alone]
    sizes = np.array([head.tokens for head in heads], np.int64)
    keys, values = _split_halves(decode_varints(b"".join(bodies)), sizes)
    starts = np.concatenate(([0], np.cumsum(sizes)))
    keys = _undo_deltas(keys, starts)
    shifts = np.array([head.shifts for head in heads], np.int64).reshape(-1, 2)
    values <<= shifts[np.repeat(np.arange(len(heads)), sizes), keys >> 16]
    parts = split_columns(keys, values, starts)
    return heads, [
        Counts(head.epoch, head.clock, *part) for head, part in zip(heads, parts, strict=True)
    ]


def _read_counts(head: Start, body: bytes) -> Counts | None:
    """Decode the counts of one record, in half the time; None for what is not as it is written."""
    numbers, size = decode_varints(body), head.tokens
    if not 0 < size == len(numbers) / 2:
        return None
    keys, values = numbers[:size].cumsum(), numbers[size:]
    if not 0 <= keys[-1] < 2 * _SECTION:
        return None
    middle = keys.searchsorted(_SECTION)
    newer, older = head.shifts
    values[:middle] <<= newer
    values[middle:] <<= older
    return Counts(head.epoch, head.clock, keys.astype(np.uint32).tobytes(), values.tobytes())


def _read_contents(blobs: Mapping[str, bytes], fingerprint: int) -> list[bytes]:
    """Check the seals of records; return their contents.

    Raises:
        DamagedRecordError: a seal is broken, and the record is none of the format before.
    """
    contents, damaged = [], []
    for name, blob in blobs.items():
        content = unseal(name, blob)
        if content is not None:
            contents.append(content)
        elif is_unsealed(blob, fingerprint):
            contents.append(blob)
        else:
            damaged.append(name)
    if damaged:
        raise DamagedRecordError(damaged)
    return contents


def _split_halves(numbers: Ints, sizes: Ints) -> tuple[Ints, Ints]:
    """Separate the deltas from the values: each row has ``size`` of both, one after another."""
    if len(sizes) == 1 and len(numbers) == 2 * sizes[0]:
        return numbers[: sizes[0]], numbers[sizes[0] :]
    kind = np.repeat(np.tile([False, True], len(sizes)), np.repeat(sizes, 2))
    return numbers[~kind], numbers[kind]


def _undo_deltas(deltas: Ints, starts: Ints) -> Ints:
    """Sum differences up to keys, row by row."""
    summed = np.concatenate(([0], np.cumsum(deltas)))
    return np.asarray(summed[1:] - np.repeat(summed[starts[:-1]], np.diff(starts)))


def _build_record(head: Head, counts: Counts) -> Record:
    published = decode_published(head.published)
    packed = None if published is None else (published, head.published.copy())
    return Record(
        counts,
        head.label,
        dict(head.positions),
        head.read_recent_ids(),
        head.deleted_at,
        published,
        packed,
        dict(head.rates),
        head.faded_at,
        head.left_out_at,
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
