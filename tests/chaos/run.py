"""``make chaos``: seeds of a busy shop while workers, broker and Redis die, against the oracle.

``make chaos ARGS="--seeds 3 --events 200000 --customers 5000"``. A seed that fails prints how to
run it again, and is tried with ever fewer of its faults for as long as ``--shrink`` allows.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from stream_persona.cli.options import parse_duration
from tests.chaos import schedule, trial
from tests.chaos.report import report, report_of, show
from tests.chaos.schedule import Plan
from tests.chaos.shop_servers import Size
from tests.chaos.trial import Result
from tests.chaos.verdict import describe

REPORT = Path("build/reports/chaos.json")
LOGS = Path("build/chaos")
#: Seconds of a group's session, unless asked for otherwise.
SESSION = 6.0
#: Events of a whole run for each fault: about as long as it takes to recover from one.
EVENTS_OF_A_FAULT = 4_500


def arguments(given: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds")
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--customers", type=int, default=5_000)
    parser.add_argument("--faults", type=int, help="faults of each seed; by the events if unset")
    parser.add_argument("--only", type=numbers, help="only these of the faults: 0,4,7")
    parser.add_argument(
        "--session", type=float, default=SESSION, help="seconds of a group's session"
    )
    parser.add_argument(
        "--shrink",
        type=parse_duration,
        default=1_800.0,
        help="how long to look for less: 30m",
    )
    parser.add_argument(
        "--sources", action="store_true", help="a part of the events comes of another tool's topic"
    )
    return parser.parse_args(given)


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",") if part]


class Runner:
    """Runs plans one after another and prints how they go."""

    def __init__(self, options: argparse.Namespace, console: Console) -> None:
        self._options = options
        self._console = console
        self._size = Size(options.events, options.customers, options.session, options.sources)

    def plan(self, seed: int) -> Plan:
        options = self._options
        faults = options.faults
        if faults is None:
            faults = max(len(schedule.SHORT), options.events // EVENTS_OF_A_FAULT)
        whole = schedule.plan(seed, options.events, faults)
        return whole if options.only is None else whole.only(options.only)

    async def run(self, plan: Plan) -> Result:
        directory = LOGS / f"seed-{plan.seed}"
        directory.mkdir(parents=True, exist_ok=True)
        for old in directory.iterdir():
            old.unlink()
        self._console.rule(f"seed {plan.seed}: {len(plan.faults)} faults, {plan.workers} workers")
        began = time.monotonic()

        def log(text: str) -> None:
            self._console.print(f"{time.monotonic() - began:6.1f} s  {text}", highlight=False)

        result = await trial.run(plan, self._size, directory.absolute(), log)
        log(f"{len(result.verdict.mismatches)} mismatches; logs of the workers: {directory}")
        for line in describe(result.verdict.mismatches):
            self._console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)
        if result.verdict.mismatches:
            self._console.print(f"again: {self.again(plan)}", markup=False, soft_wrap=True)
        return result

    def again(self, plan: Plan) -> str:
        """Return the command that runs a plan once more."""
        options = self._options
        text = f"--seed {plan.seed} --events {options.events} --customers {options.customers}"
        whole = self.plan(plan.seed)
        if options.session != SESSION:
            text += f" --session {options.session:g}"
        if options.sources:
            text += " --sources"
        if options.faults is not None:
            text += f" --faults {options.faults}"
        if plan != whole or options.only is not None:
            text += f" --only {','.join(str(fault.number) for fault in plan.faults) or '-1'}"
        return f'make chaos ARGS="{text}"'

    async def shrink(self, plan: Plan) -> Plan:
        """Search for the smallest plan that still fails, for as long as is allowed."""
        until, smallest = time.monotonic() + self._options.shrink, plan
        while time.monotonic() < until and len(smallest.faults) > 0:
            for half in smallest.halves():
                if time.monotonic() < until and (await self.run(half)).verdict.mismatches:
                    smallest = half
                    break
            else:
                break
        return smallest


async def run_all(options: argparse.Namespace, console: Console) -> list[dict[str, Any]]:
    """Run every seed, and look for a smaller plan for each that fails; return their reports."""
    runner, rows = Runner(options, console), []
    for seed in range(options.seed, options.seed + options.seeds):
        result = await runner.run(runner.plan(seed))
        row = report_of(result)
        if result.verdict.mismatches:
            row["again"] = runner.again(result.plan)
            row["shrunk"] = runner.again(await runner.shrink(result.plan))
        rows.append(row)
    return rows


def main(given: Sequence[str]) -> int:
    """Run the command; the exit code is 1 when anything did not match."""
    options, console = arguments(given), Console()
    rows = asyncio.run(run_all(options, console))
    written = report(rows, options.customers, options.session)
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(written, indent=2) + "\n")
    show(written, console)
    return 1 if written["mismatches"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
