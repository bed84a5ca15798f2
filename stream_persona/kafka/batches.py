"""Record batches that consumers unpack, whatever is wrong with them.

aiokafka unpacks a batch inside of the call that returns its records, and whatever goes wrong there
comes out of that call. Called again, it goes on behind the records that it had unpacked until then,
and nobody has seen these. Here, what cannot be unpacked is one error of ours, each time.

One thing is no damage: brokers take headers whose names are not UTF-8. Other clients read these
with replacement characters, aiokafka not at all.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

from aiokafka.consumer import fetcher
from aiokafka.errors import UnsupportedCodecError
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.legacy_records import LegacyRecordBatch
from aiokafka.record.memory_records import MemoryRecords

from stream_persona.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiokafka import ConsumerRecord, TopicPartition

#: How a batch begins: its first offset, and how many bytes follow this; and where its format is.
_START: Final = struct.Struct(">qi")
_MAGIC_AT: Final = 16
#: From this format on, records have headers.
_WITH_HEADERS: Final = 2


def unpack_whatever_comes() -> None:
    """Let all consumers of this process unpack as described above, from their next fetch on."""
    fetcher.MemoryRecords = FetchedRecords
    fetcher.PartitionRecords = PartitionRecords


class FetchedRecords(MemoryRecords):  # type: ignore[misc]  # aiokafka has no types
    """The batches of a partition in one fetch; ``data`` are their bytes."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.data = data


class PartitionRecords(fetcher.PartitionRecords):  # type: ignore[misc]
    """The records of these, one by one."""

    _records: FetchedRecords | _LenientRecords

    def __init__(self, tp: TopicPartition, records: FetchedRecords, *rest: object) -> None:
        super().__init__(tp, records, *rest)
        self._data = records.data
        self._failure: UnavailableError | None = None

    def __next__(self) -> ConsumerRecord:
        """Return the next record.

        Raises:
            UnavailableError: the rest cannot be unpacked; says where, and why.
        """
        if self._failure is not None:
            raise self._failure
        try:
            return super().__next__()
        except StopIteration:
            raise
        except Exception as error:
            # Without its extensions, aiokafka takes such a name for a damage.
            by_name = isinstance(error.__cause__ or error, UnicodeDecodeError)
            if not by_name or isinstance(self._records, _LenientRecords):
                raise self._fail(error) from error
        # Go on behind the last record, with what is known by now of aborted transactions.
        self._records = _LenientRecords(self._data, self.next_fetch_offset)
        self._records_iterator = self._unpack_records()
        return next(self)

    def _fail(self, error: Exception) -> UnavailableError:
        why = f"a batch is damaged ({error!r})"
        if isinstance(error, UnsupportedCodecError):
            why = f"{error}; install aiokafka with its extras lz4, snappy and zstd"
        where = f"{self._tp.topic}/{self._tp.partition}"
        self._failure = UnavailableError(
            f"{where} cannot be read from offset {self.next_fetch_offset} on: {why}"
        )
        return self._failure


class _LenientRecords:
    """The batches from an offset on, whose headers may have any names."""

    def __init__(self, data: bytes, first: int) -> None:
        found = (batch for batch in _split(data) if batch.next_offset > first)
        self._batches = [*found]

    def has_next(self) -> bool:
        return bool(self._batches)

    def next_batch(self) -> Any:  # noqa: ANN401 - as aiokafka's
        return self._batches.pop(0)


def _split(data: bytes) -> Iterator[Any]:
    """Yield the complete batches in the bytes of a fetch."""
    at = 0
    while at + _START.size <= len(data):
        _, size = _START.unpack_from(data, at)
        batch = data[at : at + _START.size + size]
        if len(batch) < _START.size + size:
            return
        at += len(batch)
        magic = batch[_MAGIC_AT]
        yield _LenientBatch(batch) if magic >= _WITH_HEADERS else LegacyRecordBatch(batch, magic)


class _LenientBatch(_DefaultRecordBatchPy):  # type: ignore[misc]
    """A batch that is decoded in Python, and slowly."""

    _buffer: bytearray

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer = _LenientBuffer(self._buffer)


class _LenientBuffer(bytearray):
    """Bytes whose parts are decoded with replacement characters."""

    def __getitem__(self, at: Any) -> Any:  # noqa: ANN401 - an index or a slice
        found = super().__getitem__(at)
        return _LenientBuffer(found) if isinstance(at, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "replace") -> str:
        return super().decode(encoding, errors)
