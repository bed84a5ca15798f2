"""The command line: where a command's settings, taxonomy and services come together.

A command imports what it runs, so that ``--help`` is quick and ``taxonomy check`` needs neither
Kafka nor Redis. Exit codes: 0 done, 1 failed, 2 a wrong argument or setting (one clear line on
standard error), 3 replayed, ingested or assigned but not everything could be read.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from stream_persona.cli import (
    customers,
    demo,
    ingest,
    inspect,
    keys,
    model,
    replay,
    sources,
    taxonomy,
)
from stream_persona.cli.options import exit_with, load_configuration
from stream_persona.errors import StreamPersonaError

app = typer.Typer(
    name="stream-persona",
    help="Know which of your own personas a shopper behaves like, while the shopper shops.",
    epilog="Settings come from STREAM_PERSONA_... variables and a .env file; see the README.",
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(value: bool) -> None:
    if not value:
        return
    from importlib.metadata import PackageNotFoundError, version

    try:
        number = version("stream-persona")
    except PackageNotFoundError:  # run from a source tree
        number = "unknown (not installed)"
    typer.echo(f"stream-persona {number}")
    raise typer.Exit


@app.callback()
def take_options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Take the options that come before a command."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command and exit; a ``StreamPersonaError`` becomes a line on standard error."""
    # Commands report errors by themselves; services set up a log of their own.
    logging.basicConfig(level=logging.CRITICAL)
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = app(given or ["--help"], prog_name="stream-persona", standalone_mode=False)
    except typer.TyperException as error:
        exit_with(_explain(error), error.exit_code)
    except typer.Abort:
        exit_with("Nothing was done.", 1)
    except StreamPersonaError as error:
        exit_with(str(error), error.exit_code)
    sys.exit(code)


def _explain(error: typer.TyperException) -> str:
    """Return what is wrong with the command line, in one line, and where to read more."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "stream-persona"
    return f"{' '.join(error.format_message().split()).rstrip('.')}; see {command} --help"


@app.command(epilog="Example: STREAM_PERSONA_BROKERS=kafka:9092 stream-persona worker")
def worker() -> None:
    """Consume events and keep personas up to date, until SIGTERM or Ctrl-C.

    Start as many as the load needs; they share the partitions. Missing topics are created.
    """
    from stream_persona.cli import services

    services.run_worker(*load_configuration())


@app.command(epilog="Example: STREAM_PERSONA_API_PORT=8080 stream-persona api")
def api() -> None:
    """Serve lookups, predictions, changes as they happen and the dashboard over HTTP."""
    from stream_persona.cli import services

    services.run_api(*load_configuration())


app.add_typer(demo.group)
app.add_typer(customers.group)
app.add_typer(replay.group)
app.add_typer(ingest.group)
app.add_typer(inspect.group)
app.add_typer(taxonomy.group, name="taxonomy")
app.add_typer(sources.group, name="sources")
app.add_typer(model.group, name="model")
app.add_typer(keys.group, name="keys")
