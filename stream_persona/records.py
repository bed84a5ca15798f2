"""A customer's private record, and its compact bytes.

The *folded* part (counts, label, positions, recent event ids, deletion) is a pure function of the
set of events; the *said* part is what was last published. Bytes of a record are a head in
msgpack, then all numbers as varints: the keys as differences, the values without the zeros that
all of their section end in. Many records are encoded and decoded at once, without a Python loop
over tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

import msgspec
import numpy as np
from msgspec import Struct, field
from msgspec.structs import replace

from stream_persona.errors import TopologyError
from stream_persona.features import Counts, columns, cut
from stream_persona.recent import Recent
from stream_persona.varints import from_varints, to_varints

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

FORMAT: Final = 5


class Label(Struct, frozen=True, array_like=True, gc=False):
    """The newest assignment, in event time; ``persona`` None is a withdrawal."""

    at: int
    assignment_id: str
    persona: str | None
    expires_at: int | None = None
    source: str | None = None


class Posterior(Struct, frozen=True, array_like=True, gc=False):
    """What is said of a customer: probabilities in millionths, ordered as ``Said.personas``."""

    persona: str | None
    confidence: int
    ambiguous: bool
    assigned: bool
    distribution: tuple[int, ...]

    def likeliest(self, personas: Sequence[str]) -> str:
        """The persona, and where none is named the one that is likeliest."""
        return self.persona or personas[self.distribution.index(max(self.distribution))]


class Said(Struct, frozen=True, array_like=True, gc=False):
    """The last published change of a customer, complete enough to publish it again.

    Times are epoch milliseconds; ``since`` is the event time from which the persona holds.
    """

    revision: int
    cause: int
    at: int
    published_at: int
    since: int
    evidence: int
    candidate_floor: int
    personas: tuple[str, ...]
    previous: Posterior | None
    current: Posterior
    why: tuple[tuple[str, str, int], ...]
    model_version: str
    taxonomy_version: str


class Record(Struct, frozen=True, gc=False):
    """Everything known of one customer; replaced, never changed in place.

    ``positions`` maps an input (kind << 16 | partition) to the next offset to apply, ``recent``
    hashes of event ids to their event times, ``deleted_at`` is the newest deletion (0: none).
    ``packed`` is a ``Said`` with its bytes: it stays through many events, and is encoded once.
    """

    counts: Counts = field(default_factory=Counts.empty)
    label: Label | None = None
    positions: dict[int, int] = field(default_factory=dict)
    recent: dict[int, Recent] = field(default_factory=dict)
    deleted_at: int = 0
    said: Said | None = None
    packed: tuple[Said, msgspec.Raw] | None = None

    @property
    def is_marker(self) -> bool:
        """Whether nothing is left but the memory of a deletion."""
        return bool(self.deleted_at) and not len(self.counts) and self.label is None

    def active_label(self) -> str | None:
        """The persona assigned as of the record's own clock, if any."""
        label = self.label
        if label is None or (
            label.expires_at is not None and self.counts.clock >= label.expires_at
        ):
            return None
        return label.persona


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
    said: msgspec.Raw


_AnyStart = TypeVar("_AnyStart", bound=_Start)

_encoder = msgspec.msgpack.Encoder()
_start_decoder = msgspec.msgpack.Decoder(_Start)  # which skips what follows
_head_decoder = msgspec.msgpack.Decoder(_Head)
_said_decoder = msgspec.msgpack.Decoder(Said | None)
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


def with_change(record: Record, said: Said) -> Record:
    """The record with a new last change, encoded once for as long as it stays."""
    return replace(record, said=said, packed=(said, msgspec.Raw(_encoder.encode(said))))


def folded(record: Record, fingerprint: int) -> bytes:
    """The bytes of the folded part alone: what every run over the same events must end in."""
    return encode([replace(record, said=None)], fingerprint)[0]


def decode(blobs: Sequence[bytes], fingerprint: int) -> list[Record]:
    """The records in ``blobs``.

    Raises:
        TopologyError: a record was written with another half-life, origin or format.
    """
    heads, counts = _opened(blobs, _head_decoder, fingerprint)
    return [_record(head, own) for head, own in zip(heads, counts, strict=True)]


def decode_taught(blobs: Sequence[bytes], fingerprint: int) -> list[Record]:
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
    counts, said, packed = record.counts, record.said, record.packed
    encoded = _encoder.encode((
        FORMAT, fingerprint, counts.epoch, counts.clock, shifts, tokens, record.label,
        sorted(record.positions.items()), sorted(record.recent.items()), record.deleted_at,
        packed[1] if packed is not None and packed[0] is said else said,
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
        said = _said_decoder.decode(head.said)
    except msgspec.DecodeError as error:
        raise _unreadable(error) from None
    packed = None if said is None else (said, head.said.copy())
    return Record(
        counts, head.label, dict(head.positions), dict(head.recent), head.deleted_at, said, packed
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
