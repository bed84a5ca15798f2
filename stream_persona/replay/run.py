"""A replay from beginning to end on real servers: checks, source, tables, publisher, progress."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stream_persona.clocks import MACHINE_CLOCKS, Clocks
from stream_persona.files.unreadable import open_dead_letters
from stream_persona.kafka.log_reader import KafkaEventLog
from stream_persona.kafka.publisher import KafkaPublisher
from stream_persona.replay.files import Files
from stream_persona.replay.fold import Replay
from stream_persona.replay.summary import ReplaySummary
from stream_persona.replay.topics import Range, Topics, refuse_live_workers
from stream_persona.store.ingested_files import load_ingested
from stream_persona.store.redis import RedisTables
from stream_persona.store.replayed_files import add_files, load_files
from stream_persona.worker import preflight
from stream_persona.worker.joining import join

if TYPE_CHECKING:
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.settings import Settings


#: Everything that a topic holds.
_ALL: Final = Range()


#: Shows how far a task of a name and a number of steps has come, where that number is known.
Progress = Callable[[str, int | None], AbstractContextManager[Callable[[int], None]]]


@contextmanager
def hide(_: str, __: int | None) -> Iterator[Callable[[int], None]]:
    """Show nothing."""
    yield lambda _: None


@asynccontextmanager
async def open_servers(settings: Settings) -> AsyncIterator[tuple[RedisTables, KafkaPublisher]]:
    """Connect to Redis and to Kafka."""
    async with AsyncExitStack() as stack:
        tables = RedisTables.connect(
            settings.redis_address, settings.prefix, settings.retry_seconds
        )
        stack.push_async_callback(tables.close)
        publisher = KafkaPublisher(settings)
        await publisher.start()
        stack.push_async_callback(publisher.stop)
        yield tables, publisher


@dataclass(frozen=True, slots=True)
class BackfillRequest:
    """What to replay: ``files`` (all of ``kind``, or of what each line says), else topics.

    ``kinds`` are the input topics to read the ``span`` of, as indices into ``events.KINDS``, and
    ``sources`` topics of sources.
    Lines that cannot be read are written to ``dead_letters``.
    """

    files: Sequence[Path] = ()
    kind: int | None = None
    kinds: Sequence[int] = ()
    sources: Sequence[str] = ()
    span: Range = _ALL
    publish: bool = True
    dead_letters: Path | None = None


async def backfill(
    settings: Settings,
    taxonomy: Taxonomy,
    request: BackfillRequest,
    progress: Progress = hide,
    clocks: Clocks = MACHINE_CLOCKS,
) -> ReplaySummary:
    """Replay files or topics; ``progress`` is entered once their number of events is known.

    Raises:
        InputError: a file cannot be read, a range leaves out what workers have not consumed.
        TopologyError: workers are running, or servers are not as they must be.
        UnavailableError: broker or Redis stayed away.
    """
    files = Files(request.files, request.kind, settings, taxonomy) if request.files else None
    await preflight.check_redis(settings, taxonomy)
    await refuse_live_workers(settings)
    await join(settings, taxonomy)
    async with AsyncExitStack() as stack:
        note = stack.enter_context(open_dead_letters(request.dead_letters))
        tables, publisher = await stack.enter_async_context(open_servers(settings))
        source: Files | Topics
        if files is not None:
            source = files
        else:
            topics = Topics(request.kinds, request.span, settings, taxonomy, others=request.sources)
            source = await stack.enter_async_context(topics)
        advance = stack.enter_context(progress("events", source.total))
        history = KafkaEventLog(settings, taxonomy)
        earlier = {} if files is None else await _identify(files, tables, settings)
        replay = Replay(
            settings, taxonomy, tables, publisher, history, publish=request.publish, clocks=clocks
        )
        began = clocks.monotonic()
        summary = await replay.run(
            source.read_chunks(), unreadable=note, progress=advance, earlier=earlier
        )
        summary.seconds = clocks.monotonic() - began
        return summary


async def _identify(files: Files, tables: RedisTables, settings: Settings) -> dict[int, int]:
    """Identify files, and store their contents for later replays; return ``Files.earlier``.

    Raises:
        InputError: one was ingested.
    """
    ingested = await load_ingested(tables, settings)
    files.refuse_ingested({content for _, content in ingested})
    contents = files.identify(await load_files(tables, settings))
    await add_files(tables, settings, contents)
    return files.earlier
