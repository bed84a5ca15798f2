"""A consumer unpacks what brokers take, and stops in a sentence at what nobody can unpack."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from typing import Any

import aiokafka.codec
import pytest
from aiokafka import ConsumerRecord, TopicPartition

from stream_persona.errors import UnavailableError
from stream_persona.kafka.batches import FetchedRecords, PartitionRecords
from tests.support.batches import batch_of, with_checksum

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
#: Where a batch's attributes and records begin.
ATTRIBUTES_AT, RECORDS_AT = 21, 61


def messages(first: int, number: int = 3, name: str = "h") -> list[Any]:
    return [(b"k", b"%d" % at, [(name, b"1")]) for at in range(first, first + number)]


def unpacking(data: bytes, *, first: int = 0) -> PartitionRecords:
    tp = TopicPartition("browses", 3)
    return PartitionRecords(tp, FetchedRecords(data), [], first, None, None, True, 1)


def offsets(records: list[ConsumerRecord]) -> list[int]:
    return [record.offset for record in records]


def odd() -> bytes:
    return with_checksum(batch_of(*messages(3), first=3).replace(b"h", b"\xff"))


def gzipped(batch: bytes) -> bytes:
    """The same records, compressed."""
    head, records = bytearray(batch[:RECORDS_AT]), gzip.compress(batch[RECORDS_AT:])
    struct.pack_into(">h", head, ATTRIBUTES_AT, CODECS["gzip"])
    struct.pack_into(">i", head, 8, RECORDS_AT - 12 + len(records))
    return with_checksum(bytes(head) + records)


@pytest.mark.parametrize("batch", [odd(), gzipped(odd())], ids=["as it is", "compressed"])
@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
def test_headers_may_have_names_that_are_no_text(batch: bytes, codec: int) -> None:
    before, after = batch_of(*messages(0), codec=codec), messages(6)
    unpacked = list(unpacking(before + batch + batch_of(*after, codec=codec, first=6)))
    assert offsets(unpacked) == list(range(9))
    assert [record.value for record in unpacked] == [b"%d" % at for at in range(9)]
    assert [record.headers[0][0] for record in unpacked] == [*"hhh", *["\ufffd"] * 3, *"hhh"]


def test_reading_may_begin_within_such_a_batch() -> None:
    unpacked = list(unpacking(odd() + batch_of(*messages(6), first=6), first=4))
    assert offsets(unpacked) == [4, 5, 6, 7, 8]


def test_records_before_such_a_name_in_the_same_batch_come_once() -> None:
    batch = batch_of(*messages(0, 2), (b"k", b"2", [("odd", None)]), *messages(3, 2))
    unpacked = list(unpacking(with_checksum(batch.replace(b"odd", b"\xfe\xff\xfd"))))
    assert offsets(unpacked) == [0, 1, 2, 3, 4]
    assert unpacked[2].headers == (("\ufffd" * 3, None),)


def undecodable(codec: int) -> bytes:
    """A batch that claims to be compressed, and is not."""
    batch = bytearray(batch_of(*messages(3), first=3))
    struct.pack_into(">h", batch, ATTRIBUTES_AT, codec)
    return with_checksum(bytes(batch))


DAMAGED: dict[str, Callable[[], bytes]] = {
    **{name: lambda c=c: undecodable(c) for name, c in CODECS.items() if c},  # type: ignore[misc]
    "an unknown codec": lambda: undecodable(7),
    "a flipped bit": lambda: batch_of(*messages(3), first=3)[:-1] + b"\x7f",
    "lengths that lie": lambda: with_checksum(
        batch_of(*messages(3), first=3)[:RECORDS_AT] + b"\xff" * 40),
}  # fmt: skip


@pytest.mark.parametrize("damaged", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_batch_is_an_error_each_time_and_none_of_it_is_passed_over(
    damaged: Callable[[], bytes],
) -> None:
    records = unpacking(batch_of(*messages(0)) + damaged() + batch_of(*messages(6), first=6))
    assert offsets([next(records) for _ in range(3)]) == [0, 1, 2]
    for _ in range(3):
        with pytest.raises(UnavailableError, match="browses/3 cannot be read from offset"):
            list(records)


@pytest.mark.parametrize("codec", ["snappy", "lz4", "zstd"])
def test_a_codec_whose_library_is_missing_is_named(
    codec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = batch_of(*messages(0, 50), codec=CODECS[codec])
    monkeypatch.setattr(aiokafka.codec, "cramjam", None)
    with pytest.raises(UnavailableError, match=f"{codec} compression codec not found; install"):
        list(unpacking(batch))
