"""The demo's output: a live table in a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from stream_persona.demo.results import HoldoutScore, Shift
from stream_persona.domain.events import format_rfc3339

#: Seconds between two plain lines.
_LINE_SECONDS: Final = 5.0


@dataclass(frozen=True)
class DemoStatus:
    """A moment of the demo: ``seconds`` since its start, ``clock`` in epoch milliseconds."""

    seconds: float
    clock: int
    events: int
    events_per_second: float
    slowed: bool
    shoppers: int
    named: int
    ambiguous: int
    synthetic: int
    changes: int
    holdout: HoldoutScore
    recent: Sequence[Shift]


class Display(Protocol):
    """Shows the demo's progress; a context manager."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(self, *_: object) -> None:
        """Leave the screen as it is."""

    def print_line(self, text: str) -> None:
        """Show a line that stays."""

    def update(self, status: DemoStatus) -> None:
        """Show the present status; called several times a second."""


class LiveDisplay:
    """A table that changes in place."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def print_line(self, text: str) -> None:
        """Print above the table."""
        _print_line(self._console, text)

    def update(self, status: DemoStatus) -> None:
        """Draw the table anew."""
        self._live.update(_render(status), refresh=True)


class PlainDisplay:
    """A line every few seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._next = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def print_line(self, text: str) -> None:
        """Print a line."""
        _print_line(self._console, text)

    def update(self, status: DemoStatus) -> None:
        """Print a line if the last one is some seconds old."""
        if status.seconds >= self._next:
            self._next = status.seconds + _LINE_SECONDS
            self.print_line(_format_line(status))


def _print_line(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def choose_display(console: Console) -> Display:
    """Return a live display for a terminal, a plain one for anything else."""
    return LiveDisplay(console) if console.is_terminal else PlainDisplay(console)


def make_table(title: str, rows: Mapping[str, str]) -> Table:
    """Make a table of names and figures."""
    grid = Table(title=title, title_justify="left", show_header=False)
    for name, value in rows.items():
        grid.add_row(name, value)
    return grid


def format_figure(value: float | None) -> str:
    """Format a figure in three digits; ``-`` where there is none."""
    return "-" if value is None else f"{value:.3g}"


def format_share(value: float | None) -> str:
    """Format a share in per cent; ``-`` where there is none."""
    return "-" if value is None else f"{value:.1%}"


def _render(status: DemoStatus) -> RenderableType:
    holdout = status.holdout
    pace = " (slowed: the worker is behind)" if status.slowed else ""
    rows = {
        "event time": f"{_format_date(status)}{pace}",
        "events": f"{status.events:,}  ({status.events_per_second:,.0f} a second)",
        "shoppers": f"{status.shoppers:,}  and {status.synthetic:,} synthetic ones",
        "with a persona": f"{status.named:,}",
        "ambiguous": f"{status.ambiguous:,}",
        "changes": f"{status.changes:,}",
        "held-back households": f"{holdout.evaluated:,} evaluated",
        "  right": f"{format_share(holdout.accuracy)}"
        f"  (always the most common persona: {format_share(holdout.majority_accuracy)})",
        "  right where named": f"{format_share(holdout.named_accuracy)}  ({holdout.named:,} named)",
    }
    shifts = Table("customer", "shift", "confidence", "because", box=None, expand=True)
    for shift in reversed(status.recent):
        arrow = f"{shift.before} → {shift.after}"
        reasons = Text(shift.reasons, no_wrap=True, overflow="ellipsis")
        shifts.add_row(shift.customer_id, arrow, f"{shift.confidence:.0%}", reasons)
    return Group(make_table("stream_persona demo (Ctrl-C ends it)", rows), shifts)


def _format_line(status: DemoStatus) -> str:
    holdout = status.holdout
    right, majority = format_share(holdout.accuracy), format_share(holdout.majority_accuracy)
    columns = [
        f"{status.seconds:5.0f} s  {_format_date(status)}",
        f"{status.events_per_second:,.0f} events/s" + (" (slowed)" if status.slowed else ""),
        f"{status.shoppers:,} shoppers: {status.named:,} named, {status.ambiguous:,} ambiguous",
        f"{status.changes:,} changes",
        f"held-back right {right} (majority {majority})",
    ]
    if status.recent:
        last = status.recent[-1]
        columns.append(f"{last.customer_id} {last.before} → {last.after}: {last.reasons}")
    return "  ".join(columns)


def _format_date(status: DemoStatus) -> str:
    return format_rfc3339(status.clock)[:10]
