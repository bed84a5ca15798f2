"""The command that makes keys of the API."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from stream_persona.cli.options import Json, print_result

group = typer.Typer(help="Make keys for callers of the API.")


@group.callback()
def keep_group() -> None:
    """Keep ``new`` a command of its own, although it is the only one."""


@group.command(epilog="Example: stream-persona keys new --name crm --scopes read,assign")
def new(
    name: Annotated[str, typer.Option(help="Who gets it: it stands in the audit log.")],
    scopes: Annotated[
        str,
        typer.Option(help="What it is good for: of read, rank, collect, assign, delete, operate."),
    ],
    as_json: Json = False,
) -> None:
    """Make a key: print it once, on standard error, and the table for the file of keys.

    The table, on standard output, holds a digest alone; nothing else is kept. With --json both are
    on standard output.
    """
    from stream_persona.api.security.keys import make_key

    key, table = make_key(name, [each.strip() for each in scopes.split(",") if each.strip()])
    if as_json:
        print_result({"name": name, "key": key, "table": table}, as_json=True)
        return
    print(f"The key of {name}, shown this once:\n\n{key}\n", file=sys.stderr)  # noqa: T201
    typer.echo(f"\n{table}", nl=False)
