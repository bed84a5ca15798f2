"""The report of ``make bench-model`` as tables for people."""

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from tests.benchmarks.tasks import TIMES

MEASURES = {
    "log_loss": "log-loss",
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "ece": "calibration error",
    "selective_accuracy": "accuracy, surer half",
}
COSTS = {"learn_us": "µs a learn", "predict_us": "µs a predict", "single_us": "alone",
         "bytes": "bytes"}  # fmt: skip
ORDER = (
    "ours", "ours_default_gains", "prior", "batch_bound", "multinomial_nb", "complement_nb",
    "bernoulli_nb", "softmax", "arf",
)  # fmt: skip

Report = Mapping[str, Any]


def table(title: str, *columns: str, caption: str = "") -> Table:
    made = Table(title=title, box=box.SIMPLE_HEAD, padding=0, pad_edge=False, title_justify="left",
                 caption=caption or None, caption_justify="left")  # fmt: skip
    made.add_column(columns[0], no_wrap=True)
    for column in columns[1:]:
        made.add_column(column, justify="right", no_wrap=True)
    return made


def show(written: Report, console: Console) -> None:
    """Print the parts of these tables that were run, and the targets."""
    for task, models in written.get("tasks", {}).items():
        show_task(task, models, written["tasks_more"][task], console)
    if "prequential" in written:
        show_calendar(written["prequential"], console)
    if "drift" in written:
        show_drift(written["drift"], console)
    show_targets(written["targets"], written.get("worse_than_prior"), console)


def show_task(task: str, models: Report, more: Report, console: Console) -> None:
    caption = (
        f"means over {models['ours']['splits']} splits; calibration errors in 10 bins, of all "
        f"splits' predictions together; the bound is {more['bound']['best']}, the best of its kind "
        "on the test households, fitted on whole histories: a bound at the end alone. River's get "
        "coarse tokens (softmax: scaled roots of their shares, at the rate that suits the tests "
        "best)"
    )
    made = table(f"{task}: after n events", "", *TIMES, caption=caption)
    for measure, title in MEASURES.items():
        made.add_row("")
        made.add_row(f"[bold]{title}")
        for name in ORDER:
            figures = models[name][measure]
            made.add_row(name, *(f"{figures[time]:.3f}" for time in TIMES))
    console.print(made)
    costs = table(f"{task}: costs", "", *COSTS.values())
    for name in ORDER:
        costs.add_row(name, *(number(models[name].get(cost)) for cost in COSTS))
    console.print(costs)
    if more["by_labels"]:
        few = table(f"{task}: ours at the end, by labels",
                    "labels", "log-loss", "prior's", "accuracy", "prior's")  # fmt: skip
        for labels, found in more["by_labels"].items():
            few.add_row(labels, *beside(found))
        console.print(few)


def number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def beside(row: Report) -> list[str]:
    """Ours and the prior's, for log-loss and accuracy."""
    return [
        f"{row[name][measure]:.3f}"
        for measure in ("log_loss", "accuracy")
        for name in ("ours", "prior")
    ]


def show_calendar(calendar: Report, console: Console) -> None:
    for task, found in calendar.items():
        made = table(f"{task}: labels as they arrive, predicted before they are learned",
                     "month", "labels", "log-loss", "prior's", "accuracy", "prior's")  # fmt: skip
        for month, row in {**found["months"], "all": found}.items():
            made.add_row(month, str(row["labels"]), *beside(row))
        console.print(made)


def show_drift(drift: Report, console: Console) -> None:
    made = table("A known drift on a synthetic stream", "", "hysteresis", "events to flip",
                 "never", "false flips per 1,000")  # fmt: skip
    for name, both in drift.items():
        for policy, row in both.items():
            made.add_row(
                name, "0.2" if policy == "hysteresis" else "none",
                f"{row['median_events_to_flip']:g}", f"{row['never']:.1%}",
                f"{row['false_flips_per_1000']:.2f}",
            )  # fmt: skip
    console.print(made)


def show_targets(found: list[Report], worse: list[str] | None, console: Console) -> None:
    caption = (
        "" if worse is None else f"above the prior's log-loss: {', '.join(worse) or 'nowhere'}"
    )
    made = table("Targets", "", "measured", "", "must", "stretch", caption=caption)
    marks = {True: "[green]met[/]", False: "[red]not met[/]"}
    for row in found:
        stretch = ""
        if row["stretch"] is not None:
            stretch = f"{row['stretch']:g} {marks[row['stretch_met']]}"
        must = f"{row['must']:g} {marks[row['met']]}"
        made.add_row(row["name"], f"{row['measured']:.3f}", f"at {row['direction']}", must, stretch)
    console.print(made)
