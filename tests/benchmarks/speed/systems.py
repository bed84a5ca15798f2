"""The systems beside each other, in turns: rates, CPU, and ratios within each turn.

Machines are shared and their speed moves; two runs of one turn are close in time, so their ratio
shows more than either. Figures are medians over turns, spreads the least and the most.
"""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.benchmarks.report import table
from tests.benchmarks.speed.measure import Bench, Figures

TITLES = {
    "ceiling": "the ceiling",
    "ours": "ours",
    "plain_faust": "plain Faust",
    "quix": "Quix Streams",
    "bytewax": "Bytewax",
}

Turn = dict[str, Figures]


def measure(bench: Bench, names: Sequence[str], turns: int, seconds: float) -> dict[str, Any]:
    """All systems ``turns`` times, each for the whole log or at most ``seconds``."""
    found = []
    for turn in range(turns):
        first = turn % len(names)  # none is always the first, or always behind the same one
        found.append(one_turn(bench, [*names[first:], *names[:first]], turn, seconds))
    return {name: summary(name, found) for name in names}


def one_turn(bench: Bench, names: Sequence[str], turn: int, seconds: float) -> Turn:
    found = {}
    for name in names:
        found[name] = figures = bench.run(name, seconds)
        published = (
            f"turn {turn + 1}: {name} {figures.rate:,.0f}/s, {figures.cpu:,.1f} CPU-s a million"
        )
        Console(stderr=True, highlight=False).print(published)
    return found


def summary(name: str, turns: Sequence[Turn]) -> dict[str, Any]:
    own = [turn[name] for turn in turns]
    rates, cpu = [run.rate for run in own], [run.cpu for run in own]
    found: dict[str, Any] = {
        "events_per_second": median(rates),
        "cpu_seconds_per_million": median(cpu),
        "spread": {"events_per_second": spread(rates), "cpu_seconds_per_million": spread(cpu)},
        "events": [run.events for run in own],
        "peak_rss_mb": median(run.peak_rss_mb for run in own),
        "redis_cpu_seconds_per_million": median(
            1e6 * run.redis_cpu_seconds / run.events for run in own
        ),
    }
    for other in ("ceiling", "ours"):
        if other in turns[0]:
            times = [turn[name].rate / turn[other].rate for turn in turns]
            costs = [turn[name].cpu / turn[other].cpu for turn in turns]
            found[f"to_{other}"] = {
                "events_per_second": median(times),
                "cpu_seconds_per_million": median(costs),
                "spread": {
                    "events_per_second": spread(times), "cpu_seconds_per_million": spread(costs)
                },
            }  # fmt: skip
    return found


def spread(values: Sequence[float]) -> list[float]:
    """The least and the most."""
    return [min(values), max(values)]


def show(systems: Mapping[str, Any], console: Console) -> None:
    console.print(figures_of(systems))
    for other in ("ceiling", "ours"):
        if other in systems:
            console.print(ratios_to(other, systems))


def figures_of(systems: Mapping[str, Any]) -> Table:
    title = "One worker process: medians, least and most over the turns"
    caption = "CPU-seconds per million events: of the process, and of the Redis server meanwhile"
    columns = ("", "events/s", "", "CPU", "", "Redis", "MB")
    made = table(title, *columns, caption=caption)
    for name, row in systems.items():
        made.add_row(
            TITLES[name],
            *with_spread(row, "events_per_second", ",.0f"),
            *with_spread(row, "cpu_seconds_per_million", ",.1f"),
            f"{row['redis_cpu_seconds_per_million']:,.1f}",
            f"{row['peak_rss_mb']:,.0f}",
        )
    return made


def ratios_to(other: str, systems: Mapping[str, Any]) -> Table:
    title = f"Ratios to {TITLES[other]}, within each turn"
    made = table(title, "", "events/s", "", "CPU", "")
    for name, row in systems.items():
        ratios = row[f"to_{other}"]
        made.add_row(
            TITLES[name],
            *with_spread(ratios, "events_per_second", ",.3f"),
            *with_spread(ratios, "cpu_seconds_per_million", ",.3f"),
        )
    return made


def with_spread(row: Mapping[str, Any], name: str, form: str) -> tuple[str, str]:
    least, most = row["spread"][name]
    return f"{row[name]:{form}}", f"{least:{form}} – {most:{form}}"
