"""Record batches of bytes that no library of ours would write, but others do."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

#: Where a batch has its checksum, and where begins what this is made of.
_CHECKSUM_AT, _CHECKED_FROM = 17, 21

Header = tuple[str, bytes | None]
#: A message's key, value and headers.
Message = tuple[bytes | None, bytes | None, Sequence[Header]]


def batch_of(*messages: Message, codec: int = 0, first: int = 0) -> bytes:
    """A batch as a broker returns it, from an offset on; ``codec`` is Kafka's number of one."""
    builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, -1, 1 << 22)
    for at, (key, value, headers) in enumerate(messages):
        builder.append(at, 1, key, value, list(headers))
    built = bytearray(builder.build())
    struct.pack_into(">q", built, 0, first)
    return bytes(built)


def with_checksum(batch: bytes) -> bytes:
    """The same batch with the checksum of what it holds."""
    fixed = bytearray(batch)
    struct.pack_into(">I", fixed, _CHECKSUM_AT, calc_crc32c(fixed[_CHECKED_FROM:]))
    return bytes(fixed)


def changing(batch: BatchBuilder, change: Callable[[bytes], bytes]) -> BatchBuilder:
    """A producer's batch whose bytes are changed before they are sent."""
    build = batch._build
    batch._build = lambda: bytearray(with_checksum(change(bytes(build()))))
    return batch
