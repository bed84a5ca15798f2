"""The command that sends files of events to the topics."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream_persona.cli.options import (
    FILES,
    DeadLetters,
    DryRun,
    EventKind,
    Json,
    load_configuration,
    print_error,
    print_result,
)
from stream_persona.cli.running import run

if TYPE_CHECKING:
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.ingestion.run import IngestRequest
    from stream_persona.ingestion.summary import IngestSummary
    from stream_persona.settings import Settings

group = typer.Typer()


_HELP = """Send events from files to the topics, while workers run.

It reads what replay reads, and sends each row as it is, keyed by its customer and in order.
A row that cannot be read is shown with its line and reason, and is not sent. The time in an
event stays what the file says; where the broker dates arrivals, it arrives now. So a deletion
counts as of now: it forgets all that its customer did before, also what is newer in the file.

With --source the files hold another tool's documents. Each goes to that topic as it is, and
becomes what the topic's sources (STREAM_PERSONA_SOURCES) make of it. One of which nothing comes
is counted by its reason, and not sent.

A file is known by its content, and sent once: under any name, gzipped or not, with what comes
back of a run that was interrupted, and of a file that has grown with the new rows. Where Redis
cannot be asked, and for rows that are in two files, events are known by their ids alone: for
seven days, and up to 128 of each kind and customer. A file that was replayed is refused.

The exit code is 3 when some rows could not be read, now or in the run that sent the others; 2
when a file is none that can be read, and then nothing was sent; 1 when the broker stayed away:
give the same command again.
"""
_EXAMPLES = """
Example: stream-persona ingest purchases-2024.jsonl.gz --kind purchases --dry-run

Example: stream-persona ingest orders.csv --kind purchases --rate 500

Example: stream-persona ingest ga4-2024.jsonl.gz --source web-events --dry-run

Example: stream-persona ingest january.parquet february.parquet --dead-letters bad.jsonl
"""

Rate = Annotated[
    float, typer.Option(min=0, help="Events a second, at most, beside live ones; 0 is no bound.")
]
Source = Annotated[
    str | None,
    typer.Option(metavar="TOPIC", help="The topic whose sources read the documents in the files."),
]


@group.command(help=_HELP, epilog=_EXAMPLES)
def ingest(
    files: Annotated[list[Path], typer.Argument(**FILES)],
    kind: EventKind = None,
    source: Source = None,
    rate: Rate = 2_000.0,
    dry_run: DryRun = False,
    dead_letters: DeadLetters = None,
    as_json: Json = False,
) -> None:
    """Send events from files to the topics, while workers run."""
    from stream_persona.files.row_reader import KIND_NAMES
    from stream_persona.ingestion.run import IngestRequest
    from stream_persona.ingestion.summary import IngestSummary

    if source is not None and kind is not None:
        raise typer.BadParameter("--source names documents of any kind: leave --kind out")
    settings, taxonomy = load_configuration()
    own = KIND_NAMES.index(kind) if kind else None
    request, summary = (
        IngestRequest(files, own, rate, dry_run, dead_letters, source),
        IngestSummary(),
    )
    code = 1
    try:
        run(_ingest(settings, taxonomy, request, summary))
        code = 0 if summary.is_whole else 3
    except KeyboardInterrupt:
        print_error("interrupted: give the same command again, and it goes on")
    finally:
        if code != 1 or summary.receipts:
            _print(summary, as_json=as_json)
    raise typer.Exit(code)


async def _ingest(
    settings: Settings, taxonomy: Taxonomy, request: IngestRequest, summary: IngestSummary
) -> None:
    from stream_persona.cli.agreement import check_before_sending
    from stream_persona.cli.auditing import audit_block, write_command
    from stream_persona.cli.terminal import show_progress
    from stream_persona.ingestion.run import ingest as send

    if request.dry_run:
        await send(settings, taxonomy, request, summary, show_progress, print_error)
        return
    facts: dict[str, object] = {"files": [str(path) for path in request.files]}
    with audit_block(settings, "files of events", facts):
        await check_before_sending(settings, taxonomy)
        request = replace(request, note=write_command)
        try:
            await send(settings, taxonomy, request, summary, show_progress, print_error)
        finally:
            facts["sent"] = sum(each.sent for each in summary.receipts.values())


def _print(summary: IngestSummary, *, as_json: bool) -> None:
    """Print what became of all rows; for people, what cannot be read on standard error."""
    facts = summary.to_plain()
    if not as_json:
        for each in facts.pop("unreadable_examples"):
            print_error(f"{each['source']}:{each['line']}: {each['reason']}: {each['detail']}")
        more = summary.unreadable.total() - len(summary.examples)
        if more > 0:
            print_error(f"... and {more:,} more that cannot be read (--dead-letters has them all)")
    print_result(facts, as_json=as_json)
