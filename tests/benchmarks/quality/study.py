"""The demo's setting: a study on the first half-year, the second half streamed, many splits.

The households' second half-year is folded by the pipeline. On each split the assigned households
train a model, and the held-back ones are predicted at the end of the year.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.pool import Pool
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from stream_persona.demo import journey
from stream_persona.demo.study import draw_groups
from stream_persona.domain.events import Purchase
from stream_persona.domain.features import compute_profiles
from stream_persona.domain.record import Record
from stream_persona.domain.tokenizer import Tokenizer
from stream_persona.model.shard import PANEL
from stream_persona.model.statistics import Sums
from stream_persona.pipeline import process
from stream_persona.pipeline.types import Delivery
from tests.benchmarks.quality.customers import (
    Customers,
    calibrate,
    choose_panel,
    fit_weights,
    named,
    naming_thresholds,
    predict_prior,
    sum_contributions,
)
from tests.benchmarks.scores import (
    Score,
    Sheet,
    list_reliability,
    score,
    worst_gap,
)
from tests.benchmarks.tasks import FEATURES, TAXONOMY

Ints = NDArray[np.int64]

ASSIGNED_SHARE = 0.7
#: A persona named less often does not show how often its name is right.
LEAST_NAMED = 30
#: Baskets of each persona's households that are kept, to make accounts of.
BASKETS = 2_000
_BATCH = 8_000

Baskets = dict[str, list[Purchase]]


@dataclass
class Trial:
    """One split: scores, and by persona how many held-back had it, were named it, and rightly."""

    ours: Score
    prior: Score
    shoppers: Ints
    named: Ints
    right: Ints
    thresholds: list[float]


class Reservoir:
    """Keeps an even sample of each persona's baskets (Vitter, "Algorithm R", TOMS 1985)."""

    def __init__(self, size: int, seed: int = 0) -> None:
        self.kept: Baskets = {}
        self._size, self._rng = size, np.random.default_rng(seed)
        self._seen: dict[str, int] = {}

    def add(self, persona: str, basket: Purchase) -> None:
        """Keep a basket, perhaps, in the place of another."""
        kept = self.kept.setdefault(persona, [])
        self._seen[persona] = seen = self._seen.get(persona, 0) + 1
        if len(kept) < self._size:
            kept.append(basket)
        elif (place := int(self._rng.integers(seen))) < self._size:
            kept[place] = basket


def load() -> tuple[Customers, Baskets]:
    """Fold the second half-year of the study's households; return them and a sample of baskets."""
    personas, records, baskets = fold()
    return as_customers(personas, records), baskets


def fold() -> tuple[dict[str, str], dict[str, Record], Baskets]:
    """Return the personas and the records of the study's households, and a sample of baskets."""
    year, reservoir = journey.load(), Reservoir(BASKETS)
    personas = {**year.study.assigned, **year.study.held_back}
    tokenizer, records = Tokenizer(TAXONOMY), dict[str, Record]()
    batch: list[Delivery] = []
    for offset, (kind, event) in enumerate(year.generate_events()):
        if event.customer_id not in personas:
            continue
        batch.append(Delivery.of(event, kind, 0, offset))
        if isinstance(event, Purchase):
            reservoir.add(personas[event.customer_id], event)
        if len(batch) == _BATCH:
            records |= process.apply_events(batch, records, TAXONOMY, tokenizer).records
            batch = []
    records |= process.apply_events(batch, records, TAXONOMY, tokenizer).records
    return personas, records, reservoir.kept


def as_customers(personas: Mapping[str, str], records: Mapping[str, Record]) -> Customers:
    """Return labelled customers, by id."""
    ids = sorted(personas.keys() & records.keys())
    seen = compute_profiles([records[name].counts for name in ids], FEATURES)
    return Customers(ids, [personas[name] for name in ids], seen)


def divide(customers: Customers, seed: int) -> tuple[list[int], list[int]]:
    """Return the rows of the assigned and of the held-back, as the demo's study splits them."""
    personas = dict(zip(customers.ids, customers.personas, strict=True))
    assigned = draw_groups(personas, seed, ASSIGNED_SHARE).assigned
    rows: tuple[list[int], list[int]] = ([], [])
    for row, name in enumerate(customers.ids):
        rows[name not in assigned].append(row)
    return rows


def judge(job: tuple[Customers, int], panel: int = PANEL) -> Trial:
    """Fit the assigned of one split and score the held-back."""
    customers, seed = job
    train, test = (customers.rows(rows) for rows in divide(customers, seed))
    weights = fit_weights(train, TAXONOMY, panel)
    p, labels = weights.predict_probabilities(test.profiles), test.numbers(TAXONOMY.names)
    chosen, is_named = p.argmax(axis=1), named(weights, p)
    personas = len(TAXONOMY.names)
    return Trial(
        score(p, labels),
        score(predict_prior(weights, len(labels)), labels),
        np.bincount(labels, minlength=personas),
        np.bincount(chosen[is_named], minlength=personas),
        np.bincount(chosen[is_named & (chosen == labels)], minlength=personas),
        naming_thresholds(weights).tolist(),
    )


def run(pool: Pool, customers: Customers, splits: int, console: Console) -> dict[str, Any]:
    """Run all splits, over the processes, and sum them up."""
    todo = [(customers, seed) for seed in range(1, splits + 1)]
    judged = pool.imap(judge, todo)
    trials = list(track(judged, "splits of the study", total=len(todo), console=console))
    exactness = pool.apply(find_inexact, (customers,))
    return {**summarise(trials, TAXONOMY.names), "inexact": exactness}


def summarise(trials: Sequence[Trial], names: Sequence[str]) -> dict[str, Any]:
    """Return the figures of all splits; those of bins and names count all predictions together."""
    sheets = {"ours": Sheet(), "prior": Sheet()}
    for trial in trials:
        sheets["ours"].add("end", trial.ours)
        sheets["prior"].add("end", trial.prior)
    thresholds = np.array([trial.thresholds for trial in trials])
    return {
        "splits": len(trials),
        **{name: summarise_scores(sheet) for name, sheet in sheets.items()},
        "names": summarise_names(trials, names),
        "thresholds": {
            name: {"mean": float(own.mean()), "spread": float(own.std())}
            for name, own in zip(names, thresholds.T, strict=True)
        },
    }


def summarise_scores(sheet: Sheet) -> dict[str, Any]:
    """Return one model's figures."""
    bins = sheet.bins()
    return {
        **{each: sheet.mean(each, "end") for each in ("log_loss", "accuracy", "ece")},
        "log_loss_spread": float(np.std([each.log_loss for each in sheet.scores["end"]])),
        "worst_gap": worst_gap(bins),
        "reliability": list_reliability(bins),
    }


def summarise_names(trials: Sequence[Trial], names: Sequence[str]) -> dict[str, Any]:
    """Return the share named, how often names are right, and both by persona."""
    shoppers, given, right = (
        np.sum([getattr(trial, each) for trial in trials], axis=0)
        for each in ("shoppers", "named", "right")
    )
    share = np.divide(right, given, out=np.full(len(names), np.nan), where=given > 0)
    enough = given >= LEAST_NAMED
    return {
        "share": float(given.sum() / shoppers.sum()),
        "precision": float(right.sum() / given.sum()) if given.any() else float("nan"),
        "least_precision": float(share[enough].min()) if enough.any() else float("nan"),
        "by_persona": {
            name: {"shoppers": int(own), "named": int(g), "right": int(r), "precision": float(s)}
            for name, own, g, r, s in zip(names, shoppers, given, right, share, strict=True)
        },
    }


# --- exactness ---


def find_inexact(customers: Customers) -> list[str]:
    """List the ways of learning whose sums or predictions differ from the plain one's by a bit."""
    train, test = (customers.rows(rows) for rows in divide(customers, 1))
    plain, panel = sum_contributions(train), choose_panel(train)
    expected = calibrate(plain, panel, TAXONOMY).predict_probabilities(test.profiles)
    found = []
    for way, sums in learn_otherwise(train, test).items():
        p = calibrate(sums, panel[::-1], TAXONOMY).predict_probabilities(test.profiles)
        if sums.encode_canonically() != plain.encode_canonically() or not np.array_equal(
            p, expected
        ):
            found.append(way)
    return found


def learn_otherwise(train: Customers, others: Customers) -> dict[str, Sums]:
    """Return the sums of ``train`` backwards, merged of halves, and with others unlearned."""
    backwards = sum_contributions(train.rows(range(len(train))[::-1]))
    merged = sum_contributions(train.rows(range(0, len(train), 2)))
    merged.merge(sum_contributions(train.rows(range(1, len(train), 2))))
    unlearned = sum_contributions(others)
    unlearned.merge(sum_contributions(train))
    unlearned.merge(sum_contributions(others, -1))
    return {"reordered": backwards, "merged": merged, "unlearned": unlearned}
