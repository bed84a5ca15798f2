"""The command line: where settings, taxonomy and the parts that a command needs come together.

A command imports what it runs, so that ``--help`` is quick and ``taxonomy check`` needs neither
Kafka nor Redis. Exit codes: 0 done, 1 failed, 2 what was asked or set is wrong (one clear line on
standard error), 3 replayed but not everything could be read.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from stream_persona.errors import StreamPersonaError, TaxonomyError

if TYPE_CHECKING:
    from stream_persona.settings import Settings
    from stream_persona.taxonomy import Taxonomy

app = typer.Typer(
    name="stream-persona",
    help="Know which of your own personas a shopper behaves like, while the shopper shops.",
    epilog="Settings come from STREAM_PERSONA_... variables and a .env file; the README has all.",
    add_completion=False,
    pretty_exceptions_enable=False,
)
taxonomies = typer.Typer(help="Work on the file that says which personas there are.")
app.add_typer(taxonomies, name="taxonomy")

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Customer = Annotated[str, typer.Argument(metavar="CUSTOMER", help="The customer's id.")]


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command and exit; errors made on purpose are a line on standard error."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = app(given or ["--help"], prog_name="stream-persona", standalone_mode=False)
    except typer.TyperException as error:
        _end(_usage(error), error.exit_code)
    except typer.Abort:
        _end("Nothing was done.", 1)
    except StreamPersonaError as error:
        _end(str(error), error.exit_code)
    sys.exit(code)


def _end(message: str, code: int) -> NoReturn:
    print(message, file=sys.stderr)  # noqa: T201 - the one line that a caller reads
    sys.exit(code)


def _usage(error: typer.TyperException) -> str:
    """What is wrong with the command line, in one line, and where to read more."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "stream-persona"
    return f"{' '.join(error.format_message().split()).rstrip('.')}; see {command} --help"


def _configured() -> tuple[Settings, Taxonomy]:
    from stream_persona.settings import load_settings
    from stream_persona.taxonomy import load

    settings = load_settings()
    return settings, load(settings.taxonomy)


def _duration(text: str) -> float:
    from stream_persona.terminal import duration

    return duration(text)


@app.command(epilog="Example: STREAM_PERSONA_BROKERS=kafka:9092 stream-persona worker")
def worker() -> None:
    """Consume events and keep personas up to date, until SIGTERM or Ctrl-C.

    Start as many as there is work for; they share the partitions. Topics are created where they
    are missing.
    """
    from stream_persona import launch

    launch.worker(*_configured())


@app.command(epilog="Example: STREAM_PERSONA_API_PORT=8080 stream-persona api")
def api() -> None:
    """Serve lookups, predictions, changes as they happen and the dashboard over HTTP."""
    from stream_persona import launch

    launch.api(*_configured())


@app.command(epilog="Example: stream-persona demo --for 60s --no-browser")
def demo(
    bound: Annotated[
        float | None,
        typer.Option("--for", parser=_duration, metavar="60s", help="End by itself after so long."),
    ] = None,
    speed: Annotated[
        float | None,
        typer.Option(min=0.001, help="Days of event time a second; fits the time by default."),
    ] = None,
    shoppers: Annotated[int, typer.Option(min=1, help="Synthetic shoppers beside the real.")] = 200,
    rate: Annotated[float, typer.Option(min=0, help="Their events a second.")] = 20.0,
    seed: Annotated[int, typer.Option(help="Draws who is held back, and what they do.")] = 1,
    report: Annotated[Path, typer.Option(help="Where the figures are written.")] = Path(
        "build/reports/demo.json"
    ),
    browser: Annotated[bool, typer.Option(help="Open the dashboard.")] = True,
    as_json: Json = False,
) -> None:
    """Run a whole system on this machine, with real shoppers, and judge it as they shop."""
    from stream_persona.demo import Options, run

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
        typer.Option("--for", parser=_duration, metavar="60s", help="Stop after so long."),
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
    from stream_persona.simulate import Simulator, run
    from stream_persona.terminal import print_facts, print_json, progress

    settings, taxonomy = _configured()
    simulator = Simulator(taxonomy, shoppers=shoppers, seed=seed, drift_after=drift_after)
    begin, sent = time.monotonic(), 0
    total = count if count is not None else None if bound is None else int(rate * bound)
    with progress("events", total) as advance:

        def tell(number: int) -> None:
            nonlocal sent
            sent += number
            advance(number)

        work = run(settings, simulator, rate=rate, seconds=bound, count=count, progress=tell)
        try:
            asyncio.run(work)
        except KeyboardInterrupt:
            pass  # how an unbounded run is meant to end; the summary follows
    seconds = time.monotonic() - begin
    summary = {"events": sent, "seconds": round(seconds, 3), "events_per_second": sent / seconds}
    (print_json if as_json else print_facts)(summary)


@taxonomies.command(epilog="Example: stream-persona taxonomy check personas.toml")
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A taxonomy, in TOML.")],
    as_json: Json = False,
) -> None:
    """Say whether a taxonomy file is sound, or every mistake with its line (exit code 2)."""
    from stream_persona.taxonomy import load
    from stream_persona.terminal import print_facts, print_json

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
    (print_json if as_json else print_facts)(facts)


@app.command(epilog="Example: stream-persona show C-1017 --tokens 10")
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

    settings, taxonomy = _configured()
    found = asyncio.run(customers.find(settings, taxonomy, customer, tokens))
    if found is None:
        _end(f"nothing is known of customer {customer!r}: lookups return the baseline", 1)
    if as_json:
        print_json(found)
        return
    print_facts(found.public or {"persona": None}, "Public record")
    print_facts(found.private or {"record": None}, "Private record")


@app.command(
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
    from stream_persona.terminal import print_facts, print_json

    if (persona is None) != withdraw:
        raise typer.BadParameter("give either a PERSONA or --withdraw")
    settings, taxonomy = _configured()
    receipt = asyncio.run(customers.assign(settings, taxonomy, customer, persona, source))
    (print_json if as_json else print_facts)(receipt)


@app.command(epilog="Example: stream-persona delete C-1017 --yes")
def delete(
    customer: Customer,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Forget a customer, with everything that the model learned of them.

    On a terminal it asks first.
    """
    from stream_persona import customers
    from stream_persona.events import check_id
    from stream_persona.terminal import print_facts, print_json

    check_id(customer)
    if sys.stdin.isatty() and not yes:
        question = f"Forget customer {customer!r} and what was learned of them?"
        typer.confirm(question, abort=True, err=True)
    settings, _ = _configured()
    receipt = asyncio.run(customers.delete(settings, customer))
    (print_json if as_json else print_facts)(receipt)
