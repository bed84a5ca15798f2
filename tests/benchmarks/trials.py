"""The tasks' splits: every model on each, and the scores of all of them together."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from multiprocessing.pool import Pool
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from sklearn.model_selection import StratifiedShuffleSplit

from tests.benchmarks import peers, tasks
from tests.benchmarks.peers import Result, Split
from tests.benchmarks.scores import Score, Sheet, score
from tests.benchmarks.tasks import Task

TEST_SHARE = 0.3
#: Labelled households from which the learning curve is drawn.
LABELS = (20, 50, 100, 200, 400, 800)

#: One model on one split: its scores by time, and its costs.
Judged = dict[str, tuple[dict[str, Score], Result]]
Sheets = dict[str, dict[str, Sheet]]


def splits(task: Task, number: int) -> Iterator[Split]:
    """Draw splits, customer-disjoint and stratified by class."""
    drawn = StratifiedShuffleSplit(number, test_size=TEST_SHARE, random_state=0)
    for seed, (train, test) in enumerate(drawn.split(task.labels, task.labels)):
        yield Split(train, test, seed)


def judge(job: tuple[Task, Split]) -> tuple[str, Judged]:
    """Score all models on one split of a task."""
    task, split = job
    labels, found = task.labels[split.test], {}
    results = peers.ours(task, split)
    for name in peers.RIVER:
        results |= peers.river(name, task, split)
    bounds = peers.batch(task, split)
    results |= {f"batch_bound/{name}": result for name, result in bounds.items()}
    results |= curve(task, split)
    for name, result in results.items():
        by_time = {time: score(p, labels) for time, p in result.probabilities.items()}
        found[name] = (by_time, replace(result, probabilities={}))
    return task.name, found


def curve(task: Task, split: Split) -> dict[str, Result]:
    """Learn ours and the prior from fewer labels: ``labels/<number>/<model>``, at the end."""
    order = np.random.default_rng(split.seed).permutation(split.train)
    found = {}
    for number in LABELS:
        if number < len(order):
            results = peers.ours(task, Split(order[:number], split.test, split.seed))
            for name in ("ours", "prior"):
                end = {"end": results[name].probabilities["end"]}
                found[f"labels/{number}/{name}"] = Result(end)
    return found


def collect(results: Iterable[tuple[str, Judged]]) -> Sheets:
    """Collect the scores of all models by task, over the splits."""
    sheets: Sheets = {}
    for task, found in results:
        for name, (by_time, result) in found.items():
            sheet = sheets.setdefault(task, {}).setdefault(name, Sheet())
            for time, scored in by_time.items():
                sheet.add(time, scored)
            for cost in ("learn_us", "predict_us", "single_us", "bytes"):
                if value := getattr(result, cost):
                    getattr(sheet, cost).append(value)
    return sheets


def bounded(models: dict[str, Sheet]) -> tuple[dict[str, Sheet], dict[str, Any]]:
    """Keep the models, with the best candidate as ``batch_bound``; report the others apart."""
    candidates = {
        name.partition("/")[2]: models[name] for name in models if name.startswith("batch_bound/")
    }
    best = min(candidates, key=lambda name: candidates[name].mean("log_loss", "end"))
    kept = {name: sheet for name, sheet in models.items() if "/" not in name}
    bound = {"best": best, "candidates": {
        name: sheet.mean("log_loss", "end") for name, sheet in candidates.items()
    }}  # fmt: skip
    return {**kept, "batch_bound": candidates[best]}, {
        "bound": bound,
        "by_labels": by_labels(models),
    }


def by_labels(models: dict[str, Sheet]) -> dict[str, Any]:
    """Take out the figures of ours and the prior at the end, by the number of labels."""
    found: dict[str, Any] = {}
    for name, sheet in models.items():
        if name.startswith("labels/"):
            _, number, model = name.split("/")
            figures = {each: sheet.mean(each, "end") for each in ("log_loss", "accuracy")}
            found.setdefault(number, {})[model] = figures
    return found


def jobs(prepared: Sequence[Task], number: int) -> list[tuple[Task, Split]]:
    """List every split of every task, the largest first."""
    return [(task, split) for task in prepared for split in splits(task, number)]


def run_tasks(pool: Pool, names: Sequence[str], number: int, console: Console) -> Sheets:
    """Run all splits of the tasks, over the processes."""
    groups = [group for group in tasks.GROUPS if set(group) & set(names)]
    console.print("folding the households' events ...")
    prepared = [task for group in pool.map(tasks.prepare, groups, chunksize=1) for task in group]
    todo = jobs([task for task in prepared if task.name in names], number)
    results = pool.imap_unordered(judge, todo)
    return collect(track(results, "splits of the tasks", total=len(todo), console=console))
