"""The command that shows what topics and files hold, before anything is connected to them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from stream_persona.cli.options import Json, load_configuration
from stream_persona.cli.running import run

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.inspection.sample import InputSample
    from stream_persona.settings import Settings

#: Suffixes of files: a name that ends so is taken for a file, not for a topic.
_SUFFIXES: Final = frozenset({
    ".csv", ".gz", ".json", ".jsonl", ".ndjson", ".parquet", ".tsv", ".txt", ".xls", ".xlsx",
    ".zip", ".zst",
})  # fmt: skip

group = typer.Typer()


_HELP = """Show what topics or files hold, what would become of it, and what helps.

It shows how many messages can be read and why others cannot, which fields are there, read, or
look like ours, whose ids, times, retries and searches these are, and what the taxonomy makes of
them; then it suggests settings and changes, each with the number of messages that it concerns.
Of a topic of STREAM_PERSONA_SOURCES, it shows what each source made of the messages, and looks
at the events that came of them; with --kind, at the messages as they are.

It needs no worker and no Redis, joins no consumer group and changes nothing.

The exit code is 0 when something could be read, and 2 for what is neither a topic nor a file
that can be read.
"""
_EXAMPLES = """
Example: stream-persona inspect purchases browses

Example: stream-persona inspect orders-2024.csv --kind purchases --json
"""

_Inputs = Annotated[
    list[str],
    typer.Argument(metavar="TOPIC|FILE...", help="Topics, or files as replay reads them."),
]
_Kind = Annotated[
    Literal["purchases", "browses", "engagements", "assignments", "deletions"] | None,
    typer.Option(
        help="The kind of events; otherwise that of the topic, or the one that fits best."
    ),
]
_Limit = Annotated[
    int,
    typer.Option(
        min=1, help="Messages to read: a topic's latest, of all partitions; a file's first."
    ),
]


@group.command(help=_HELP, epilog=_EXAMPLES)
def inspect(
    inputs: _Inputs, kind: _Kind = None, limit: _Limit = 10_000, as_json: Json = False
) -> None:
    """Show what topics or files hold, what would become of it, and what helps."""
    from stream_persona.cli.inspect_tables import print_report
    from stream_persona.cli.terminal import print_json
    from stream_persona.files.row_reader import KIND_NAMES

    settings, taxonomy = load_configuration()
    own = None if kind is None else KIND_NAMES.index(kind)
    samples = [_read(name, own, limit, settings, taxonomy) for name in inputs]
    reports = _make_reports(samples, settings, taxonomy)
    if as_json:
        suggestions = [
            {"input": report["name"], **each}
            for report in reports
            for each in report["suggestions"]
        ]
        print_json({"inputs": reports, "suggestions": suggestions})
        return
    for report in reports:
        print_report(report)


def _make_reports(
    samples: list[InputSample],
    settings: Settings,
    taxonomy: Taxonomy,
    clock: Callable[[], int] = time.time_ns,
) -> list[dict[str, Any]]:
    from stream_persona.cli.terminal import show_progress
    from stream_persona.inspection.reading import map_names_to_kinds
    from stream_persona.inspection.report import make_report

    topics, now = map_names_to_kinds(settings), clock() // 1_000_000
    with show_progress("messages", sum(len(sample.messages) for sample in samples)) as advance:
        return [
            make_report(
                sample, taxonomy, topics, settings.partitions, now, settings.nobody, advance
            )
            for sample in samples
        ]


def _read(
    name: str, kind: int | None, limit: int, settings: Settings, taxonomy: Taxonomy
) -> InputSample:
    """Read a file, if there is one of the name or it could be no topic's; else a topic."""
    from stream_persona.inspection.reading import read_file, read_topic

    path = Path(name)
    if path.exists() or "/" in name or path.suffix.casefold() in _SUFFIXES:
        return read_file(Path(name), kind, limit, settings)
    return run(read_topic(name, kind, limit, settings, taxonomy))
