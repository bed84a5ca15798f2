"""``make bench-rank ARGS=--lifts``: which lifts of a persona's features rank best.

The first ones are the log-ratios that predict (``weights``), the others lifts that are shrunken
to 1 with several K (``model/lifts.py``); and the same with a taxonomy that counts products too, in
the hashed slots of fine features. The persona's strength is 1.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
from rich.console import Console

from stream_persona.client.ranking import Affinities
from stream_persona.domain.features import SCALE, compute_profiles
from stream_persona.domain.record_codec import encode_records
from stream_persona.domain.taxonomy import Taxonomy
from stream_persona.domain.tokenizer import Tokenizer
from stream_persona.model.classifier import PersonaClassifier
from stream_persona.model.estimator import derive
from stream_persona.model.explain import compute_affinities
from stream_persona.model.lifts import shrink_log_lifts
from stream_persona.model.statistics import Contributions
from stream_persona.model.weights import Weights
from tests.benchmarks.rank import households as real
from tests.benchmarks.rank.caller import TASKS, Shop
from tests.benchmarks.rank.compare import Compared, Factors, Scoring, ask, show
from tests.benchmarks.rank.evaluation import folds
from tests.benchmarks.rank.households import Household, Model, Product
from tests.benchmarks.tasks import TAXONOMY, key_and_fold

REPORT = Path("build/reports/bench-rank-lifts.json")
PRIORS = (1.0, 5.0, 20.0)


@dataclass
class Counted:
    """The households as a taxonomy counts them."""

    taxonomy: Taxonomy
    title: str
    names: Tokenizer
    known: list[Household]
    catalogue: dict[str, Product]

    @classmethod
    def of(cls, taxonomy: Taxonomy, title: str) -> "Counted":
        names = Tokenizer(taxonomy)
        with patch.object(real, "TAXONOMY", taxonomy):
            known, catalogue = real.households(names)
        return cls(taxonomy, title, names, known, catalogue)

    def learn(
        self, training: Sequence[Household], held: Sequence[Household]
    ) -> tuple[Model, dict[str, Scoring]]:
        """The predictions, and a ranking by each kind of lifts."""
        with patch.object(real, "TAXONOMY", self.taxonomy):
            model = real.learn(training, held, self.names)
        rankings: dict[str, Scoring] = {}
        for name, weights in kinds_of_lifts(training, self.taxonomy):
            lifts = Affinities(compute_affinities(weights, self.names.names.join_names))
            rankings[self.title + name] = Factors(lifts).move
        return model, rankings

    def show_bytes(self, console: Console) -> None:
        records = {own.name: own.record for own in self.known}
        blobs = encode_records(records, self.taxonomy.fingerprint).values()
        median, most = np.percentile([len(blob) for blob in blobs], (50, 99))
        console.print(
            f"{self.title or 'as it is: '}a record has {median:,.0f} bytes, p99 {most:,.0f}"
        )


def kinds_of_lifts(
    training: Sequence[Household], taxonomy: Taxonomy
) -> Iterable[tuple[str, Weights]]:
    sums = PersonaClassifier()
    seen = compute_profiles([own.record.counts for own in training], taxonomy.features)
    parts = Contributions.of(seen, [key_and_fold(own.name)[1] for own in training])
    sums.add_rows(parts, [own.persona for own in training], [1] * len(training))
    weights, stacked = derive(sums, taxonomy.names), sums.stack(taxonomy.names)
    moments = stacked.moments.sum(axis=1)[:, :, weights.index[stacked.slots] >= 0]
    events = np.repeat(stacked.events.sum(axis=0)[:, None] / SCALE, moments.shape[2], axis=1)
    yield "weights", replace(weights, lifts_w=weights.shares_w)
    for prior in PRIORS:
        logs = np.rint(shrink_log_lifts(events, moments, prior=prior).T * SCALE)
        yield f"lifts K {prior:g}", replace(weights, lifts_w=logs)


def main() -> None:
    console, compared = Console(), {task: Compared() for task in TASKS}
    with_products = ("product", *TAXONOMY.features.fields)
    features = TAXONOMY.features.model_copy(update={"fields": with_products})
    counted = [
        Counted.of(TAXONOMY, ""),
        Counted.of(TAXONOMY.model_copy(update={"features": features}), "products: "),
    ]
    parted = [list(folds(each.known)) for each in counted]
    for number, (training, held) in enumerate(parted[0]):
        shop = Shop(training, counted[0].catalogue)
        rankings = [each.learn(*own[number]) for each, own in zip(counted, parted, strict=True)]
        others = np.random.default_rng(number).permutation(len(held)).tolist()
        for own, other in zip(held, others, strict=True):
            for task in TASKS:
                if asked := list(ask(own, task, shop)):
                    compared[task].add(own, held[other], asked, rankings)
        Console(stderr=True).print(f"fold {number + 1}: {len(held)} households")
    show(compared, REPORT, console)
    for each in counted:
        each.show_bytes(console)
