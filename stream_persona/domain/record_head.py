"""The head of a record's bytes: everything but its counts, in msgpack after its own length.

Records of the two formats before are read, too: format 6 kept times of events beside their ids,
format 5 had no seal, and whether bytes are one of these is decided here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

import msgspec
import numpy as np
from msgspec import Struct

from stream_persona.domain.deduplication import RecentIds, from_former
from stream_persona.domain.record import Label, PublishedChange
from stream_persona.domain.varints import decode_varints, encode_varints
from stream_persona.errors import TopologyError

if TYPE_CHECKING:
    from stream_persona.domain.record import Record

#: The first number of a record's head: all but these two are refused.
FORMAT: Final = 7
_UNSEALED_FORMAT: Final = 5


class _Format(Struct, frozen=True, array_like=True, gc=False):
    format: int


class Start(_Format, frozen=True, array_like=True, gc=False):
    """The fields that the model needs."""

    fingerprint: int
    epoch: int
    clock: int
    shifts: tuple[int, int]
    tokens: int
    label: Label | None


class Head(Start, frozen=True, array_like=True, gc=False):
    """All fields; the last change has its bytes until it is asked for."""

    positions: tuple[tuple[int, int], ...]
    recent: tuple[tuple[int, RecentIds | tuple[int, ...]], ...]
    deleted_at: int
    published: msgspec.Raw
    rates: tuple[tuple[int, tuple[int, int]], ...] = ()
    faded_at: int = 0
    left_out_at: int = 0

    def read_recent_ids(self) -> dict[int, RecentIds]:
        """Return the last ids of each input."""
        return {
            source: ids if isinstance(ids, bytes) else from_former(ids)
            for source, ids in self.recent
        }


AnyStart = TypeVar("AnyStart", bound=Start)


encoder = msgspec.msgpack.Encoder()
_format_decoder = msgspec.msgpack.Decoder(_Format)
start_decoder = msgspec.msgpack.Decoder(Start)  # which skips what follows
head_decoder = msgspec.msgpack.Decoder(Head)
_published_decoder = msgspec.msgpack.Decoder(PublishedChange | None)

_HEAD_BYTES = 4
#: What msgspec raises for bytes that are no head.
_NOT_DECODABLE = (msgspec.DecodeError, UnicodeDecodeError)
#: Keys of counts are below this; all numbers have so many bits.
_KEYS: Final = 1 << 17
_BITS: Final = 63


def encode_head(record: Record, fingerprint: int, shifts: tuple[int, int], tokens: int) -> bytes:
    """Encode what comes before a record's counts."""
    counts, published, packed = record.counts, record.published, record.packed
    encoded = encoder.encode((
        FORMAT, fingerprint, counts.epoch, counts.clock, shifts, tokens, record.label,
        sorted(record.positions.items()), sorted(record.recent.items()), record.deleted_at,
        packed[1] if packed is not None and packed[0] is published else published,
        sorted(record.rates.items()), record.faded_at, record.left_out_at,
    ))  # fmt: skip  # the fields of a `Head`: to make one takes as long as to encode it
    return len(encoded).to_bytes(_HEAD_BYTES, "little") + encoded


def split_content(content: bytes) -> tuple[bytes, bytes]:
    """Split the content of a record into its head and the varints behind it."""
    end = _HEAD_BYTES + int.from_bytes(content[:_HEAD_BYTES], "little")
    return content[_HEAD_BYTES:end], content[end:]


def decode_head(
    decoder: msgspec.msgpack.Decoder[AnyStart], head: bytes, fingerprint: int
) -> AnyStart:
    """Decode a head that is as it was written, as far as the decoder reads it.

    Raises:
        TopologyError: it is of another version, or of another half-life.
    """
    try:
        decoded = decoder.decode(head)
    except _NOT_DECODABLE as error:
        raise _make_foreign_error(f"of another version ({error})") from None
    _check_head(decoded, fingerprint)
    return decoded


def decode_published(published: msgspec.Raw) -> PublishedChange | None:
    """Decode the last change in a head; raises as ``decode_head`` does."""
    try:
        found: PublishedChange | None = _published_decoder.decode(published)
    except _NOT_DECODABLE as error:
        raise _make_foreign_error(f"of another version ({error})") from None
    return found


def _check_head(head: Start, fingerprint: int) -> None:
    if not _UNSEALED_FORMAT <= head.format <= FORMAT:
        raise _make_foreign_error(f"of another version (format {head.format})")
    if head.fingerprint != fingerprint:
        message = (
            "stored records were folded with another half-life or epoch origin than the "
            "taxonomy's (STREAM_PERSONA_TAXONOMY): take the one before, or set "
            "STREAM_PERSONA_PREFIX to a new prefix and replay"
        )
        raise TopologyError(message)


def _make_foreign_error(what: str) -> TopologyError:
    return TopologyError(
        f"stored records are {what}; set STREAM_PERSONA_PREFIX to a new prefix and replay"
    )


def is_unsealed(blob: bytes, fingerprint: int) -> bool:
    """Whether bytes are a record of the format before the seal, as far as that can be known.

    Raises:
        TopologyError: they are one of an older format, or of another half-life.
    """
    first, body = split_content(blob)
    try:
        if 0 < _format_decoder.decode(first).format < _UNSEALED_FORMAT:
            raise _make_foreign_error("of another version")
        head = head_decoder.decode(first)
        _published_decoder.decode(head.published)
    except _NOT_DECODABLE:
        return False
    if head.format != _UNSEALED_FORMAT or not _is_body(body, head):
        return False
    _check_head(head, fingerprint)
    return True


def _is_body(body: bytes, head: Head) -> bool:
    """Whether the bytes hold as many counts as the head states, in order."""
    numbers, most = decode_varints(body), (1 << _BITS) - 1
    if len(numbers) != 2 * head.tokens or encode_varints(numbers)[0] != body:
        return False
    deltas, values = numbers[: head.tokens], numbers[head.tokens :]
    if np.any(deltas[1:] <= 0) or np.any(deltas >= _KEYS) or int(deltas.sum()) >= _KEYS:
        return False
    if max(abs(head.epoch), abs(head.clock)) > most or not all(0 <= n < _BITS for n in head.shifts):
        return False
    shifts = np.array(head.shifts)[np.cumsum(deltas) >> 16]
    return bool(np.all(values > 0) and np.all(values <= np.right_shift(most, shifts)))
