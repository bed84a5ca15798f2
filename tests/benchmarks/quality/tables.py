"""The tables of the study, synthetic shops, wrongly labelled accounts and panels, for people."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from tests.benchmarks.report import table

Report = Mapping[str, Any]


def show(written: Report, console: Console) -> None:
    """Print the parts of these tables that were run."""
    shown = {"study": show_study, "separable": show_shops, "poison": show_poison,
             "panel": show_panel}  # fmt: skip
    for part, show_part in shown.items():
        if part in written:
            show_part(written[part], console)


def show_study(found: Report, console: Console) -> None:
    """Print the demo's setting: scores, reliability, and names by persona."""
    made = table(f"The demo's setting, {found['splits']} splits",
                 "", "log-loss", "±", "accuracy", "calibration error", "worst bin")  # fmt: skip
    measures = ("log_loss", "log_loss_spread", "accuracy", "ece", "worst_gap")
    for name in ("ours", "prior"):
        made.add_row(name, *(f"{found[name][each]:.3f}" for each in measures))
    console.print(made)
    bins = table("Reliability, all splits' predictions together", "said", "right", "how many")
    for row in found["ours"]["reliability"]:
        bins.add_row(f"{row['said']:.3f}", f"{row['right']:.3f}", f"{row['number']:,.0f}")
    console.print(bins)
    show_names(found, console)


def show_names(found: Report, console: Console) -> None:
    """Print whom the study's splits named, by persona."""
    names, thresholds = found["names"], found["thresholds"]
    inexact = ", ".join(found["inexact"]) or "nothing"
    caption = (
        f"{names['share']:.1%} named, {names['precision']:.3f} of them rightly, least of a persona "
        f"{names['least_precision']:.3f}; differs by a bit when learned otherwise: {inexact}"
    )
    made = table("Names, all splits together",
                 "", "held back", "named", "right", "share right", "threshold", "±",
                 caption=caption)  # fmt: skip
    for name, row in names["by_persona"].items():
        counts = (f"{row[each]:,}" for each in ("shoppers", "named", "right"))
        own = (f"{thresholds[name][each]:.3f}" for each in ("mean", "spread"))
        made.add_row(name, *counts, f"{row['precision']:.3f}", *own)
    console.print(made)


def show_shops(found: Report, console: Console) -> None:
    """Print the grid of separable shops, and the odd ones."""
    figures = ("right", "allowed", "least_share", "log_loss", "bayes", "prior", "named", "wrong")
    titles = ("right", "allowed", "least share", "log-loss", "Bayes'", "prior's", "named",
              "wrongly")  # fmt: skip
    caption = f"means over {found['draws']} draws; the least share of what is allowed over them"
    made = table("Separable shops: new shoppers of 4 events",
                 "personas", "labelled", "noise", *titles, caption=caption)  # fmt: skip
    for row in found["grid"]:
        cell = (str(row["personas"]), f"{row['labelled']:,}", f"{row['noise']:g}")
        made.add_row(*cell, *(f"{row[each]:.3f}" for each in figures))
    console.print(made)
    odd = table("Odd shops", "", "labelled", *titles, "above prior", caption=caption)
    for row in found["odd"]:
        excess = f"{row['excess_over_prior']:+.3f}"
        own = (f"{row[each]:.3f}" for each in figures)
        odd.add_row(row["shop"], f"{row['labelled']:,}", *own, excess)
    console.print(odd)


def show_poison(found: Report, console: Console) -> None:
    """Print what wrongly labelled accounts have moved."""
    made = table(f"One wrongly labelled account: the most of {found['accounts']}, and the mean",
                 "lines", "threshold moved", "mean", "a persona's", "log-loss moved")  # fmt: skip
    measures = (
        "threshold_moved", "mean_threshold_moved", "persona_threshold_moved", "log_loss_moved",
    )  # fmt: skip
    for lines, row in {**found["by_lines"], "any": found}.items():
        made.add_row(lines, *(f"{row[each]:.4f}" for each in measures))
    console.print(made)


def show_panel(found: Report, console: Console) -> None:
    """Print what panels of each size are worth, and what they cost."""
    caption = f"the demo's setting, {found['splits']} splits"
    worth = table("The calibration's panel: what it is worth",
                  "members", "log-loss", "calibration error", "worst bin", "named", "right",
                  "of the worst persona", caption=caption)  # fmt: skip
    for size, row in found["worth"].items():
        worth.add_row(f"{int(size):,}", *(f"{each:.3f}" for each in row.values()))
    console.print(worth)
    costs = table("The calibration's panel: what it costs, in seconds",
                  "members", "kB", "packed", "unpacked", "first calibration",
                  "next one, half moved")  # fmt: skip
    for size, row in found["costs"].items():
        seconds = (f"{value:.2f}" for each, value in row.items() if each != "bytes")
        costs.add_row(f"{int(size):,}", f"{row['bytes'] / 1_000:,.0f}", *seconds)
    console.print(costs)
