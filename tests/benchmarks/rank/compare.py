"""Compares ways of ranking by NDCG alone, on arrays: the same orders as the client's, sooner."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from stream_persona.client.ranking import Affinities, score_of, tokenize_item
from tests.benchmarks.rank.caller import Shop
from tests.benchmarks.rank.households import Household, Model, Product
from tests.benchmarks.report import table

Floats = NDArray[np.float64]
#: What a household is taken for, by persona; None keeps the baseline.
Shares = Mapping[str, float] | None

#: What a household may be taken for; *shuffled* is the mixture of another: a control.
TAKEN_FOR = ("persona", "mixture", "true persona", "shuffled")
TOP = 10
#: By ranking and by what households are taken for: mean and half the interval.
Gains = dict[str, dict[str, dict[str, float]]]
_DISCOUNTS = 1 / np.log2(np.arange(2, TOP + 2))


@dataclass(frozen=True, eq=False)
class Asked:
    """A question as arrays; ``known`` are the products that are in the basket already."""

    items: Sequence[Product]
    scores: Floats
    wanted: NDArray[np.bool_]
    known: Sequence[str]


#: Returns the new scores of a question's items for a household that is taken for something.
Scoring = Callable[[Asked, Mapping[str, float]], Floats]


@dataclass
class Compared:
    """Each household's NDCG: of the baseline, and by what it is taken for and the ranking."""

    baseline: list[float] = field(default_factory=list)
    found: dict[tuple[str, str], list[float]] = field(default_factory=dict)

    def add(
        self,
        own: Household,
        other: Household,
        asked: Sequence[Asked],
        rankings: Iterable[tuple[Model, Mapping[str, Scoring]]],
    ) -> None:
        """Add what a household asked; ``other`` is the one of the control."""
        before = float(np.mean([ndcg(each.scores, each) for each in asked]))
        self.baseline.append(before)
        for model, scorings in rankings:
            for taken_for, shares in shares_of(own, other, model).items():
                for name, scoring in scorings.items():
                    value = before
                    if shares is not None:
                        value = float(
                            np.mean([ndcg(scoring(each, shares), each) for each in asked])
                        )
                    self.found.setdefault((taken_for, name), []).append(value)

    def report(self) -> dict[str, Gains]:
        """Return gains over the baseline, and over the first ranking, as shares of the baseline."""
        base, first = np.array(self.baseline), next(name for _, name in self.found)
        over_baseline: Gains = {}
        over_first: Gains = {}
        for (taken_for, name), values in self.found.items():
            before = np.array(self.found[taken_for, first])
            over_baseline.setdefault(name, {})[taken_for] = gain_of(np.array(values) - base, base)
            over_first.setdefault(name, {})[taken_for] = gain_of(np.array(values) - before, base)
        return {"baseline": over_baseline, first: over_first}


def show(compared: Mapping[str, Compared], path: Path, console: Console) -> None:
    """Print the gains of each task, and write them to a file."""
    reports = {task: each.report() for task, each in compared.items()}
    for task, report in reports.items():
        for over, gains in report.items():
            made = table(f"{task.replace('_', ' ')}: gain over {over!r}", "", *TAKEN_FOR)
            for name, own in gains.items():
                cells = (
                    f"{own[each]['mean']:+.1%} ± {own[each]['half']:.1%}" for each in TAKEN_FOR
                )
                made.add_row(name, *cells)
            console.print(made)
        count = len(compared[task].baseline)
        console.print(f"NDCG@{TOP} of {count:,} households, with 95 % intervals over households\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(reports, indent=2), encoding="utf-8")
    console.print(f"Written to {path}")


def ask(own: Household, task: str, shop: Shop) -> Iterator[Asked]:
    """Yield what a household's next baskets ask of a task, where an order can help them."""
    for basket in own.baskets:
        known = basket[: len(basket) // 2] if task == "cross_sell" else ()
        for question in shop.questions(task, basket):
            if question.wanted:
                scores = np.array([score_of(item, i) for i, item in enumerate(question.items)])
                wanted = np.array(
                    [each["product_id"] in question.wanted for each in question.items]
                )
                yield Asked(question.items, scores, wanted, known)


def shares_of(own: Household, other: Household, model: Model) -> dict[str, Shares]:
    """What a household is taken for."""
    persona, shares = model.predicted[own.name]
    return {
        "persona": shares if persona is not None else None,
        "mixture": shares,
        "true persona": {own.persona: 1.0},
        "shuffled": model.predicted[other.name][1],
    }


class Factors:
    """The factors of affinities, as ``ranking.rank`` has them; each product is looked up once."""

    def __init__(self, affinities: Affinities) -> None:
        self._affinities = affinities
        self._rows: dict[str, Floats] = {}
        #: A household's questions are asked for several mixtures one after another.
        self._stack = lru_cache(maxsize=64)(self._stack_rows)

    def __call__(self, asked: Asked, shares: Mapping[str, float]) -> Floats:
        own = np.array([shares.get(persona, 0.0) for persona in self._affinities.personas])
        return max(0.0, 1.0 - float(own.sum())) + self._stack(asked) @ own

    def move(self, asked: Asked, shares: Mapping[str, float]) -> Floats:
        """Return the scores times the factors: strength 1."""
        return asked.scores * self(asked, shares)

    def _stack_rows(self, asked: Asked) -> Floats:
        """Return the factors of the items under each persona, (items, personas)."""
        return np.stack([self._row(item) for item in asked.items])

    def _row(self, item: Product) -> Floats:
        row = self._rows.get(item["product_id"])
        if row is None:
            logs = [own for _, own in self._affinities.find(tokenize_item(item))]
            summed = np.sum(logs, axis=0) if logs else np.zeros(len(self._affinities.personas))
            row = self._rows[item["product_id"]] = np.exp(summed / np.sqrt(max(len(logs), 1)))
        return row


def ndcg(scores: Floats, asked: Asked) -> float:
    """The NDCG of the first ten by these scores."""
    first = np.argsort(-scores, kind="stable")[:TOP]
    best = _DISCOUNTS[: min(int(asked.wanted.sum()), TOP)].sum()
    return float(asked.wanted[first] @ _DISCOUNTS[: len(first)] / best)


def gain_of(gain: Floats, base: Floats) -> dict[str, float]:
    """The mean as a share of the base's mean, and half its 95 % interval."""
    mean, half = gain.mean(), 1.96 * gain.std(ddof=1) / np.sqrt(len(gain))
    return {"mean": float(mean / base.mean()), "half": float(half / base.mean())}
