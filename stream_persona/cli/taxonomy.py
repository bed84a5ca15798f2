"""The command on a taxonomy file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from stream_persona.cli.options import Json, print_mistakes, print_result
from stream_persona.errors import TaxonomyError

group = typer.Typer(help="Check the file that defines the personas.")


@group.command(epilog="Example: stream-persona taxonomy check personas.toml")
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A taxonomy, in TOML.")],
    as_json: Json = False,
) -> None:
    """Check a taxonomy file: print its personas, or every mistake with its line (exit code 2)."""
    from stream_persona.domain.taxonomy import load

    try:
        taxonomy = load(file)
    except TaxonomyError as error:
        if as_json:
            print_mistakes(file, error)
        raise
    facts: dict[str, Any] = {
        "file": str(file),
        "valid": True,
        "mistakes": [],
        "name": taxonomy.name,
        "version": taxonomy.version,
        "personas": taxonomy.names,
    }
    print_result(facts, as_json=as_json)
