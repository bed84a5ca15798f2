"""Synthetic shops: what the model makes of new shoppers, beside what their generator allows.

Predictions are judged by the generator's exact posterior of each new shopper: what a drawn persona
would say on average, without the luck of the draw. So no share of what is allowed is above 1, and
no log-loss is below that of the posterior.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from multiprocessing.pool import Pool
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from tests.benchmarks.quality.customers import fit_weights, named, predict_prior
from tests.benchmarks.quality.shops import (
    Shop,
    draw_categories,
    fold_shoppers,
    odd_shops,
    separable,
)

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

NOISES = (0.0, 0.02, 0.05, 0.1, 0.2)
LABELLED = (60, 300, 3_000)
PERSONAS = (3, 5, 12)
#: New shoppers of each trial, and trials of each shop, with other shoppers each.
NEW, DRAWS = 1_000, 3
#: No probability counts as less in a log-loss.
_FLOOR = 1e-12

#: What tells a shop in the report, and the shop.
Cell = tuple[dict[str, Any], Shop]


@dataclass
class Found:
    """One trial: how often right, log-losses, and who is named; expected values a new shopper.

    ``allowed`` is how often the posterior's likeliest persona is right, ``bayes`` its log-loss.
    ``wrong`` is the share of all new shoppers who are given a name that is not theirs.
    """

    right: float
    allowed: float
    log_loss: float
    bayes: float
    prior: float
    named: float
    wrong: float

    @property
    def share(self) -> float:
        """The share of what is allowed."""
        return self.right / self.allowed


def expected_log_loss(p: Floats, posterior: Floats) -> float:
    """Return the log-loss of probabilities (rows, classes) if ``posterior`` is the truth."""
    logs = np.log(np.clip(p, _FLOOR, 1.0))
    return float(-(posterior * logs).sum(axis=1).mean())


def compare(p: Floats, prior: Floats, posterior: Floats, is_named: Flags) -> Found:
    """Compare predictions (rows, classes) with the exact posterior, of the same shape."""
    own = posterior[np.arange(len(p)), p.argmax(axis=1)]
    return Found(
        float(own.mean()),
        float(posterior.max(axis=1).mean()),
        expected_log_loss(p, posterior),
        expected_log_loss(posterior, posterior),
        expected_log_loss(prior, posterior),
        float(is_named.mean()),
        float(((1.0 - own) * is_named).mean()),
    )


def judge(job: tuple[Shop, int, int]) -> Found:
    """Fit some labelled shoppers of a shop and judge what is predicted of new ones."""
    shop, labelled, seed = job
    rng = np.random.default_rng(seed)
    personas = shop.label(labelled)
    known = fold_shoppers(shop, personas, draw_categories(shop, personas, rng), rng, f"K{seed}")
    weights = fit_weights(known, shop.taxonomy)
    fresh = rng.choice(len(shop.shares), NEW, p=shop.shares)
    bought = draw_categories(shop, fresh, rng)
    p = weights.predict_probabilities(fold_shoppers(shop, fresh, bought, rng, "N").profiles)
    posterior = np.zeros_like(p)
    posterior[:, : len(shop.shares)] = shop.posterior(bought)
    return compare(p, predict_prior(weights, NEW), posterior, named(weights, p))


def run(pool: Pool, console: Console) -> dict[str, Any]:
    """Judge every shop of the grid, and the odd ones, over the processes."""
    grid: list[Cell] = [
        ({"personas": personas, "labelled": labelled, "noise": noise}, separable(personas, noise))
        for personas in PERSONAS
        for labelled in LABELLED
        for noise in NOISES
    ]
    odd: list[Cell] = [
        ({"shop": name, "labelled": labelled}, shop)
        for name, shop in odd_shops().items()
        for labelled in LABELLED
    ]
    todo = [(shop, cell["labelled"], seed) for cell, shop in grid + odd for seed in range(DRAWS)]
    judged = pool.imap(judge, todo)
    found = list(track(judged, "synthetic shops", total=len(todo), console=console))
    rows = [
        {**cell, **summarise(found[DRAWS * i : DRAWS * (i + 1)])}
        for i, (cell, _) in enumerate(grid + odd)
    ]
    return {"draws": DRAWS, "grid": rows[: len(grid)], "odd": rows[len(grid) :]}


def summarise(found: list[Found]) -> Mapping[str, float]:
    """Return the means over trials, the least share of what is allowed, and the greatest excess."""
    rows = [asdict(each) for each in found]
    return {
        **{name: float(np.mean([row[name] for row in rows])) for name in rows[0]},
        "least_share": min(each.share for each in found),
        "excess_over_prior": max(each.log_loss - each.prior for each in found),
    }
