"""The command line: where settings, taxonomy and the parts that a command needs come together.

A command imports what it runs, so that ``--help`` is quick and ``taxonomy check`` needs neither
Kafka nor Redis. Exit codes: 0 done, 1 failed, 2 what was asked or set is wrong (one clear line on
standard error), 3 replayed but not everything could be read.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from stream_persona.cli import customers, model, replay, taxonomy
from stream_persona.cli.options import Json, configured, duration, end, show_facts
from stream_persona.errors import StreamPersonaError

app = typer.Typer(
    name="stream-persona",
    help="Know which of your own personas a shopper behaves like, while the shopper shops.",
    epilog="Settings come from STREAM_PERSONA_... variables and a .env file; the README has all.",
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command and exit; errors made on purpose are a line on standard error."""
    # Commands say themselves what went wrong; services set up a log of their own.
    logging.basicConfig(level=logging.CRITICAL)
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = app(given or ["--help"], prog_name="stream-persona", standalone_mode=False)
    except typer.TyperException as error:
        end(_usage(error), error.exit_code)
    except typer.Abort:
        end("Nothing was done.", 1)
    except StreamPersonaError as error:
        end(str(error), error.exit_code)
    sys.exit(code)


def _usage(error: typer.TyperException) -> str:
    """What is wrong with the command line, in one line, and where to read more."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "stream-persona"
    return f"{' '.join(error.format_message().split()).rstrip('.')}; see {command} --help"


@app.command(epilog="Example: STREAM_PERSONA_BROKERS=kafka:9092 stream-persona worker")
def worker() -> None:
    """Consume events and keep personas up to date, until SIGTERM or Ctrl-C.

    Start as many as there is work for; they share the partitions. Topics are created where they
    are missing.
    """
    from stream_persona.cli import services

    services.worker(*configured())


@app.command(epilog="Example: STREAM_PERSONA_API_PORT=8080 stream-persona api")
def api() -> None:
    """Serve lookups, predictions, changes as they happen and the dashboard over HTTP."""
    from stream_persona.cli import services

    services.api(*configured())


@app.command(epilog="Example: stream-persona demo --for 60s --no-browser")
def demo(
    bound: Annotated[
        float | None,
        typer.Option("--for", parser=duration, metavar="60s", help="End by itself after so long."),
    ] = None,
    speed: Annotated[
        float | None,
        typer.Option(min=0.001, help="Days of event time a second; fits the time by default."),
    ] = None,
    shoppers: Annotated[int, typer.Option(min=1, help="Synthetic shoppers beside the real.")] = 100,
    rate: Annotated[float, typer.Option(min=0, help="Their events a second.")] = 40.0,
    seed: Annotated[int, typer.Option(help="Draws who is held back, and what they do.")] = 1,
    report: Annotated[Path, typer.Option(help="Where the figures are written.")] = Path(
        "build/reports/demo.json"
    ),
    browser: Annotated[bool, typer.Option(help="Open the dashboard.")] = True,
    as_json: Json = False,
) -> None:
    """Run a whole system on this machine, with real shoppers, and judge it as they shop."""
    from stream_persona.demo.run import Options, run

    options = Options(
        for_seconds=bound,
        speed=speed,
        browser=browser,
        json=as_json,
        report=report,
        shoppers=shoppers,
        rate=rate,
        seed=seed,
        started=time.monotonic(),
    )
    asyncio.run(run(options))


@app.command(epilog="Example: stream-persona simulate --rate 200 --for 5m --seed 7")
def simulate(
    rate: Annotated[float, typer.Option(min=0.01, help="Events a second.")] = 50.0,
    count: Annotated[int | None, typer.Option(min=1, help="Stop after so many events.")] = None,
    bound: Annotated[
        float | None,
        typer.Option("--for", parser=duration, metavar="60s", help="Stop after so long."),
    ] = None,
    shoppers: Annotated[int, typer.Option(min=1, help="How many shoppers there are.")] = 200,
    drift_after: Annotated[
        int | None, typer.Option(min=1, help="Events after which a shopper changes persona.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed draws the same shoppers.")] = 1,
    as_json: Json = False,
) -> None:
    """Let synthetic shoppers (SIM-00001, ...) produce events that happen now.

    They behave like the taxonomy's personas, until --count, --for or Ctrl-C ends it.
    """
    from stream_persona.cli.terminal import progress
    from stream_persona.demo.simulator import Simulator, run

    settings, taxonomy = configured()
    simulator = Simulator(taxonomy, shoppers=shoppers, seed=seed, drift_after=drift_after)
    begin, sent = time.monotonic(), 0
    total = count if count is not None else None if bound is None else int(rate * bound)
    with progress("events", total) as advance:

        def tell(number: int) -> None:
            nonlocal sent
            sent += number
            advance(number)

        work = run(settings, simulator, rate=rate, seconds=bound, count=count, progress=tell)
        with contextlib.suppress(KeyboardInterrupt):  # how an unbounded run is meant to end
            asyncio.run(work)
    seconds = time.monotonic() - begin
    summary = {"events": sent, "seconds": round(seconds, 3), "events_per_second": sent / seconds}
    show_facts(summary, as_json=as_json)


app.add_typer(customers.group)
app.add_typer(replay.group)
app.add_typer(taxonomy.group, name="taxonomy")
app.add_typer(model.group, name="model")
