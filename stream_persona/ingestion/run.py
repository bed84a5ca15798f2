"""Sends the events of files to the input topics, while workers run.

Each chunk of a file is noted in Redis once the broker has confirmed it. So a file is ingested once,
under any name, of one that has grown the new rows are, and a run that was killed goes on behind its
last note. What it had sent after that is sent again, and known by its event ids: no customer has
more of them in a chunk than are known of an input (``domain.deduplication``).
"""

from __future__ import annotations

from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from stream_persona.clocks import MACHINE_CLOCKS, Clocks
from stream_persona.domain.anomaly import Anomaly
from stream_persona.domain.deduplication import MAX_RECENT
from stream_persona.errors import UnavailableError
from stream_persona.files.identity import Content, find_last, read_content
from stream_persona.files.unreadable import Unreadable, open_dead_letters
from stream_persona.ingestion.documents import DocumentFiles
from stream_persona.ingestion.events import EventFiles
from stream_persona.ingestion.notes import Notes
from stream_persona.kafka.sender import (
    FileSender,
    Note,
    Outgoing,
    Pace,
    SendCounts,
    note_nothing,
)
from stream_persona.store.ingested_files import Ingested
from stream_persona.store.redis import RedisTables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    #: Shows how far a task of a name and a number of steps has come, where that number is known.
    Progress = Callable[[str, int | None], AbstractContextManager[Callable[[int], None]]]

    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.files.formats import EventFile
    from stream_persona.ingestion.events import Found
    from stream_persona.ingestion.summary import IngestSummary
    from stream_persona.settings import Settings

#: Seconds to wait for a Redis that does not answer, before files are sent without notes.
_PATIENCE: Final = 2.0
#: Rows without a message, at most, before a chunk ends: they are noted, too.
_ROWS: Final = 10_000
#: Bytes of a chunk, at most, unless one row has more.
_BYTES: Final = 4_194_304


@dataclass(frozen=True, slots=True)
class IngestRequest:
    """What to ingest: files, all of ``kind`` or of what each row says, ``rate`` events a second.

    Where a ``source`` is named, they hold documents of that topic. Rows that cannot be read are
    written to ``dead_letters``. A ``dry_run`` sends nothing. ``note`` is called for each message
    that was sent.
    """

    files: Sequence[Path]
    kind: int | None = None
    rate: float = 0.0
    dry_run: bool = False
    dead_letters: Path | None = None
    source: str | None = None
    note: Note = note_nothing


async def ingest(
    settings: Settings,
    taxonomy: Taxonomy,
    request: IngestRequest,
    summary: IngestSummary,
    progress: Progress,
    warn: Callable[[str], None],
    clocks: Clocks = MACHINE_CLOCKS,
) -> None:
    """Send the events of files; ``summary`` is right also when this raises.

    Raises:
        InputError: a file cannot be read, or was replayed; then nothing was sent.
        TopologyError: a topic is missing, or of another size.
        UnavailableError: the broker or Redis stayed away.
    """
    began = clocks.monotonic()
    summary.dry_run = request.dry_run
    files, pace = _make_files(settings, taxonomy, request), Pace(request.rate)
    found = [files.open(path) for path in request.files]
    try:
        async with AsyncExitStack() as stack:
            note = stack.enter_context(open_dead_letters(request.dead_letters))
            notes = await _open_notes(settings, request, files.name, stack, warn)
            contents = _look_through(found, notes, progress)
            sender = None
            if not request.dry_run:
                await files.check_topics(settings)
                sender = await stack.enter_async_context(FileSender(settings, pace, request.note))
            total = sum(content.rows for _, content in contents)
            advance = stack.enter_context(progress("rows", total))
            run = _Run(files, notes, sender, summary, note, pace.chunk, clocks.epoch_ms)
            for file, content in contents:
                await run.ingest(file, content, advance)
    finally:
        summary.seconds = clocks.monotonic() - began


def _make_files(settings: Settings, taxonomy: Taxonomy, request: IngestRequest) -> EventFiles:
    if request.source is None:
        return EventFiles(settings, taxonomy, request.kind)
    return DocumentFiles(settings, taxonomy, request.source)


def _look_through(
    files: Sequence[EventFile], notes: Notes, progress: Progress
) -> list[tuple[EventFile, Content]]:
    """Read what the files' contents are, before anything of them is sent.

    Raises:
        InputError: one cannot be read to its end, or was replayed.
    """
    with progress("rows, first looked through", None) as advance:
        contents = [(file, read_content(file, notes.known, advance)) for file in files]
    for file, content in contents:
        notes.refuse_replayed(file.path, content)
    return contents


async def _open_notes(
    settings: Settings,
    request: IngestRequest,
    kind: str,
    stack: AsyncExitStack,
    warn: Callable[[str], None],
) -> Notes:
    """Read the notes of earlier runs; a dry run needs no server, and has none."""
    if request.dry_run:
        return Notes(None, settings, kind)
    patience = min(_PATIENCE, settings.retry_seconds)
    tables = RedisTables.connect(settings.redis_address, settings.prefix, patience)
    stack.push_async_callback(tables.close)
    notes = Notes(tables, settings, kind)
    try:
        await notes.load()
    except UnavailableError as error:
        warn(f"it is not known, nor noted, whether these files were ingested before: {error}")
        return Notes(None, settings, kind)
    return notes


class _Run:
    """Sends one file after another."""

    def __init__(
        self,
        files: EventFiles,
        notes: Notes,
        sender: FileSender | None,
        summary: IngestSummary,
        note_unreadable: Callable[[Unreadable], None],
        chunk: int,
        now: Callable[[], int],
    ) -> None:
        self._files = files
        self._notes = notes
        self._sender = sender
        self._summary = summary
        self._note_unreadable = note_unreadable
        self._chunk = chunk
        self._now = now

    async def ingest(
        self, file: EventFile, content: Content, advance: Callable[[int], None]
    ) -> None:
        """Send what an earlier run has not sent of a file."""
        how_far, last = self._notes.find(content), find_last(content.key)
        self._summary.already_ingested += how_far.events
        self._summary.unreadable_before += how_far.unreadable
        receipt = self._summary.receipts.setdefault(str(file.path), SendCounts())
        rows = self._files.read(file, how_far.last + 1, last)
        for chunk in cut(rows, self._chunk):
            messages = self._count(chunk)
            if self._sender is not None:
                if messages:
                    await self._sender.send(messages, receipt)
                how_far = _go_on(how_far, chunk, self._now())
                if how_far.events:  # nothing was sent so far: another kind may be meant
                    await self._notes.add(content, how_far)
            advance(len(chunk))
        if self._sender is not None and how_far.events:
            await self._notes.add(content, replace(how_far, last=last))

    def _count(self, chunk: Sequence[tuple[int, list[Found]]]) -> list[Outgoing]:
        """Count what rows give, and return the messages."""
        messages: list[Outgoing] = []
        for _, found in chunk:
            for each in found:
                if isinstance(each, Outgoing):
                    messages.append(each)
                    self._summary.events.update(self._files.name_kinds(each))
                elif isinstance(each, Unreadable):
                    self._summary.add_unreadable(each)
                    self._note_unreadable(each)
                elif each is Anomaly.NOBODY:
                    self._summary.nobody += 1
                else:
                    self._summary.left_out[each] += 1
        return messages


def cut(
    rows: Iterator[tuple[int, list[Found]]], most: int
) -> Iterator[list[tuple[int, list[Found]]]]:
    """Cut rows into chunks of ``most`` messages, with no more of a customer's than ids are kept."""
    chunk: list[tuple[int, list[Found]]] = []
    customers: Counter[tuple[str, str]] = Counter()
    count = size = 0
    for number, found in rows:
        messages = [each for each in found if isinstance(each, Outgoing)]
        own = Counter(event for each in messages for event in each.events)
        length = sum(len(each.value) for each in messages)
        is_full = (
            count + own.total() > most
            or len(chunk) >= _ROWS
            or size + length > _BYTES
            or any(customers[key] + own[key] > MAX_RECENT for key in own)
        )
        if chunk and is_full:
            yield chunk
            chunk, customers, count, size = [], Counter(), 0, 0
        chunk.append((number, found))
        customers.update(own)
        count, size = count + own.total(), size + length
    if chunk:
        yield chunk


def _go_on(how_far: Ingested, chunk: Sequence[tuple[int, list[Found]]], now: int) -> Ingested:
    """Return how far a file was sent once a chunk of it was, at this time."""
    every = [each for _, found in chunk for each in found]
    kinds = Counter(type(each) for each in every)
    return Ingested(
        last=chunk[-1][0],
        events=how_far.events
        + sum(len(each.events) for each in every if isinstance(each, Outgoing)),
        unreadable=how_far.unreadable + kinds[Unreadable],
        nobody=how_far.nobody + every.count(Anomaly.NOBODY),
        at=now,
    )
