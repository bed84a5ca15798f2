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

Five rankings: *baseline* as the caller gave it; *persona* as the client's ``rank`` does it, so that
ambiguous households keep the baseline; *mixture*, with the prediction of ambiguous ones as well;
*true persona*, the one that the study gave the household by the very half-year that is foreseen;
*shuffled*, with the prediction of another household, which must be no better than the baseline.
Households whose next baskets hold no candidate count for nothing, since no order can help them.

``--strengths`` shows how the default strength was chosen: the training households of the first
fold are parted again, and the one part foresees the baskets of the other.
"""

import argparse
import importlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from stream_persona.client import ranking
from stream_persona.client.ranking import STRENGTH, Ranked
from stream_persona.domain.tokenizer import Tokenizer
from tests.benchmarks.rank.caller import TASKS, Question, Shop
from tests.benchmarks.rank.households import Household, Model, households, learn
from tests.benchmarks.report import table
from tests.benchmarks.tasks import TAXONOMY

REPORT = Path("build/reports/bench-rank.json")
FOLDS, TOP = 3, 10
STRENGTHS = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0)
RANKINGS = {
    "baseline": "baseline",
    "persona": "persona",
    "mixture": "mixture",
    "true_persona": "true persona",
    "shuffled": "shuffled",
}
MEASURES = (f"ndcg@{TOP}", f"hit@{TOP}", "mrr")

#: A ranking's figures of one household, by measure.
Figures = dict[str, float]


def figures_of(ranked: Sequence[Ranked], wanted: frozenset[str]) -> Figures:
    """NDCG and hit-rate of the first ten, and the inverse of the first hit's place."""
    hits = [place for place, each in enumerate(ranked, 1) if each.item["product_id"] in wanted]
    gain = sum(1 / np.log2(place + 1) for place in hits if place <= TOP)
    best = sum(1 / np.log2(place + 1) for place in range(1, min(len(wanted), TOP) + 1))
    return dict(zip(MEASURES, (gain / best, float(hits[0] <= TOP), 1 / hits[0]), strict=True))


def ranked_for(
    question: Question, mixture: Mapping[str, float] | None, model: Model, strength: float
) -> list[Ranked]:
    if mixture is None:
        return ranking.keep_order(question.items)
    return ranking.rank(question.items, mixture, model.affinities, strength)


def evaluate(
    own: Household,
    task: str,
    shop: Shop,
    model: Model,
    mixtures: Mapping[str, Mapping[str, float] | None],
    strength: float,
) -> dict[str, Figures] | None:
    """Means of each ranking over a household's questions; None where nothing could be hit."""
    asked = [q for basket in own.baskets for q in shop.questions(task, basket) if q.wanted]
    if not asked:
        return None
    found = {}
    for name, mixture in mixtures.items():
        rows = [figures_of(ranked_for(q, mixture, model, strength), q.wanted) for q in asked]
        found[name] = {each: float(np.mean([row[each] for row in rows])) for each in MEASURES}
    return found


def mixtures_of(own: Household, other: Household, model: Model) -> dict[str, Any]:
    """What each ranking takes the household for; None keeps the baseline."""
    persona, shares = model.predicted[own.name]
    shuffled, wrong = model.predicted[other.name]
    return {
        "baseline": None,
        "persona": shares if persona is not None else None,
        "mixture": shares,
        "true_persona": {own.persona: 1.0},
        "shuffled": wrong if shuffled is not None else None,
    }


def folds(known: Sequence[Household]) -> Iterator[tuple[list[Household], list[Household]]]:
    """Yield the training households and those held back; each is held back once."""
    order = np.random.default_rng(1).permutation(len(known))
    for number in range(FOLDS):
        held = set(order[number::FOLDS].tolist())
        yield (
            [own for i, own in enumerate(known) if i not in held],
            [own for i, own in enumerate(known) if i in held],
        )


def measure(strength: float) -> dict[str, Any]:
    names = Tokenizer(TAXONOMY)
    known, catalogue = households(names)
    rows: dict[str, list[dict[str, Figures]]] = {task: [] for task in TASKS}
    named = 0
    for number, (training, held) in enumerate(folds(known)):
        model, shop = learn(training, held, names), Shop(training, catalogue)
        others = np.random.default_rng(number).permutation(len(held)).tolist()
        named += sum(model.predicted[own.name][0] is not None for own in held)
        for own, other in zip(held, others, strict=True):
            mixtures = mixtures_of(own, held[other], model)
            for task in TASKS:
                if found := evaluate(own, task, shop, model, mixtures, strength):
                    rows[task].append(found)
        Console(stderr=True).print(f"fold {number + 1} of {FOLDS}: {len(held)} households")
    return {
        "households": len(known), "named": named / len(known), "strength": strength,
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


def interval(values: Sequence[float]) -> dict[str, float]:
    """The mean over households, and the bounds of its 95 % confidence interval."""
    mean = float(np.mean(values))
    half = 1.96 * float(np.std(values, ddof=1)) / np.sqrt(len(values))
    return {"mean": mean, "low": mean - half, "high": mean + half}


def strengths() -> dict[float, dict[str, float]]:
    """Return the gain in NDCG with each strength, on the training households of the first fold."""
    names = Tokenizer(TAXONOMY)
    known, catalogue = households(names)
    training, _ = next(folds(known))
    training, held = next(folds(training))
    model, shop = learn(training, held, names), Shop(training, catalogue)
    found = {}
    for strength in STRENGTHS:
        found[strength] = dict.fromkeys(TASKS, 0.0)
        for task in TASKS:
            rows = [
                row
                for own in held
                if (row := evaluate(own, task, shop, model, mixtures_of(own, own, model), strength))
            ]
            found[strength][task] = gains(rows)["persona"][MEASURES[0]]["mean"]
        Console(stderr=True).print(f"strength {strength}: {found[strength]}")
    return found


def show(report: Mapping[str, Any], console: Console) -> None:
    caption = (
        "beside each mean the 95 % confidence interval of the difference to the baseline, household"
        f" by household; {report['households']:,} households, {report['named']:.0%} of them named"
    )
    for task, rows in report["tasks"].items():
        columns = [title for measure in MEASURES for title in (measure, "")]
        made = table(task.replace("_", " "), "", *columns, caption=caption)
        for name, title in RANKINGS.items():
            gained = report["gains"][task].get(name, {})
            cells = [
                cell for each in MEASURES for cell in cells_of(rows[name][each], gained.get(each))
            ]
            made.add_row(title, *cells)
        console.print(made)


def cells_of(found: Mapping[str, float], gain: Mapping[str, float] | None) -> tuple[str, str]:
    shown = "" if gain is None else f"{bare(gain['low'], '+')} {bare(gain['high'], '+')}"
    return bare(found["mean"]), shown


def bare(value: float, sign: str = "") -> str:
    """Four decimals without the leading zero."""
    return f"{value:{sign}.4f}".replace("0.", ".", 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strength", type=float, default=STRENGTH)
    parser.add_argument("--strengths", action="store_true", help="compare strengths and end")
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
    report = measure(options.strength)
    show(report, Console())
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(report, indent=2), encoding="utf-8")
    Console().print(f"Written to {REPORT}")


if __name__ == "__main__":
    main()
