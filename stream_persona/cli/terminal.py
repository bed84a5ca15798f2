"""What commands show: tables and progress for people, JSON for programs."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0}


def duration(text: str) -> float:
    """Seconds of ``250ms``, ``60s``, ``5m``, ``1h`` or a plain number of seconds."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h)?", text.strip())
    if found is None or not float(found[1]):
        raise typer.BadParameter(f"{text!r} is no duration; write 60s, 5m or 1h")
    return float(found[1]) * _SECONDS[found[2] or "s"]


def print_json(data: object) -> None:
    """A program reads it: one JSON value on standard output, nothing else."""
    encoded = msgspec.json.format(msgspec.json.encode(data), indent=2)
    sys.stdout.write(encoded.decode() + "\n")


def print_facts(facts: Mapping[str, object], title: str | None = None) -> None:
    """Names and values in two columns; lists a line for each."""
    table = Table.grid(padding=(0, 2))
    for name, value in facts.items():
        table.add_row(Text(name, style="bold"), Text(_text(value)))
    console = Console()
    if title:
        console.print(Text(title, style="bold underline"))
    console.print(table)


@contextlib.contextmanager
def progress(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar on standard error that is told of each advance; nothing when that is no terminal.

    ``total`` None is a number that nobody knows.
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


def _text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return "\n".join(f"{name}: {_text(inner)}" for name, inner in value.items()) or "-"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "\n".join(_text(inner) for inner in value) or "-"
    return f"{value:g}" if isinstance(value, float) else str(value)
