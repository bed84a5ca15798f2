"""The commands on one customer: show, assign and delete."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

import typer

from stream_persona.cli.options import Customer, Json, exit_with, load_configuration, print_result

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
    found = asyncio.run(stored_customer.load(settings, taxonomy, customer, tokens))
    if found is None:
        exit_with(f"nothing is known of customer {customer!r}: lookups return the baseline", 1)
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
    source: Annotated[
        str, typer.Option(help="Where it comes from; kept with the assignment.")
    ] = "cli",
    as_json: Json = False,
) -> None:
    """Assign a persona to a customer: lookups return it, and the model learns from it."""
    from stream_persona.cli import customer_events

    if (persona is None) != withdraw:
        raise typer.BadParameter("give either a PERSONA or --withdraw")
    settings, taxonomy = load_configuration()
    receipt = asyncio.run(
        customer_events.send_assignment(settings, taxonomy, customer, persona, source)
    )
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
    from stream_persona.domain.identity import NobodyIds
    from stream_persona.kafka.commands import check_somebody

    settings, taxonomy = load_configuration()
    check_somebody(customer, NobodyIds(settings.nobody))
    if sys.stdin.isatty() and not yes:
        question = f"Forget customer {customer!r} and what was learned of them?"
        typer.confirm(question, abort=True, err=True)
    receipt = asyncio.run(customer_events.send_deletion(settings, taxonomy, customer))
    print_result(receipt, as_json=as_json)
