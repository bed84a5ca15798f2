"""What ``assign --file`` does: look through a file of labels, show its mistakes, send the rest."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import typer

from stream_persona.cli.agreement import check_before_sending
from stream_persona.cli.auditing import audit_block, audit_refusals, write_command, write_refusal
from stream_persona.cli.options import print_error, print_result
from stream_persona.cli.running import run
from stream_persona.cli.terminal import show_progress
from stream_persona.domain.identity import NobodyIds
from stream_persona.ingestion.assign import send_labels
from stream_persona.ingestion.label_file import LabelFile
from stream_persona.ingestion.labels import LabelReader
from stream_persona.kafka.sender import SendCounts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.ingestion.label_file import Check
    from stream_persona.settings import Settings

#: What the audit log calls a file; each of its labels is an ``assignment``.
_ACTION: Final = "file of assignments"


@dataclass(frozen=True, slots=True)
class LabelFileRequest:
    """A file of labels, and what is to be done with it; ``source`` is that of rows without one."""

    path: Path
    source: str
    withdraw_empty: bool
    skip_mistakes: bool
    dry_run: bool
    as_json: bool


def assign_file(
    settings: Settings,
    taxonomy: Taxonomy,
    request: LabelFileRequest,
    clock: Callable[[], int] = time.time_ns,
) -> None:
    """Send the labels of a file; end with 2 if mistakes keep that from being done, 3 if skipped.

    Raises:
        InputError: it is no file of labels, or has changed while it was read.
        TopologyError: workers or topics are set otherwise.
        UnavailableError: the broker did not confirm all; what it did is printed.
    """
    reader = LabelReader(
        taxonomy, NobodyIds(settings.nobody), request.source, clock() // 1_000_000,
        withdraw_empty=request.withdraw_empty,
    )  # fmt: skip
    facts: dict[str, object] = {"file": str(request.path)}
    file, check = _look_through(settings, reader, request, facts)
    receipt = SendCounts()
    is_refused = bool(check.mistakes) and not request.skip_mistakes
    if is_refused and not request.dry_run:
        write_refusal(settings, _ACTION, facts | {"mistakes": check.mistakes.total()})
    if is_refused or request.dry_run:
        _print(request, settings, check, receipt)
        raise typer.Exit(2 if is_refused else 3 if check.mistakes else 0)
    try:
        with audit_block(settings, _ACTION, facts):
            try:
                run(_send(settings, taxonomy, file, check, receipt))
            finally:
                facts |= asdict(receipt)
    except KeyboardInterrupt:
        print_error("interrupted: give the same command again; what was sent changes nothing more")
        raise typer.Exit(1) from None
    finally:
        _print(request, settings, check, receipt)
    if check.mistakes:
        raise typer.Exit(3)


def _look_through(
    settings: Settings, reader: LabelReader, request: LabelFileRequest, facts: dict[str, object]
) -> tuple[LabelFile, Check]:
    """Look through a file; one that cannot be read leaves a line, unless it is but tried."""
    watching = nullcontext() if request.dry_run else audit_refusals(settings, _ACTION, facts)
    with watching, show_progress("rows, first looked through", None) as advance:
        file = LabelFile(request.path, reader)
        return file, file.check(advance)


async def _send(
    settings: Settings, taxonomy: Taxonomy, file: LabelFile, check: Check, receipt: SendCounts
) -> None:
    await check_before_sending(settings, taxonomy)
    with show_progress("labels", check.assignments + check.withdrawals) as advance:
        await send_labels(settings, file, receipt, advance, write_command)


def _print(
    request: LabelFileRequest, settings: Settings, check: Check, receipt: SendCounts
) -> None:
    """Print what was found and sent; for people, each mistake on standard error."""
    facts: dict[str, Any] = {
        "file": str(request.path),
        "dry_run": request.dry_run,
        **check.to_plain(),
    }
    facts |= {**asdict(receipt), "topic": settings.topic_assignments}
    if not request.as_json:
        for line, _, field, value, detail in check.examples:
            what = f"{field} {value}" if field else value
            print_error(f"{request.path}:{line}: {what}: {detail}")
        del facts["mistake_examples"]
        more = check.mistakes.total() - len(check.examples)
        if more > 0:
            print_error(f"... and {more:,} more mistakes, counted below")
        if check.mistakes and not request.skip_mistakes:
            print_error("nothing was sent; --skip-mistakes sends the rows that are right")
    print_result(facts, as_json=request.as_json)
