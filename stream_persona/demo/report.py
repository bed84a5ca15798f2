"""The demo's final figures: a file for programs, a table for people."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import orjson
from rich.table import Table

from stream_persona.demo.display import format_figure, format_share, make_table


@dataclass(frozen=True)
class Report:
    """The demo's figures.

    ``events`` counts what the worker consumed, of all topics, ``produced`` what was fed by topic;
    ``waited_seconds`` is how long the feed waited for the worker. Shoppers and shares are of real
    shoppers; a share is None where there was no shopper to evaluate.
    """

    events: int
    events_per_second: float
    shoppers: int
    changes: int
    ambiguous_share: float | None
    holdout_accuracy: float | None
    majority_accuracy: float | None
    seconds_to_first_change: float | None
    seconds_to_first_name: float | None
    broker: str
    redis: str
    holdout_shoppers: int
    holdout_judged: int
    holdout_log_loss: float | None
    prior_log_loss: float | None
    holdout_named: int
    holdout_named_accuracy: float | None
    named: int
    assigned: int
    sim_shoppers: int
    changes_by_cause: dict[str, int]
    produced: dict[str, int]
    produced_bytes: int
    event_days: float
    journey_days: float
    days_per_second: float
    waited_seconds: float
    seconds: float
    interrupted: bool

    def write(self, path: Path) -> None:
        """Write the JSON file, with the folders it needs."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.as_json())

    def as_json(self) -> bytes:
        """Return the figures as a JSON object."""
        return orjson.dumps(asdict(self), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)

    def as_table(self) -> Table:
        """Return the figures as a table."""
        causes = ", ".join(f"{count:,} {cause}" for cause, count in self.changes_by_cause.items())
        topics = ", ".join(f"{count:,} {topic}" for topic, count in self.produced.items() if count)
        return make_table(
            "The demo's figures",
            {
                "events": f"{self.events:,} ({self.events_per_second:,.0f} a second): {topics}",
                "event time": f"{self.event_days:.1f} of {self.journey_days:.1f} days",
                "the feed waited": f"{self.waited_seconds:.1f} s for the worker",
                "shoppers": f"{self.shoppers:,}, and {self.sim_shoppers:,} synthetic ones",
                "with a persona": f"{self.named:,}, {self.assigned:,} of them assigned",
                "ambiguous": format_share(self.ambiguous_share),
                "changes": f"{self.changes:,}: {causes}",
                "first change": f"{format_figure(self.seconds_to_first_change)} s after the start",
                "first predicted name": (
                    f"{format_figure(self.seconds_to_first_name)} s after the start"
                ),
                "held-back households": f"{self.holdout_judged:,} of {self.holdout_shoppers:,}",
                "  right": f"{format_share(self.holdout_accuracy)}, where always the most common"
                f" persona is right for {format_share(self.majority_accuracy)}",
                "  right where named": f"{format_share(self.holdout_named_accuracy)}"
                f" of {self.holdout_named:,}",
                "  log-loss": f"{format_figure(self.holdout_log_loss)},"
                f" of the assigned shares {format_figure(self.prior_log_loss)}",
                "broker": self.broker,
                "Redis": self.redis,
                "whole time": f"{self.seconds:.1f} s",
            },
        )
