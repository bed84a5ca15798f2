"""The commands on customers: show, assign (also a file of them) and delete."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from stream_persona.cli.options import (
    Customer,
    DryRun,
    Json,
    exit_with,
    load_configuration,
    print_result,
)
from stream_persona.cli.running import run

group = typer.Typer()


@group.command(epilog="Example: stream-persona show C-1017 --tokens 10")
def show(
    customer: Customer,
    tokens: Annotated[
        int, typer.Option(min=0, help="How many of the heaviest tokens to show.")
    ] = 10,
    as_json: Json = False,
) -> None:
    """Show what is stored of a customer: the public record, and facts of the private one.

    The exit code is 1 when nothing is stored of the customer.
    """
    from stream_persona.cli import stored_customer
    from stream_persona.cli.terminal import print_facts, print_json

    settings, taxonomy = load_configuration()
    found = run(stored_customer.load(settings, taxonomy, customer, tokens))
    if found is None:
        exit_with(f"nothing is known of customer {customer!r}: lookups return the baseline", 1)
    if as_json:
        print_json(found)
        return
    print_facts(found.public or {"persona": None}, "Public record")
    print_facts(found.private, "Private record")


_ASSIGN_HELP = """Assign a persona to a customer, or those of a file to many.

Lookups return it, and the model learns from it.

A file has the fields customer_id and persona, and may have occurred_at (otherwise now), expires_at,
source (otherwise --source) and assignment_id; in CSV as columns in any order, parted by , ; or tab.
Each mistake is shown with its line, value and what was expected: an unknown persona, an id that is
none, a time that cannot be read, an empty persona (without --withdraw-empty), rows that give one
customer two personas at one time. Then nothing is sent. The same label sent again changes nothing,
so that a file can be given again.

The exit code is 2 when mistakes kept a file from being sent, 3 when they were skipped, and 1 when
the broker did not take all: it says up to which line it did.
"""
_ASSIGN_EXAMPLES = """
Example: stream-persona assign C-1017 student --source survey

Example: stream-persona assign C-1017 --withdraw

Example: stream-persona assign --file labels.csv --source survey --dry-run
"""

AnyCustomer = Annotated[str | None, typer.Argument(metavar="CUSTOMER", help="The customer's id.")]
Persona = Annotated[
    str | None, typer.Argument(metavar="PERSONA", help="One of the taxonomy's personas.")
]
Withdraw = Annotated[bool, typer.Option("--withdraw", help="Take the assignment back.")]
Source = Annotated[str, typer.Option(help="Where it comes from; kept with the assignment.")]
Labels = Annotated[
    Path | None,
    typer.Option("--file", help="Labels: CSV, JSON Lines, a JSON array or Parquet, also gzipped."),
]
SkipMistakes = Annotated[
    bool, typer.Option("--skip-mistakes", help="Send the file's rows that are right.")
]
WithdrawEmpty = Annotated[
    bool,
    typer.Option("--withdraw-empty", help="Empty personas in the file take assignments back."),
]


@group.command(help=_ASSIGN_HELP, epilog=_ASSIGN_EXAMPLES)
def assign(
    customer: AnyCustomer = None,
    persona: Persona = None,
    withdraw: Withdraw = False,
    source: Source = "cli",
    file: Labels = None,
    dry_run: DryRun = False,
    skip_mistakes: SkipMistakes = False,
    withdraw_empty: WithdrawEmpty = False,
    as_json: Json = False,
) -> None:
    """Assign a persona to a customer, or those of a file to many."""
    if file is None:
        for option, is_given in (
            ("--dry-run", dry_run),
            ("--skip-mistakes", skip_mistakes),
            ("--withdraw-empty", withdraw_empty),
        ):
            if is_given:
                raise typer.BadParameter(f"{option} is for --file")
        _assign_one(customer, persona, source, withdraw=withdraw, as_json=as_json)
        return
    if customer is not None or withdraw:
        other = "a CUSTOMER" if customer is not None else "--withdraw (see --withdraw-empty)"
        raise typer.BadParameter(f"--file and {other} exclude each other")
    from stream_persona.cli.label_files import LabelFileRequest, assign_file

    request = LabelFileRequest(file, source, withdraw_empty, skip_mistakes, dry_run, as_json)
    assign_file(*load_configuration(), request)


def _assign_one(
    customer: str | None, persona: str | None, source: str, *, withdraw: bool, as_json: bool
) -> None:
    from stream_persona.cli import customer_events

    if customer is None:
        raise typer.BadParameter("give a CUSTOMER and a PERSONA, or --file")
    if (persona is None) != withdraw:
        raise typer.BadParameter("give either a PERSONA or --withdraw")
    settings, taxonomy = load_configuration()
    receipt = run(customer_events.send_assignment(settings, taxonomy, customer, persona, source))
    print_result(receipt, as_json=as_json)


@group.command(epilog="Example: stream-persona delete C-1017 --yes")
def delete(
    customer: Customer,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    as_json: Json = False,
) -> None:
    """Forget a customer, with everything that the model learned of them.

    On a terminal it asks for confirmation.
    """
    from stream_persona.cli import customer_events
    from stream_persona.cli.auditing import audit_refusals
    from stream_persona.domain.identity import NobodyIds
    from stream_persona.kafka.commands import check_somebody

    settings, taxonomy = load_configuration()
    with audit_refusals(settings, "deletion", {"customer_id": customer}):
        check_somebody(customer, NobodyIds(settings.nobody))
    if sys.stdin.isatty() and not yes:
        question = f"Forget customer {customer!r} and what was learned of them?"
        typer.confirm(question, abort=True, err=True)
    receipt = run(customer_events.send_deletion(settings, taxonomy, customer))
    print_result(receipt, as_json=as_json)
