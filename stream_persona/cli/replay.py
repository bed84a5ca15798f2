"""The command that folds files or topics again."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from stream_persona.cli.options import Json, configured, moment, show_facts

if TYPE_CHECKING:
    from stream_persona.settings import Settings

group = typer.Typer()


@group.command(
    epilog="Example: stream-persona replay purchases-2024.jsonl --kind purchases\n\n"
    "Example: stream-persona replay history.parquet --dead-letters unreadable.jsonl\n\n"
    "Example: stream-persona replay --topic purchases --topic browses --publish none"
)
def replay(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FILES]...", help="JSON Lines or Parquet, the oldest first."),
    ] = None,
    kind: Annotated[
        Literal["purchases", "browses", "engagements", "assignments", "deletions"] | None,
        typer.Option(help="What the files hold; else each line's field 'topic' says it."),
    ] = None,
    topic: Annotated[
        list[str] | None, typer.Option(help="A topic to replay, several times for several.")
    ] = None,
    from_offset: Annotated[int | None, typer.Option(min=0, help="From this offset on.")] = None,
    from_time: Annotated[
        int | None, typer.Option(parser=moment, metavar="TIME", help="From this arrival on.")
    ] = None,
    to_offset: Annotated[int | None, typer.Option(min=0, help="Up to before this offset.")] = None,
    to_time: Annotated[
        int | None, typer.Option(parser=moment, metavar="TIME", help="Up to before this arrival.")
    ] = None,
    publish: Annotated[
        Literal["changes", "none"],
        typer.Option(help="Publish one change of each customer whose persona shifted, or none."),
    ] = "changes",
    dead_letters: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where to write what cannot be read.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Fold events of files or topics into the stored records, and speak once at the end.

    Without FILES it reads topics: all five inputs from beginning to end, unless told otherwise.
    Events that were applied before change nothing: those of topics are known by their offset,
    those of files by the path as given and the line.

    Stop the workers first: a replay claims the partitions it writes, which fences workers out, so
    it does not start while the group has members. A replay that was broken off can be started
    again.

    The exit code is 3 when some lines could not be read; all others were replayed.
    """
    from stream_persona.cli.terminal import progress
    from stream_persona.replay.files import KIND_NAMES
    from stream_persona.replay.run import Request, backfill
    from stream_persona.replay.topics import Range

    span = Range(from_offset, from_time, to_offset, to_time)
    if files and (topic or span != Range()):
        raise typer.BadParameter("FILES and a range of topics exclude each other")
    if kind and not files:
        raise typer.BadParameter("--kind is for FILES; topics are named with --topic")
    settings, taxonomy = configured()
    request = Request(
        files=files or (),
        kind=KIND_NAMES.index(kind) if kind else None,
        kinds=_kinds(topic or list(settings.input_topics), settings),
        span=span,
        publish=publish == "changes",
        dead_letters=dead_letters,
    )
    summary = asyncio.run(backfill(settings, taxonomy, request, progress))
    show_facts(summary.plain(), as_json=as_json)
    if summary.unreadable:
        raise typer.Exit(3)


def _kinds(topics: list[str], settings: Settings) -> list[int]:
    from stream_persona.replay.files import KIND_NAMES

    known = {name: kind for kind, name in enumerate(KIND_NAMES)}
    known |= {name: kind for kind, name in enumerate(settings.input_topics)}
    for name in topics:
        if name not in known:
            expected = ", ".join(settings.input_topics)
            raise typer.BadParameter(f"no input topic {name!r}; expected one of {expected}")
    return sorted({known[name] for name in topics})
