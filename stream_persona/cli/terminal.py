"""Output of the commands: tables and progress for people, JSON for programs."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text


def print_json(data: object) -> None:
    """Print one JSON value on standard output, and nothing else."""
    encoded = msgspec.json.format(msgspec.json.encode(data), indent=2)
    sys.stdout.write(encoded.decode() + "\n")


def print_facts(facts: Mapping[str, object], title: str | None = None) -> None:
    """Print names and values in two columns; a list takes a line for each of its values."""
    table = Table.grid(padding=(0, 2))
    for name, value in facts.items():
        table.add_row(Text(name, style="bold"), Text(_format(value)))
    console = Console()
    if title:
        console.print(Text(title, style="bold underline"))
    console.print(table)


@contextlib.contextmanager
def show_progress(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show a bar on standard error, if that is a terminal, and yield what advances it.

    ``total`` None is an unknown number.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda number: bar.advance(task, number)


def _format(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return "\n".join(f"{name}: {_format(inner)}" for name, inner in value.items()) or "-"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "\n".join(_format(inner) for inner in value) or "-"
    return f"{value:g}" if isinstance(value, float) else str(value)
