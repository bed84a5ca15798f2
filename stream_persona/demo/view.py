"""What the demo shows: a live table in a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from stream_persona.demo.scoreboard import Judgement, Shift
from stream_persona.domain.events import rfc3339

#: Seconds between two plain lines.
_LINE_SECONDS: Final = 5.0


@dataclass(frozen=True)
class Status:
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
    judgement: Judgement
    recent: Sequence[Shift]


class View(Protocol):
    """Where the demo shows itself; a context manager."""

    def __enter__(self) -> Self:
        """Begin to show."""

    def __exit__(self, *_: object) -> None:
        """Leave the screen as it is."""

    def say(self, text: str) -> None:
        """Show a line that stays."""

    def show(self, status: Status) -> None:
        """Show how things stand; called several times a second."""


class LiveView:
    """A table that changes in place."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def say(self, text: str) -> None:
        """Print above the table."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def show(self, status: Status) -> None:
        """Draw the table anew."""
        self._live.update(_screen(status), refresh=True)


class PlainView:
    """A line every few seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._next = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def say(self, text: str) -> None:
        """Print a line."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def show(self, status: Status) -> None:
        """Print a line if the last one is some seconds old."""
        if status.seconds >= self._next:
            self._next = status.seconds + _LINE_SECONDS
            self.say(_line(status))


def view_on(console: Console) -> View:
    """What suits the console."""
    return LiveView(console) if console.is_terminal else PlainView(console)


def table(title: str, rows: Mapping[str, str]) -> Table:
    """A table of names and figures."""
    grid = Table(title=title, title_justify="left", show_header=False)
    for name, value in rows.items():
        grid.add_row(name, value)
    return grid


def figure(value: float | None) -> str:
    """A figure in three digits or so; ``-`` where there is none."""
    return "-" if value is None else f"{value:.3g}"


def share(value: float | None) -> str:
    """A share in per cent; ``-`` where there is none."""
    return "-" if value is None else f"{value:.1%}"


def _screen(status: Status) -> RenderableType:
    judgement = status.judgement
    pace = " (slowed: the worker is behind)" if status.slowed else ""
    rows = {
        "event time": f"{_date(status)}{pace}",
        "events": f"{status.events:,}  ({status.events_per_second:,.0f} a second)",
        "shoppers": f"{status.shoppers:,}  and {status.synthetic:,} synthetic ones",
        "with a persona": f"{status.named:,}",
        "ambiguous": f"{status.ambiguous:,}",
        "changes": f"{status.changes:,}",
        "held-back households": f"{judgement.judged:,} judged",
        "  right": f"{share(judgement.accuracy)}"
        f"  (always the most common persona: {share(judgement.majority_accuracy)})",
        "  right where named": f"{share(judgement.named_accuracy)}  ({judgement.named:,} named)",
    }
    shifts = Table("customer", "shift", "confidence", "because", box=None, expand=True)
    for shift in reversed(status.recent):
        arrow = f"{shift.before} → {shift.after}"
        reasons = Text(shift.reasons, no_wrap=True, overflow="ellipsis")
        shifts.add_row(shift.customer_id, arrow, f"{shift.confidence:.0%}", reasons)
    return Group(table("stream_persona demo (Ctrl-C ends it)", rows), shifts)


def _line(status: Status) -> str:
    judgement = status.judgement
    right, majority = share(judgement.accuracy), share(judgement.majority_accuracy)
    parts = [
        f"{status.seconds:5.0f} s  {_date(status)}",
        f"{status.events_per_second:,.0f} events/s" + (" (slowed)" if status.slowed else ""),
        f"{status.shoppers:,} shoppers: {status.named:,} named, {status.ambiguous:,} ambiguous",
        f"{status.changes:,} changes",
        f"held-back right {right} (majority {majority})",
    ]
    if status.recent:
        last = status.recent[-1]
        parts.append(f"{last.customer_id} {last.before} → {last.after}: {last.reasons}")
    return "  ".join(parts)


def _date(status: Status) -> str:
    return rfc3339(status.clock)[:10]
