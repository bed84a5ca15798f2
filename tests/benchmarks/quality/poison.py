"""One wrongly labelled account: what it can move in the demo's setting.

An account buys what households of one persona buy, in hundreds or thousands of lines, and is
labelled as another persona. Its id is chosen so that it is in the calibration panel. The naming
thresholds and the held-back log-loss are compared with those of the same split without it.
"""

from collections.abc import Sequence
from multiprocessing.pool import Pool
from typing import Any

import numpy as np
from msgspec.structs import replace
from rich.console import Console
from rich.progress import track

from stream_persona.domain.events import PURCHASE, Purchase
from stream_persona.domain.features import Profiles, compute_profiles
from stream_persona.domain.tokenizer import Tokenizer
from stream_persona.model.calibration_panel import concatenate
from stream_persona.model.statistics import hash_customer
from stream_persona.model.weights import Weights
from stream_persona.pipeline import process
from stream_persona.pipeline.types import Delivery
from tests.benchmarks.quality.customers import (
    UNMEASURED,
    Customers,
    fit_weights,
    naming_thresholds,
)
from tests.benchmarks.quality.study import Baskets, divide
from tests.benchmarks.scores import log_loss
from tests.benchmarks.tasks import FEATURES, TAXONOMY

#: Lines of the account.
LINES = (30, 300, 9_000)
#: Splits; on each, a persona's account is labelled as the personas so many places further on.
STEPS = {1: (1, 4), 2: (2, 5), 3: (3, 6)}
_CANDIDATES = 10_000

#: All customers, the number of the split, the persona whose purchases the account has, and the
#: account's profile by lines.
Job = tuple[Customers, int, str, dict[int, Profiles]]


def choose_account() -> str:
    """Choose an account's id of a hash so low that it is in the panel of any shop."""
    return min((f"ACCOUNT-{number}" for number in range(_CANDIDATES)), key=hash_customer)


def make_account(baskets: Sequence[Purchase], lines: int, name: str) -> Profiles:
    """Return the profile of an account that bought so many lines of these baskets."""
    deliveries: list[Delivery] = []
    for basket in baskets:
        items = basket.items[:lines]
        if items:
            purchase = replace(basket, customer_id=name, items=items)
            deliveries.append(Delivery.of(purchase, PURCHASE, 0, len(deliveries)))
        lines -= len(items)
    records = process.apply_events(deliveries, {}, TAXONOMY, Tokenizer(TAXONOMY)).records
    return compute_profiles([records[name].counts], FEATURES)


def judge(job: Job) -> list[dict[str, Any]]:
    """Fit one split with and without each wrongly labelled account of a persona's purchases."""
    customers, seed, bought, accounts = job
    train, test = (customers.rows(rows) for rows in divide(customers, seed))
    names, account = TAXONOMY.names, choose_account()
    before = fit_weights(train, TAXONOMY)
    found = []
    for step in STEPS[seed]:
        label = names[(names.index(bought) + step) % len(names)]
        for lines, profile in accounts.items():
            with_it = Customers(
                [*train.ids, account],
                [*train.personas, label],
                concatenate([train.profiles, profile]),
            )
            moved = compare(before, fit_weights(with_it, TAXONOMY), test)
            found.append({"split": seed, "bought": bought, "label": label, "lines": lines, **moved})
    return found


def compare(before: Weights, after: Weights, test: Customers) -> dict[str, float]:
    """Return by how much thresholds have moved, up or down, and by how much the log-loss has grown.

    Thresholds above 1, which no confidence reaches, count as 1.
    """
    labels = test.numbers(TAXONOMY.names)
    losses = [
        log_loss(each.predict_probabilities(test.profiles), labels) for each in (before, after)
    ]
    personas = [np.minimum(naming_thresholds(each), 1.0) for each in (before, after)]
    common = [
        min(UNMEASURED if each.threshold is None else each.threshold, 1.0)
        for each in (before, after)
    ]
    return {
        "threshold": abs(common[1] - common[0]),
        "persona_threshold": float(np.abs(personas[1] - personas[0]).max()),
        "log_loss": losses[1] - losses[0],
        "threshold_before": common[0],
        "threshold_after": common[1],
    }


def run(pool: Pool, customers: Customers, baskets: Baskets, console: Console) -> dict[str, Any]:
    """Try every pair of personas, over the processes; return the greatest movements and all."""
    rng, name = np.random.default_rng(0), choose_account()
    accounts = {}
    for persona in TAXONOMY.names:
        own = [baskets[persona][i] for i in rng.permutation(len(baskets[persona]))]
        accounts[persona] = {lines: make_account(own, lines, name) for lines in LINES}
    todo = [(customers, seed, persona, own) for seed in STEPS for persona, own in accounts.items()]
    judged = pool.imap(judge, todo)
    found = track(judged, "wrongly labelled accounts", total=len(todo), console=console)
    rows = [row for rows in found for row in rows]
    return {
        "accounts": len(rows),
        "by_lines": {
            str(lines): summarise([row for row in rows if row["lines"] == lines]) for lines in LINES
        },
        **summarise(rows),
        "rows": rows,
    }


def summarise(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return the greatest movements of some accounts, and the mean one of the threshold."""
    return {
        "threshold_moved": max(row["threshold"] for row in rows),
        "persona_threshold_moved": max(row["persona_threshold"] for row in rows),
        "mean_threshold_moved": float(np.mean([row["threshold"] for row in rows])),
        "log_loss_moved": max(abs(row["log_loss"]) for row in rows),
    }
