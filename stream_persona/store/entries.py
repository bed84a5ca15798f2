"""Decodes keys, members and fields of Redis; a damaged one is skipped, and holds up no other."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any

import msgspec

from stream_persona.errors import DamagedOutboxError
from stream_persona.store.tables import Write

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

logger = logging.getLogger(__name__)

_write_decoder = msgspec.msgpack.Decoder(Write)
_pending_decoder = msgspec.json.Decoder(list[str])


def decode_pending(blob: bytes, partition: int) -> list[str]:
    """Decode the customers of a partition's last write.

    Raises:
        DamagedOutboxError: it is no list of customers.
    """
    try:
        return _pending_decoder.decode(blob)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise DamagedOutboxError(partition) from None


def decode_token(token: bytes) -> int:
    """Decode an owner's token; a damaged one is nobody's, so that the partition is claimed anew."""
    return int(token) if token.isdigit() else 0


def decode_write(blob: bytes, partition: int) -> Write | None:
    """Decode a write that was announced; None where it is damaged: its batch is read once more."""
    try:
        return _write_decoder.decode(blob)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        logger.error("the unfinished write of partition %d is damaged: %s", partition, error)  # noqa: TRY400
        return None


def decode_texts(found: Iterable[bytes], what: str) -> list[str]:
    """Decode keys or members; those that are no text are left out, and logged as ``what``."""
    texts = []
    for each in found:
        try:
            texts.append(each.decode())
        except UnicodeDecodeError:
            logger.warning("%s is left out: %r is no text", what, each)
    return texts


def decode_due(found: Sequence[Any]) -> tuple[list[tuple[str, int]], list[bytes]]:
    """Decode customers and their due times; the second value are members that are no text.

    They come in pairs, or one after another in the old protocol.
    """
    in_pairs = bool(found) and isinstance(found[0], list | tuple)
    pairs = found if in_pairs else zip(found[::2], found[1::2], strict=True)
    due, damaged = [], []
    for member, score in pairs:
        try:
            due.append((member.decode(), int(float(score))))
        except UnicodeDecodeError:
            logger.warning("a due customer is left out: %r is no text", member)
            damaged.append(member)
    return due, damaged


def decode_reports(found: Mapping[bytes, bytes]) -> dict[str, bytes]:
    """Decode workers' names, so that ``encode_worker`` gives back any of them."""
    return {worker.decode(errors="surrogateescape"): blob for worker, blob in found.items()}


def encode_worker(worker: str) -> bytes:
    """Encode a worker's name as it was found."""
    return worker.encode(errors="surrogateescape")


def escape_pattern(text: str) -> str:
    """Return the pattern of keys that matches this text alone."""
    return re.sub(r"([*?\[\]\\^])", r"\\\1", text)
