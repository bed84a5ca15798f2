"""The commands that replay files or topics, and that fold a lost Redis again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from stream_persona.cli.options import (
    FILES,
    DeadLetters,
    EventKind,
    Json,
    load_configuration,
    parse_time,
    print_result,
)
from stream_persona.cli.running import run

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from stream_persona.replay.summary import ReplaySummary
    from stream_persona.settings import Settings

group = typer.Typer()


_HELP = """Replay events from files or topics into the stored records, and publish once at the end.

Without FILES it reads topics: all five inputs and the topics of sources, these by today's
mapping, from beginning to end, unless the options limit them. Events that were applied before
change nothing: those of topics are recognised by their offset, those of files by the file's
content and the line. So the same file counts once, under any name, gzipped or not, and of a
file that has grown the new lines count.

What a file is shows in its content. CSV (with , ; or tab) has a header row with columns named
like fields; product_id, category, brand, price, quantity and items.attributes.<key> make an
item, attributes.<key> is the event's. Lines of one event_id (without that column, of one
order_id) stand together and make one purchase; an empty cell is a field left out.

Stop the workers first: a replay claims the partitions that it writes, which fences workers
out, so it does not start while the group has members. A replay that was interrupted can be
started again.

The exit code is 3 when some lines could not be read; all others were replayed, and of each
reason the first line is shown. It is 2 when a file is none that can be read: then nothing was.
"""
_EXAMPLES = """
Example: stream-persona replay purchases-2024.jsonl.gz --kind purchases

Example: stream-persona replay orders.csv --kind purchases --dead-letters unreadable.jsonl

Example: stream-persona replay --topic purchases --topic browses --publish none
"""

_Files = Annotated[list[Path] | None, typer.Argument(**FILES)]
_Topics = Annotated[list[str] | None, typer.Option(help="A topic to replay; may be repeated.")]
_FromOffset = Annotated[int | None, typer.Option(min=0, help="Replay from this offset on.")]
_FromTime = Annotated[
    int | None,
    typer.Option(
        parser=parse_time, metavar="TIME", help="Replay what arrived at this time or later."
    ),
]
_ToOffset = Annotated[int | None, typer.Option(min=0, help="Replay what is before this offset.")]
_ToTime = Annotated[
    int | None,
    typer.Option(parser=parse_time, metavar="TIME", help="Replay what arrived before this time."),
]
_Publish = Annotated[
    Literal["changes", "none"],
    typer.Option(help="Publish one change for each customer whose persona shifted, or none."),
]


@group.command(help=_HELP, epilog=_EXAMPLES)
def replay(
    files: _Files = None,
    kind: EventKind = None,
    topic: _Topics = None,
    from_offset: _FromOffset = None,
    from_time: _FromTime = None,
    to_offset: _ToOffset = None,
    to_time: _ToTime = None,
    publish: _Publish = "changes",
    dead_letters: DeadLetters = None,
    as_json: Json = False,
) -> None:
    """Replay events from files or topics into the stored records, and publish once at the end."""
    from stream_persona.cli.auditing import audit_block
    from stream_persona.cli.terminal import show_progress
    from stream_persona.kafka.source_topics import find_source_topics
    from stream_persona.replay.files import KIND_NAMES
    from stream_persona.replay.run import BackfillRequest, backfill
    from stream_persona.replay.topics import Range

    span = Range(from_offset, from_time, to_offset, to_time)
    _refuse_mixture(files, kind, has_range=bool(topic) or span != Range())
    settings, taxonomy = load_configuration()
    all_topics = [*settings.input_topics, *find_source_topics(settings)]
    kinds, sources = _find_topics(topic or all_topics, settings)
    request = BackfillRequest(
        files=files or (),
        kind=KIND_NAMES.index(kind) if kind else None,
        kinds=kinds,
        sources=sources,
        span=span,
        publish=publish == "changes",
        dead_letters=dead_letters,
    )
    named = [str(path) for path in files or ()] or topic or all_topics
    facts: dict[str, object] = {"files" if files else "topics": named}
    with audit_block(settings, "replay", facts):
        summary = _fold(backfill(settings, taxonomy, request, show_progress))
        facts["applied"] = summary.applied
    _conclude(summary, as_json=as_json)


def _refuse_mixture(files: list[Path] | None, kind: str | None, *, has_range: bool) -> None:
    if files and has_range:
        raise typer.BadParameter("FILES and a range of topics exclude each other")
    if kind and not files:
        raise typer.BadParameter("--kind is for FILES; topics are named with --topic")


@group.command(epilog="Example: stream-persona rebuild")
def rebuild(as_json: Json = False) -> None:
    """Fold a Redis that was lost again from the topics, so that workers can go on.

    Stop the workers first. Everything that the input topics hold is folded; what Redis still holds
    stays as it is, and customers' revisions count on from the changes that were published. Then the
    group's offsets are set to where the topics ended. A rebuild that was interrupted can be started
    again.

    The exit code is 3 when some messages could not be read; all others were folded.
    """
    from stream_persona.cli.auditing import audit_block
    from stream_persona.cli.terminal import show_progress
    from stream_persona.replay.rebuild import rebuild as fold_again

    settings, taxonomy = load_configuration()
    facts: dict[str, object] = {}
    with audit_block(settings, "rebuild", facts):
        summary = _fold(fold_again(settings, taxonomy, show_progress))
        facts["applied"] = summary.applied
    _conclude(summary, as_json=as_json)


def _fold(work: Coroutine[Any, Any, ReplaySummary]) -> ReplaySummary:
    """Run a replay or a rebuild, with BLAS as workers have it: they fit the same model."""
    from stream_persona.store.blas import limit_blas_threads

    limit_blas_threads()
    return run(work)


def _conclude(summary: ReplaySummary, *, as_json: bool) -> None:
    """Print what became of all events, and exit with 3 if some could not be read."""
    facts = summary.to_plain()
    if not as_json:
        del facts["unreadable_examples"]
        facts["unreadable"] = summary.describe_unreadable()
    print_result(facts, as_json=as_json)
    if summary.unreadable:
        raise typer.Exit(3)


def _find_topics(topics: list[str], settings: Settings) -> tuple[list[int], list[str]]:
    """Return the kinds of input topics, named as in the settings or as kinds are; and sources."""
    from stream_persona.kafka.source_topics import find_source_topics
    from stream_persona.replay.files import KIND_NAMES

    sources = find_source_topics(settings)
    known = {name: kind for kind, name in enumerate(KIND_NAMES)}
    known |= {name: kind for kind, name in enumerate(settings.input_topics)}
    for name in topics:
        if name not in known and name not in sources:
            expected = ", ".join([*settings.input_topics, *sources])
            raise typer.BadParameter(f"no input topic {name!r}; expected one of {expected}")
    own = sorted({known[name] for name in topics if name in known})
    return own, sorted({name for name in topics if name not in known})
