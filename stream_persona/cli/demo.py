"""The commands that need no events of your own: a whole demo, and synthetic shoppers."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from stream_persona.cli.options import Json, load_configuration, parse_duration, print_result
from stream_persona.cli.running import run as run_command

group = typer.Typer()

_Bound = Annotated[
    float | None,
    typer.Option(
        "--for",
        parser=parse_duration,
        metavar="60s",
        help="End after this time; without it the demo runs until Ctrl-C.",
    ),
]
_Speed = Annotated[
    float | None,
    typer.Option(
        min=0.001, help="Days of event time per second; by default one, or what fits into --for."
    ),
]
_Drift = Annotated[
    int | None,
    typer.Option(min=1, help="Number of events after which a shopper changes persona."),
]


@group.command(epilog="Example: stream-persona demo --for 60s --no-browser")
def demo(
    bound: _Bound = None,
    speed: _Speed = None,
    shoppers: Annotated[
        int, typer.Option(min=1, help="Number of synthetic shoppers beside the real ones.")
    ] = 100,
    rate: Annotated[
        float, typer.Option(min=0, help="Events per second of the synthetic shoppers.")
    ] = 40.0,
    seed: Annotated[
        int, typer.Option(help="Seed of the hold-out and of the synthetic shoppers.")
    ] = 1,
    report: Annotated[Path, typer.Option(help="File that the figures are written to.")] = Path(
        "build/reports/demo.json"
    ),
    browser: Annotated[bool, typer.Option(help="Open the dashboard in a browser.")] = True,
    as_json: Json = False,
) -> None:
    """Run a whole system on this machine, with real shoppers, and measure it as they shop."""
    from stream_persona.demo.run import DemoOptions, run

    options = DemoOptions(
        for_seconds=bound,
        speed=speed,
        browser=browser,
        json=as_json,
        report=report,
        shoppers=shoppers,
        rate=rate,
        seed=seed,
    )
    asyncio.run(run(options))


@group.command(epilog="Example: stream-persona simulate --rate 200 --for 5m --seed 7")
def simulate(
    rate: Annotated[float, typer.Option(min=0.01, help="Events per second.")] = 50.0,
    count: Annotated[int | None, typer.Option(min=1, help="Stop after this many events.")] = None,
    bound: Annotated[
        float | None,
        typer.Option("--for", parser=parse_duration, metavar="60s", help="Stop after this time."),
    ] = None,
    shoppers: Annotated[int, typer.Option(min=1, help="Number of shoppers.")] = 200,
    drift_after: _Drift = None,
    seed: Annotated[int, typer.Option(help="Seed; the same one draws the same shoppers.")] = 1,
    as_json: Json = False,
) -> None:
    """Produce events of synthetic shoppers (SIM-00001, ...) that happen now.

    The shoppers behave like the taxonomy's personas, until --count, --for or Ctrl-C ends the run.
    """
    from stream_persona.cli.agreement import check_before_sending
    from stream_persona.cli.terminal import show_progress
    from stream_persona.demo import simulation
    from stream_persona.demo.simulator import Simulator

    settings, taxonomy = load_configuration()
    run_command(check_before_sending(settings, taxonomy))
    simulator = Simulator(taxonomy, shoppers=shoppers, seed=seed, drift_after=drift_after)
    sent = 0
    total = count if count is not None else None if bound is None else int(rate * bound)

    async def produce(advance: Callable[[int], None]) -> None:
        nonlocal sent
        batches = simulation.simulate(settings, simulator, rate=rate, seconds=bound, count=count)
        async for number in batches:
            sent += number
            advance(number)

    with show_progress("events", total) as advance:
        seconds = _measure(lambda: run_command(produce(advance)))
    summary = {"events": sent, "seconds": round(seconds, 3), "events_per_second": sent / seconds}
    print_result(summary, as_json=as_json)


def _measure(run: Callable[[], object], clock: Callable[[], float] = time.monotonic) -> float:
    """Return the seconds of a run, which Ctrl-C is meant to end where it has no bound."""
    began = clock()
    with contextlib.suppress(KeyboardInterrupt):
        run()
    return clock() - began
