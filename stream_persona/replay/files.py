"""Events in files: JSON Lines, JSON arrays, CSV or Parquet, gzipped or not (``files.formats``).

A row's field ``topic`` names its topic, unless one kind is given for all rows. A position is made
of the file's content and the number of the row (``files.identity``): the same file is applied once,
however often it is replayed and by whatever path; of one that has grown, the new rows are.

Positions of earlier versions were made of the path as given. A record keeps them, and a file that
was replayed by the same path then is known by them (``earlier``).
"""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stream_persona.clocks import epoch_ms
from stream_persona.domain.anomaly import Anomaly
from stream_persona.domain.events import KINDS, Deletion, decode_for_taxonomy
from stream_persona.domain.identity import NobodyIds
from stream_persona.domain.inputs import FILE_BIT
from stream_persona.errors import DecodeError, InputError
from stream_persona.files.formats import EventFile, Format, recognize
from stream_persona.files.identity import (
    Content,
    Part,
    find_beginnings,
    find_last,
    find_parts,
    format_parts,
    read_content,
)
from stream_persona.files.row_reader import KIND_NAMES, RowReader
from stream_persona.files.unreadable import Unreadable
from stream_persona.kafka.arrivals import EventReader
from stream_persona.pipeline.process import Delivery

if TYPE_CHECKING:
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.replay.summary import Found
    from stream_persona.settings import Settings

#: Events handed on at a time.
CHUNK: Final = 4_000


def number_file_partition(name: str) -> int:
    """Return the number that stands for a partition in the positions of a file's events.

    ``name`` is the id of its content, or a path. 44 bits of a hash of it stand above the kind
    (``Delivery.source``): two names in millions of files would be needed for events of one to be
    taken for those of another.
    """
    digest = hashlib.blake2b(name.encode(errors="surrogateescape"), digest_size=8).digest()
    return (int.from_bytes(digest) >> 20) << 19 | FILE_BIT


class _ReplayedFile:
    """A file to replay, its content, and the parts of that, each with a partition."""

    def __init__(self, file: EventFile) -> None:
        self.file = file
        self.name = posixpath.normpath(file.path.as_posix())
        self.content: Content = read_content(file)
        self.identify({})

    def identify(self, known: Mapping[str, str]) -> None:
        """Give the file the ids that its content is known by."""
        self.parts: list[Part] = find_parts(self.file, self.content, known)
        self._partitions = [(part.last, number_file_partition(part.id)) for part in self.parts]

    @property
    def partitions(self) -> list[int]:
        """What stands for a partition in positions, of each part."""
        return [partition for _, partition in self._partitions]

    def find_partition(self, number: int) -> int:
        """Return what stands for a partition in the position of a row."""
        return next(partition for last, partition in self._partitions if number <= last)


class Files:
    """Files to replay, one after another; the oldest should come first.

    Args:
        paths: the files.
        kind: an index into ``events.KINDS``; None reads it from each row's ``topic``.
        settings: names the topics.
        taxonomy: names the personas that assignments may have.
        now: gives epoch milliseconds; a time far ahead of it is not believed.

    Raises:
        InputError: a file cannot be read, and why.
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
        self._rows = RowReader(kind, settings.input_topics)
        found = [recognize(path) for path in paths]
        for file in found:
            self._rows.check_columns(file)
        self._sources = [_ReplayedFile(file) for file in found]
        #: Rows of all files.
        self.total = sum(source.content.rows for source in self._sources)

    def identify(self, known: Mapping[str, str]) -> dict[str, str]:
        """Match the files with those replayed before; return their contents and parts.

        ``known`` are the ones of earlier replays; all of them are to be kept for later ones.
        """
        contents: dict[str, str] = {}
        for source in self._sources:
            source.identify({**known, **contents})
            parts = format_parts(source.parts)
            contents[source.content.key] = parts
            if source.content.rows > 1 and source.content.begun not in known:
                contents.setdefault(source.content.begun, parts)
        return contents

    def refuse_ingested(self, known: Collection[str]) -> None:
        """Refuse files that were sent to the topics, from where they have other positions.

        Raises:
            InputError: a file, or its beginning, is among the ``known`` contents.
        """
        for source in self._sources:
            if begun := find_beginnings(source.file, source.content, known):
                raise InputError(
                    f"{source.file.path}: was ingested, at least in part, up to row "
                    f"{find_last(begun[-1]):,}, and replayed its events would count twice: ingest "
                    "it again, which takes what is new"
                )

    @property
    def earlier(self) -> dict[int, int]:
        """The partitions by which an earlier version knew the files, by those that they have."""
        return {
            partition: number_file_partition(source.name)
            for source in self._sources
            if source.file.format in {Format.LINES, Format.PARQUET}
            for partition in source.partitions
        }

    async def read_chunks(self) -> AsyncIterator[list[Found]]:
        """Yield everything in the files, some thousand events at a time; deletions come first.

        A late deletion could not read a file again, and what it drops at once needs no such thing.
        """
        deletions = (each for source in self._sources for each in self._read_deletions(source))
        others = (each for source in self._sources for each in self._read_events(source))
        found = chain(deletions, (each for each in others if not _is_deletion(each)))
        while chunk := list(islice(found, CHUNK)):
            yield chunk

    def _read_deletions(self, source: _ReplayedFile) -> Iterator[Found]:
        if self._kind in {None, KINDS.index(Deletion)}:
            yield from filter(_is_deletion, self._read_events(source))

    def _read_events(self, source: _ReplayedFile) -> Iterator[Found]:
        for number, value, error in self._rows.read(source.file):
            try:
                if error is not None:
                    raise error
                kind = self._rows.find_kind(value)
                event = decode_for_taxonomy(kind, value, self._taxonomy, self._nobody)
                if event.customer_id in self._nobody:
                    yield Anomaly.NOBODY
                    continue
                partition = source.find_partition(number)
                delivery = self._events.bound(Delivery.of(event, kind, partition, number))
            except DecodeError as found:
                yield Unreadable(found.reason, found.detail, source.name, number, value)
            else:
                yield delivery


def _is_deletion(found: Found) -> bool:
    return isinstance(found, Delivery) and isinstance(found.event, Deletion)


__all__ = ["CHUNK", "FILE_BIT", "KIND_NAMES", "Files", "number_file_partition"]
