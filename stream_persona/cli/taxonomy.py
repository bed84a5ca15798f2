"""The commands on the file that says which personas there are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from stream_persona.cli.options import Json, show_facts
from stream_persona.errors import TaxonomyError

group = typer.Typer(help="Work on the file that says which personas there are.")


@group.command(epilog="Example: stream-persona taxonomy check personas.toml")
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A taxonomy, in TOML.")],
    as_json: Json = False,
) -> None:
    """Say whether a taxonomy file is sound, or every mistake with its line (exit code 2)."""
    from stream_persona.cli.terminal import print_json
    from stream_persona.domain.taxonomy import load

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
