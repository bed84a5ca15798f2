"""Events in files: JSON Lines or Parquet, one event a line or row in the shape of its topic.

A line's field ``topic`` names its topic, unless one kind is given for all lines. A position is made
of the file's name and the number of the line, so the same line of the same file is applied once,
however often it is replayed; of a file that has grown, the new lines are. A file with other content
needs another name.
"""

from __future__ import annotations

import hashlib
import math
import posixpath
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from stream_persona.domain.anomaly import Anomaly
from stream_persona.domain.events import KINDS, Deletion, decode_for_taxonomy, encode
from stream_persona.domain.identity import NobodyIds
from stream_persona.errors import ConfigError, DecodeError, InputError
from stream_persona.kafka.arrivals import EventReader, epoch_ms
from stream_persona.pipeline.process import Delivery
from stream_persona.replay.fold import Unreadable

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.replay.fold import Found
    from stream_persona.settings import Settings

#: The kinds of events by the names that people use, in the order of ``events.KINDS``.
KIND_NAMES: Final = ("purchases", "browses", "engagements", "assignments", "deletions")
#: Events handed on at a time.
CHUNK: Final = 4_000
#: The bit in a position's input that marks it as a file's, not a partition's.
FILE_BIT: Final = 1 << 15

_PARQUET: Final = b"PAR1"
_COUNT_BYTES: Final = 1 << 20


class _Line(msgspec.Struct):
    topic: Any = None


_line_decoder = msgspec.json.Decoder(_Line)


def file_partition(name: str) -> int:
    """Return the number that stands for a partition in the positions of a file's events.

    44 bits of a hash of the name stand above the kind (``Delivery.source``): two names in
    millions of files would be needed for events of one to be taken for those of another.
    """
    digest = hashlib.blake2b(name.encode(errors="surrogateescape"), digest_size=8).digest()
    return (int.from_bytes(digest) >> 20) << 19 | FILE_BIT


class Files:
    """Files to replay, one after another; the oldest should come first.

    Args:
        paths: JSON Lines or Parquet files; a file's name is its path as given.
        kind: an index into ``events.KINDS``; None reads it from each line's ``topic``.
        settings: names the topics.
        taxonomy: names the personas that assignments may have.
        now: gives epoch milliseconds; a time far ahead of it is not believed.

    Raises:
        InputError: a file cannot be opened.
        ConfigError: a Parquet file is given, and no package to read it is installed.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        kind: int | None,
        settings: Settings,
        taxonomy: Taxonomy,
        now: Callable[[], int] = epoch_ms,
    ) -> None:
        self._kind = kind
        self._taxonomy = taxonomy
        self._nobody = NobodyIds(settings.nobody)
        self._events = EventReader(taxonomy, now, self._nobody)
        self._kinds = dict(zip(KIND_NAMES, range(len(KIND_NAMES)), strict=True))
        self._kinds |= {topic: kind for kind, topic in enumerate(settings.input_topics)}
        self._paths = paths
        try:
            #: Lines and rows of all files.
            self.total = sum(_count(path) for path in paths)
        except OSError as error:
            message = f"{error.filename}: cannot be read: {error.strerror or error}"
            raise InputError(message) from None

    async def chunks(self) -> AsyncIterator[list[Found]]:
        """Yield everything in the files, some thousand events at a time; deletions come first.

        A late deletion could not read a file again, and what it drops at once needs no such thing.
        """
        deletions = (each for path in self._paths for each in self._read_deletions(path))
        others = (each for path in self._paths for each in self._read_events(path))
        found = chain(deletions, (each for each in others if not _is_deletion(each)))
        while chunk := list(islice(found, CHUNK)):
            yield chunk

    def _read_deletions(self, path: Path) -> Iterator[Found]:
        if self._kind in {None, KINDS.index(Deletion)}:
            yield from filter(_is_deletion, self._read_events(path))

    def _read_events(self, path: Path) -> Iterator[Found]:
        name = posixpath.normpath(path.as_posix())
        partition = file_partition(name)
        lines = _read_rows(path) if _is_parquet(path) else _read_lines(path)
        for number, line in lines:
            try:
                kind = self._kind_of(line) if self._kind is None else self._kind
                event = decode_for_taxonomy(kind, line, self._taxonomy, self._nobody)
                if event.customer_id in self._nobody:
                    yield Anomaly.NOBODY
                else:
                    yield self._events.bound(Delivery.of(event, kind, partition, number))
            except DecodeError as error:
                yield Unreadable(error.reason, error.detail, name, number, line)

    def _kind_of(self, line: bytes) -> int:
        """Return the kind that a line's ``topic`` names."""
        try:
            topic = _line_decoder.decode(line).topic
        except msgspec.ValidationError as error:
            raise DecodeError("invalid_field", str(error)) from None
        except UnicodeDecodeError as error:
            raise DecodeError("not_utf8", str(error)[:200]) from None
        except msgspec.DecodeError as error:
            raise DecodeError("not_json", str(error)) from None
        except RecursionError:
            raise DecodeError("too_deep", "nested deeper than can be read") from None
        if not isinstance(topic, str) or topic not in self._kinds:
            known = ", ".join(self._kinds)
            detail = f"expected one of {known} in the field topic (or --kind), got {topic!r:.80}"
            raise DecodeError("invalid_field", detail)
        return self._kinds[topic]


def _is_deletion(found: Found) -> bool:
    return isinstance(found, Delivery) and isinstance(found.event, Deletion)


def _is_parquet(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_PARQUET)) == _PARQUET


def _count(path: Path) -> int:
    if _is_parquet(path):
        return int(_open_parquet(path).metadata.num_rows)
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(_COUNT_BYTES), b""))


def _read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield number, from 1, and content of each line that is not blank."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield number, line


def _read_rows(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield number, from 1, and content as JSON of each row."""
    batches = _open_parquet(path).iter_batches(batch_size=CHUNK)
    rows: Iterable[Any] = (
        row for batch in batches for row in batch.to_pylist(maps_as_pydicts="lossy")
    )
    number = 0
    try:
        for number, row in enumerate(rows, 1):
            yield (
                number,
                encode({name: _to_json(v) for name, v in row.items() if _is_given(name, v)}),
            )
    except (ValueError, OSError) as error:
        raise InputError(f"{path}: cannot be read after row {number}: {error}") from None


def _open_parquet(path: Path) -> ParquetFile:
    try:
        from pyarrow import parquet  # noqa: PLC0415 - an extra
    except ImportError:
        message = f"{path}: reading Parquet needs pyarrow: pip install 'stream-persona[demo]'"
        raise ConfigError(message) from None
    try:
        return parquet.ParquetFile(path)
    except (ValueError, OSError) as error:  # Arrow's own errors are one or the other
        raise InputError(f"{path}: cannot be read as Parquet: {error}") from None


def _is_given(name: str, value: object) -> bool:
    """Whether a column has a value: empty ones are fields left out.

    Only an assignment's persona has a meaning when it is empty: a withdrawal.
    """
    return name == "persona" or _is_value(value)


def _is_value(value: object) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def _to_json(value: object) -> object:
    """Return a cell as JSON has it; a time without a zone is read as UTC, as most write it."""
    if isinstance(value, dict):
        return {name: _to_json(inner) for name, inner in value.items() if _is_value(inner)}
    if isinstance(value, list):
        return [_to_json(inner) for inner in value]
    if isinstance(value, datetime) and value.tzinfo is None:
        return value.replace(tzinfo=UTC)
    return float(value) if isinstance(value, Decimal) else value
