"""``make bench-rank``: what ranking by persona is worth to real households of the Complete Journey.

Every household is held back once, in one of ``FOLDS`` folds. The others train the model: their
persona and what they did in the first half-year. The held-back one is predicted from its own first
half-year, and its next baskets, of the second, are what a ranking has to foresee.

Three tasks, each with the candidates of a caller that ranks by popularity among the others:

- *search*: the household looks through a department; the candidates are its products, popular
  first, and what it puts into the basket from there is what it looked for.
- *cross-sell*: half of the basket is known; candidates are products that go with those, by how
  often they are bought together.
- *for you*: nothing is known of the basket; the candidates are the most popular products.

Eight rankings: *baseline* as the caller gave it; *persona* as the client's ``rank`` does it, so
that ambiguous households keep the baseline; *mixture*, with the prediction of ambiguous ones as
well; *own*, by the household's own tastes alone, with the strength that is recommended for the
task, and *own and mixture*; *true persona*, the one that the study gave the household by the very
half-year that is foreseen; *shuffled*, with the prediction of another household, and *shuffled
shopper*, with the own tastes of another: controls, which must be no better than the baseline.
Households whose next baskets hold no candidate count for nothing, since no order can help them.

``--strengths`` shows how the strengths were chosen, of personas and of own tastes, and K of these:
the training households of the first fold are parted again, and the one part foresees the baskets
of the other.
"""

import argparse
import importlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from stream_persona.client.ranking import STRENGTH
from stream_persona.domain.tokenizer import Tokenizer
from tests.benchmarks.rank.caller import TASKS, Shop
from tests.benchmarks.rank.evaluation import (
    FOLDS,
    MEASURES,
    OWN_STRENGTHS,
    RANKINGS,
    Figures,
    evaluate,
    folds,
    rankings_of,
    strengths,
)
from tests.benchmarks.rank.households import households, learn
from tests.benchmarks.report import table
from tests.benchmarks.tasks import TAXONOMY

REPORT = Path("build/reports/bench-rank.json")


def measure(strength: float, every: int = 1) -> dict[str, Any]:
    names = Tokenizer(TAXONOMY)
    known, catalogue = households(names)
    rows: dict[str, list[dict[str, Figures]]] = {task: [] for task in TASKS}
    named = 0
    for number, (training, held) in enumerate(folds(known)):
        model, shop = learn(training, held, names), Shop(training, catalogue)
        others = np.random.default_rng(number).permutation(len(held)).tolist()
        named += sum(model.predicted[own.name][0] is not None for own in held)
        for own, other in list(zip(held, others, strict=True))[::every]:
            for task in TASKS:
                rankings = rankings_of(own, held[other], model, task)
                if found := evaluate(own, task, shop, model, rankings, strength):
                    rows[task].append(found)
        so_far = {task: means_of(found) for task, found in rows.items()}
        Console(stderr=True).print(f"fold {number + 1} of {FOLDS}: {len(held)} households", so_far)
    return {
        "households": -(-len(known) // every), "named": named / len(known), "strength": strength,
        "own": OWN_STRENGTHS, "relative": {task: relative(found) for task, found in rows.items()},
        "tasks": {task: summary(found) for task, found in rows.items()},
        "gains": {task: gains(found) for task, found in rows.items()},
    }  # fmt: skip


def summary(rows: Sequence[Mapping[str, Figures]]) -> dict[str, Any]:
    return {
        name: {each: interval([row[name][each] for row in rows]) for each in MEASURES}
        for name in RANKINGS
    }


def gains(rows: Sequence[Mapping[str, Figures]]) -> dict[str, Any]:
    """By how much each ranking is better than the baseline, household by household."""
    return {
        name: {
            each: interval([row[name][each] - row["baseline"][each] for row in rows])
            for each in MEASURES
        }
        for name in list(RANKINGS)[1:]
    }


def relative(rows: Sequence[Mapping[str, Figures]]) -> dict[str, dict[str, float]]:
    """The gains in NDCG as shares of the baseline's mean."""
    base = float(np.mean([row["baseline"][MEASURES[0]] for row in rows]))
    return {
        name: {bound: value / base for bound, value in each[MEASURES[0]].items()}
        for name, each in gains(rows).items()
    }


def means_of(rows: Sequence[Mapping[str, Figures]]) -> dict[str, str]:
    """The relative gains in NDCG, to be read while the rest is measured."""
    return {name: f"{each['mean']:+.1%}" for name, each in relative(rows).items()}


def interval(values: Sequence[float]) -> dict[str, float]:
    """The mean over households, and the bounds of its 95 % confidence interval."""
    mean = float(np.mean(values))
    half = 1.96 * float(np.std(values, ddof=1)) / np.sqrt(len(values))
    return {"mean": mean, "low": mean - half, "high": mean + half}


def show(report: Mapping[str, Any], console: Console) -> None:
    caption = (
        "beside each mean the 95 % confidence interval of the difference to the baseline, household"
        f" by household; {report['households']:,} households, {report['named']:.0%} of them named"
    )
    for task, rows in report["tasks"].items():
        columns = [
            f"gain in {MEASURES[0]}",
            "",
            *(title for measure in MEASURES for title in (measure, "")),
        ]
        made = table(task.replace("_", " "), "", *columns, caption=caption)
        for name, title in RANKINGS.items():
            gained = report["gains"][task].get(name, {})
            cells = [
                cell for each in MEASURES for cell in cells_of(rows[name][each], gained.get(each))
            ]
            made.add_row(title, *percents(report["relative"][task].get(name)), *cells)
        console.print(made)


def cells_of(found: Mapping[str, float], gain: Mapping[str, float] | None) -> tuple[str, str]:
    shown = "" if gain is None else f"{bare(gain['low'], '+')} {bare(gain['high'], '+')}"
    return bare(found["mean"]), shown


def percents(gain: Mapping[str, float] | None) -> tuple[str, str]:
    """A gain as a share of the baseline, and its interval."""
    if gain is None:
        return "", ""
    return f"{gain['mean']:+.1%}", f"{gain['low']:+.1%} {gain['high']:+.1%}"


def bare(value: float, sign: str = "") -> str:
    """Four decimals without the leading zero."""
    return f"{value:{sign}.4f}".replace("0.", ".", 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strength", type=float, default=STRENGTH)
    parser.add_argument("--strengths", action="store_true", help="compare strengths and end")
    parser.add_argument("--every", type=int, default=1, help="ask every so many households alone")
    for name in ("lifts", "pairs"):
        explained = f"compare {name} and end"
        parser.add_argument(
            f"--{name}", action="store_const", dest="other", const=name, help=explained
        )
    options = parser.parse_args()
    if options.other:
        importlib.import_module(f"tests.benchmarks.rank.{options.other}").main()
        return
    if options.strengths:
        strengths()
        return
    report = measure(options.strength, options.every)
    show(report, Console())
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(report, indent=2), encoding="utf-8")
    Console().print(f"Written to {REPORT}")


if __name__ == "__main__":
    main()
