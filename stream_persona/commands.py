"""The commands about what is stored: taxonomies, customers, replay; and what all commands share."""

# ruff: noqa: FBT002, PLC0415, PLR0913, PLR0917
# A switch is a boolean, a command imports what it runs and has as many parameters as options.

from __future__ import annotations

import asyncio
import re
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer

from stream_persona.errors import TaxonomyError

if TYPE_CHECKING:
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.settings import Settings

group = typer.Typer()
taxonomies = typer.Typer(help="Work on the file that says which personas there are.")
models = typer.Typer(help="Work on what learns personas from behaviour.")

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Customer = Annotated[str, typer.Argument(metavar="CUSTOMER", help="The customer's id.")]


def configured() -> tuple[Settings, Taxonomy]:
    """Settings from the environment, and the taxonomy that they name.

    Raises:
        ConfigError: says what is wrong with which.
    """
    from stream_persona.domain.taxonomy import load
    from stream_persona.settings import load_settings

    settings = load_settings()
    return settings, load(settings.taxonomy)


def duration(text: str) -> float:
    """The seconds that an option's value names."""
    from stream_persona import terminal

    return terminal.duration(text)


def moment(text: str) -> int:
    """Epoch milliseconds of an RFC 3339 time or date (UTC where it has no offset)."""
    if re.fullmatch(r"\d{5,}", text):
        return int(text)
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        expected = "write 2025-03-01, 2025-03-01T12:00:00Z or epoch milliseconds"
        raise typer.BadParameter(f"{text!r} is no time; {expected}") from None
    return round((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1_000)


def end(message: str, code: int) -> NoReturn:
    """Leave with one line on standard error."""
    print(message, file=sys.stderr)  # noqa: T201 - the one line that a caller reads
    sys.exit(code)


def show_facts(facts: dict[str, Any], *, as_json: bool) -> None:
    """The result of a command, for people or for programs."""
    from stream_persona.terminal import print_facts, print_json

    (print_json if as_json else print_facts)(facts)


@taxonomies.command(epilog="Example: stream-persona taxonomy check personas.toml")
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A taxonomy, in TOML.")],
    as_json: Json = False,
) -> None:
    """Say whether a taxonomy file is sound, or every mistake with its line (exit code 2)."""
    from stream_persona.domain.taxonomy import load
    from stream_persona.terminal import print_json

    try:
        taxonomy = load(file)
    except TaxonomyError as error:
        if as_json:
            mistakes = [{"line": line, "message": text} for line, text in error.mistakes]
            print_json({"file": str(file), "valid": False, "mistakes": mistakes})
        raise
    facts: dict[str, Any] = {
        "file": str(file),
        "valid": True,
        "mistakes": [],
        "name": taxonomy.name,
        "version": taxonomy.version,
        "personas": taxonomy.names,
    }
    show_facts(facts, as_json=as_json)


@models.command(
    epilog="Example: stream-persona model compare --challenger river.naive_bayes:ComplementNB\n\n"
    "Example: stream-persona model compare --challenger 'river.forest:ARFClassifier(n_models=5)'"
)
def compare(
    challenger: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODULE:CLASS",
            help="A River classifier, several times for several; those of the settings by default.",
        ),
    ] = None,
    in_time: Annotated[
        bool,
        typer.Option("--in-time", help="Judge in the order of assignments, not in five folds."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Judge the model and River's classifiers on all labelled customers, beside the class prior.

    Each is judged on customers that it has not learned, on the records as they are stored now.
    """
    from dataclasses import asdict

    from stream_persona import cli_model
    from stream_persona.model import comparison
    from stream_persona.model.river_adapter import specifications
    from stream_persona.terminal import print_json, progress

    settings, taxonomy = configured()
    rivals = challenger or specifications(settings.challengers) or comparison.USUAL
    models = comparison.contestants([settings.model, *rivals], taxonomy)
    known = asyncio.run(cli_model.stored(settings, taxonomy))
    with progress("customers judged", len(known) * len(models)) as advance:
        rows = comparison.compared(
            known, models, taxonomy, time.perf_counter, advance, in_time=in_time
        )
    if as_json:
        print_json({"customers": len(known), "models": [asdict(row) for row in rows]})
    else:
        cli_model.show(rows)


@group.command(epilog="Example: stream-persona show C-1017 --tokens 10")
def show(
    customer: Customer,
    tokens: Annotated[int, typer.Option(min=0, help="How many of the heaviest tokens.")] = 10,
    as_json: Json = False,
) -> None:
    """Show what is stored of a customer: the public record, and facts of the private one.

    The exit code is 1 when nothing is known of the customer.
    """
    from stream_persona import customers
    from stream_persona.terminal import print_facts, print_json

    settings, taxonomy = configured()
    found = asyncio.run(customers.find(settings, taxonomy, customer, tokens))
    if found is None:
        end(f"nothing is known of customer {customer!r}: lookups return the baseline", 1)
    if as_json:
        print_json(found)
        return
    print_facts(found.public or {"persona": None}, "Public record")
    print_facts(found.private, "Private record")


@group.command(
    epilog="Example: stream-persona assign C-1017 student --source survey\n\n"
    "Example: stream-persona assign C-1017 --withdraw"
)
def assign(
    customer: Customer,
    persona: Annotated[
        str | None, typer.Argument(metavar="PERSONA", help="One of the taxonomy's personas.")
    ] = None,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Take the assignment back.")] = False,
    source: Annotated[str, typer.Option(help="Who says so: kept with the assignment.")] = "cli",
    as_json: Json = False,
) -> None:
    """Assign a persona to a customer: lookups return it, and the model learns from it."""
    from stream_persona import customers

    if (persona is None) != withdraw:
        raise typer.BadParameter("give either a PERSONA or --withdraw")
    settings, taxonomy = configured()
    receipt = asyncio.run(customers.assign(settings, taxonomy, customer, persona, source))
    show_facts(receipt, as_json=as_json)


@group.command(epilog="Example: stream-persona delete C-1017 --yes")
def delete(
    customer: Customer,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Forget a customer, with everything that the model learned of them.

    On a terminal it asks first.
    """
    from stream_persona import customers
    from stream_persona.domain.events import check_id

    check_id(customer)
    if sys.stdin.isatty() and not yes:
        question = f"Forget customer {customer!r} and what was learned of them?"
        typer.confirm(question, abort=True, err=True)
    settings, _ = configured()
    receipt = asyncio.run(customers.delete(settings, customer))
    show_facts(receipt, as_json=as_json)


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
    summary = asyncio.run(backfill(settings, taxonomy, request))
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
