"""``make bench-rank ARGS=--pairs``: is what goes together another thing for each persona?

Cross-sell as a caller has it: each product of the basket votes for others by how often these are
bought with it. *Pairs* moves each vote by how much likelier the pair is under the persona than the
products' own lifts and the pair's over all personas together make it, ::

    (n + K) / (c + K)

for n baskets of the persona's households that have both where c are to be expected: the lift of a
pair within a persona, shrunken to the lift over all. Products, and once more their types. *Persona*
is the client's own order, with strength 1, and both multiply.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from scipy.sparse import csr_array

from stream_persona.domain.tokenizer import Tokenizer
from tests.benchmarks.rank.caller import Shop
from tests.benchmarks.rank.compare import Asked, Compared, Factors, Scoring, ask, show
from tests.benchmarks.rank.evaluation import folds
from tests.benchmarks.rank.households import Household, Product, households, learn
from tests.benchmarks.tasks import TAXONOMY

Counts = NDArray[np.float32]
Floats = NDArray[np.float64]
REPORT = Path("build/reports/bench-rank-pairs.json")
PRIORS = (10.0, 100.0, 1000.0)


class Pairs:
    """The pairs of each persona's baskets; ``key`` is what makes two products the same one."""

    def __init__(
        self, training: Sequence[Household], shop: Shop, key: Callable[[str], str]
    ) -> None:
        self._shop, self._key = shop, key
        #: Each question is asked for several mixtures one after another.
        self._find_votes = lru_cache(maxsize=4 * len(PRIORS))(self._sum_votes)
        self._number: dict[str, int] = {}
        for product in shop._with:
            self._number.setdefault(key(product), len(self._number))
        counted = [self._count([each for each in training if each.persona == persona])
                   for persona in TAXONOMY.names]  # fmt: skip
        self._pairs = np.stack([pairs for pairs, _ in counted])
        own, baskets = np.stack([each.diagonal() for each in self._pairs]), [n for _, n in counted]
        self._shares = own / np.maximum(baskets, 1)[:, None]
        sold = own.sum(axis=0)
        self._lifts = self._pairs.sum(axis=0) * sum(baskets) / np.maximum(np.outer(sold, sold), 1)
        self._baskets = np.array(baskets, np.float32)

    def _count(self, own: Iterable[Household]) -> tuple[Counts, int]:
        """Count the baskets with each two keys."""
        baskets = [
            {self._number[name] for each in basket if (name := self._key(each)) in self._number}
            for household in own
            for basket in household.bought
        ]
        ends = np.cumsum([0, *map(len, baskets)])
        keys = np.array([key for basket in baskets for key in basket], np.int64)
        shape = (len(baskets), len(self._number))
        bought = csr_array((np.ones(len(keys), np.float32), keys, ends), shape=shape)
        return (bought.T @ bought).toarray(), len(baskets)

    def scoring(self, prior: float, affinity: Factors | None = None) -> Scoring:
        """Return a ranking by the pairs with this K, and by affinity too if there is one."""

        def score(asked: Asked, shares: Mapping[str, float]) -> Floats:
            votes = self._find_votes(asked, prior)
            own = np.array([shares.get(persona, 0.0) for persona in TAXONOMY.names])
            moved = max(0.0, 1.0 - float(own.sum())) * asked.scores + own @ votes
            return moved if affinity is None else moved * affinity(asked, shares)

        return score

    def _sum_votes(self, asked: Asked, prior: float) -> Floats:
        """Return the sums of the moved votes, (personas, items)."""
        known = [product for product in asked.known if product in self._shop._with]
        items = [str(item["product_id"]) for item in asked.items]
        votes = np.array(
            [[self._shop._with[a][b] / self._shop._sold[a] for b in items] for a in known]
        )
        rows, columns = ([self._number[self._key(p)] for p in some] for some in (known, items))
        together = self._shares[:, rows, None] * self._shares[:, None, columns]
        expected = self._lifts[np.ix_(rows, columns)] * together * self._baskets[:, None, None]
        pairs = self._pairs[np.ix_(range(len(TAXONOMY.names)), rows, columns)]
        return np.asarray((votes * (pairs + prior) / (expected + prior)).sum(axis=1))


def type_of(catalogue: Mapping[str, Product]) -> Callable[[str], str]:
    """What makes two products of one type: the category's last level and the product type."""

    def find(product: str) -> str:
        item = catalogue[product]
        return f"{item['category']} {item['attributes'].get('product_type')}"

    return find


def rankings_of(
    training: Sequence[Household], shop: Shop, affinity: Factors, catalogue: Mapping[str, Product]
) -> dict[str, Scoring]:
    """The client's ranking first, then those by pairs, alone and with it."""
    found: dict[str, Scoring] = {"persona": affinity.move}
    by_product, by_type = Pairs(training, shop, str), Pairs(training, shop, type_of(catalogue))
    for title, pairs in (("pairs", by_product), ("types", by_type)):
        for prior in PRIORS:
            found[f"{title} K {prior:g}"] = pairs.scoring(prior)
            found[f"{title} K {prior:g} x persona"] = pairs.scoring(prior, affinity)
    return found


def main() -> None:
    names, compared = Tokenizer(TAXONOMY), Compared()
    known, catalogue = households(names)
    for number, (training, held) in enumerate(folds(known)):
        model, shop = learn(training, held, names), Shop(training, catalogue)
        rankings = rankings_of(training, shop, Factors(model.affinities), catalogue)
        others = np.random.default_rng(number).permutation(len(held)).tolist()
        for own, other in zip(held, others, strict=True):
            if asked := list(ask(own, "cross_sell", shop)):
                compared.add(own, held[other], asked, [(model, rankings)])
        Console(stderr=True).print(f"fold {number + 1}: {len(held)} households")
    show({"cross_sell": compared}, REPORT, Console())
