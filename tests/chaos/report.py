"""The figures of a chaos run: as JSON for programs, as a table for people."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.chaos.machines import Broker, Store
from tests.chaos.trial import Result
from tests.chaos.verdict import describe

#: The figures of a seed that are added up over all of them, and shown.
SHOWN = (
    "events", "kills", "zombies", "restarts", "older", "rescalings", "duplicates", "out_of_order",
    "rerouted", "dead_letters", "deleted", "changes", "redelivered", "seconds", "mismatches",
)  # fmt: skip


def report_of(result: Result) -> dict[str, Any]:
    """Return one seed's figures."""
    injected = result.injected
    figures = result.verdict.figures
    return {
        "seed": result.plan.seed,
        "seconds": round(result.seconds, 1),
        "events": figures["messages"] or result.messages,
        "customers": result.size.customers,
        "faults": dict(sorted(injected.items())),
        "faults_planned": len(result.plan.faults),
        "messages": dict(sorted(result.notes.items())),
        "kills": count_group(injected, "kill"),
        "zombies": count_group(injected, "zombie"),
        "restarts": count_group(injected, "broker") + count_group(injected, "redis"),
        "older": count_group(injected, "older"),
        "rescalings": count_group(injected, "workers"),
        "duplicates": result.notes["duplicate"],
        "out_of_order": result.notes["out_of_order"],
        "rerouted": result.notes["elsewhere"],
        "redelivered": figures["redelivered"],
        "changes": figures["changes"],
        "expiries": figures["expiries"],
        "tombstones": figures["tombstones"],
        "deleted": figures["deleted"],
        "dead_letters": figures["dead_letters"],
        "nameless_slots": figures["nameless_slots"],
        "workers_ended": dict(sorted(result.ends.items())),
        "mismatches": len(result.verdict.mismatches),
        "told": describe(result.verdict.mismatches),
    }


def count_group(injected: Counter[str], name: str) -> int:
    return sum(number for kind, number in injected.items() if kind.startswith(f"{name}:"))


def report(rows: Sequence[dict[str, Any]], customers: int, session: float) -> dict[str, Any]:
    """Return the figures of all seeds, added up, and those of each."""
    faults = sum((Counter(row["faults"]) for row in rows), Counter[str]())
    return {
        "seeds": [row["seed"] for row in rows],
        **{name: sum(row[name] for row in rows) for name in SHOWN},
        "faults": dict(sorted(faults.items())),
        "customers": customers,
        "session_timeout": session,
        "broker": Broker.description,
        "redis": Store.description(),
        "runs": list(rows),
    }


def show(written: dict[str, Any], console: Console) -> None:
    """Print the report as a table: a column for each seed, one for all of them."""
    columns = [*written["runs"], {**written, "seed": "all"}]
    table = Table(title="Chaos", title_justify="left")
    table.add_column("seed")
    for column in columns:
        table.add_column(str(column["seed"]), justify="right")
    for name in SHOWN:
        style = "red" if name == "mismatches" and written[name] else None
        table.add_row(name, *(f"{column[name]:,.0f}" for column in columns), style=style)
    for kind in written["faults"]:
        table.add_row(f"  {kind}", *(str(column["faults"].get(kind, 0)) for column in columns))
    console.print(table)
    for row in written["runs"]:
        if row["mismatches"]:
            console.print(f"again:  {row['again']}", markup=False, soft_wrap=True)
            console.print(f"shrunk: {row['shrunk']}", markup=False, soft_wrap=True)
