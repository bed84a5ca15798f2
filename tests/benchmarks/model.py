"""``make bench-model``: how good the model is, on real households, synthetic shops and under drift.

Its parts, any of which ``--only`` runs alone:

- *study*: the demo's setting, with the reliability of what is said and the names that are given;
- *separable*: synthetic shops, beside the best that their generators allow;
- *poison*: what one wrongly labelled account can move;
- *panel*: what the calibration's panel is worth and costs, by its size;
- *tasks*: four sets of labels of the Complete Journey's households (``tasks``), customer-disjoint
  stratified splits of 70/30, test households scored after n events (``trials``): ours with its
  calibration fitted on all training households, ours with default gains, the class prior, River's
  classifiers, and the best of batch-trained logistic regressions, boosted trees and their average
  (``peers``);
- *calendar*: labels that arrive over the year (``prequential``);
- *drift*: a persona that becomes another, on a synthetic stream (``drift``).
"""

import argparse
import json
import math
import os
from dataclasses import dataclass, field
from functools import cached_property
from multiprocessing import get_context
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any

from rich.console import Console

from tests.benchmarks import drift, prequential, report, targets, trials
from tests.benchmarks.quality import panel, poison, separable, study, tables
from tests.benchmarks.quality.customers import Customers

REPORT = Path("build/reports/bench-model.json")


@dataclass
class Bench:
    """A run: each part writes its figures, and the targets that they are measured by."""

    given: argparse.Namespace
    pool: Pool
    progress: Console
    written: dict[str, Any] = field(default_factory=dict)
    wanted: list[targets.Target] = field(default_factory=list)

    @cached_property
    def shoppers(self) -> tuple[Customers, study.Baskets]:
        """The study's households; they are folded when they are first needed."""
        self.progress.print("folding the study's half-year ...")
        return self.pool.apply(study.load)

    def study(self) -> None:
        customers, _ = self.shoppers
        found = study.run(self.pool, customers, self.given.study_splits, self.progress)
        self.written["study"] = found
        self.wanted += targets.of_study(found)

    def separable(self) -> None:
        self.written["separable"] = found = separable.run(self.pool, self.progress)
        self.wanted += targets.of_shops(found)

    def poison(self) -> None:
        self.written["poison"] = found = poison.run(self.pool, *self.shoppers, self.progress)
        self.wanted += targets.of_poison(found)

    def panel(self) -> None:
        customers, _ = self.shoppers
        splits = self.given.study_splits
        self.written["panel"] = panel.run(self.pool, customers, splits, self.progress)

    def tasks(self) -> None:
        names = self.given.tasks.split(",")
        sheets = trials.run_tasks(self.pool, names, self.given.splits, self.progress)
        parts = {task: trials.bounded(models) for task, models in sheets.items()}
        models = {task: kept for task, (kept, _) in parts.items()}
        self.written["tasks"] = {
            task: {name: sheet.report() for name, sheet in kept.items()}
            for task, kept in models.items()
        }
        self.written["tasks_more"] = {task: more for task, (_, more) in parts.items()}
        self.written["worse_than_prior"] = targets.worse_than_prior(models)
        self.wanted += targets.of_tasks(models)

    def calendar(self) -> None:
        self.progress.print("labels by calendar ...")
        found = self.pool.map(prequential.run, prequential.TASKS)
        self.written["prequential"] = dict(zip(prequential.TASKS, found, strict=True))

    def drift(self) -> None:
        self.progress.print("drift ...")
        self.written["drift"] = found = drift.run(self.pool)
        self.wanted += targets.of_drift(found)


#: The parts, in the order in which they are run.
PARTS = {
    "study": Bench.study,
    "separable": Bench.separable,
    "poison": Bench.poison,
    "panel": Bench.panel,
    "tasks": Bench.tasks,
    "calendar": Bench.calendar,
    "drift": Bench.drift,
}


def parts(names: str) -> list[str]:
    """Return the parts of these names, by commas; one that does not exist is an error."""
    chosen = names.split(",")
    if unknown := set(chosen) - PARTS.keys():
        message = f"no {', '.join(sorted(unknown))}: there are {', '.join(PARTS)}"
        raise argparse.ArgumentTypeError(message)
    return [name for name in PARTS if name in chosen]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="How good the model is.")
    parser.add_argument("--only", type=parts, default=list(PARTS), help="parts, by commas")
    parser.add_argument("--splits", type=int, default=10, help="of each task")
    parser.add_argument("--study-splits", type=int, default=20, help="of the demo's study")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--tasks", default="B7,L4,L2,L6", help="names, by commas")
    return parser.parse_args()


def plain(value: Any) -> Any:
    """Return a value as JSON has it: a number that is not finite is null."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def main() -> None:
    given, progress = arguments(), Console(stderr=True)
    # The processes share the cores already.
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    with get_context("spawn").Pool(given.processes) as pool:
        bench = Bench(given, pool, progress)
        for name in given.only:
            PARTS[name](bench)
    written = {**bench.written, "targets": [each.report() for each in bench.wanted]}
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(plain(written), indent=2), encoding="utf-8")
    console = Console()
    tables.show(written, console)
    report.show(written, console)
    console.print(f"Written to {REPORT}")


if __name__ == "__main__":
    main()
