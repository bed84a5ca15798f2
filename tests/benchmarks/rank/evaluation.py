"""How well the next baskets of households are ranked, each by the model of the others."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from unittest.mock import patch

import numpy as np
from rich.console import Console

from stream_persona.client import own_tastes, ranking
from stream_persona.client.own_tastes import (
    BESIDE_BASKET,
    OFF,
    RECOMMENDED,
    Own,
    apply_own,
    find_own,
)
from stream_persona.client.ranking import STRENGTH, Ranked
from stream_persona.domain.tokenizer import Tokenizer
from tests.benchmarks.rank.caller import TASKS, Question, Shop
from tests.benchmarks.rank.households import Household, Model, households, learn
from tests.benchmarks.tasks import TAXONOMY

FOLDS, TOP = 3, 10
STRENGTHS = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0)
#: The strength of own tastes by task, as recommended; and what they are compared with.
OWN_STRENGTHS = {"search": RECOMMENDED, "cross_sell": BESIDE_BASKET, "for_you": RECOMMENDED}
OWNS = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
PRIORS = (1.0, 20.0, 100.0)
RANKINGS = {
    "baseline": "baseline",
    "persona": "persona",
    "mixture": "mixture",
    "own": "own",
    "own_and_mixture": "own and mixture",
    "true_persona": "true persona",
    "shuffled": "shuffled",
    "shuffled_shopper": "shuffled shopper",
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


@dataclass(frozen=True)
class Factors:
    """What a ranking moves items by: a mixture of personas (None: none), and own tastes."""

    mixture: Mapping[str, float] | None = None
    own: Own = OFF


def ranked_for(
    question: Question, rankings: Mapping[str, Factors], model: Model, strength: float
) -> dict[str, list[Ranked]]:
    """The items in the order of each ranking; those of one mixture are moved by it once."""
    moved: dict[int, list[Ranked]] = {id(None): ranking.keep_order(question.items)}
    found = {}
    for name, factors in rankings.items():
        mixture, key = factors.mixture, id(factors.mixture)
        if mixture is not None and key not in moved:
            moved[key] = ranking.rank(question.items, mixture, model.affinities, strength)
        found[name] = apply_own(moved[key], factors.own) if factors.own.strength else moved[key]
    return found


def evaluate(
    own: Household,
    task: str,
    shop: Shop,
    model: Model,
    rankings: Mapping[str, Factors],
    strength: float,
) -> dict[str, Figures] | None:
    """Means of each ranking over a household's questions; None where nothing could be hit."""
    asked = [q for basket in own.baskets for q in shop.questions(task, basket) if q.wanted]
    if not asked:
        return None
    rows: dict[str, list[Figures]] = {name: [] for name in rankings}
    for question in asked:
        for name, ranked in ranked_for(question, rankings, model, strength).items():
            rows[name].append(figures_of(ranked, question.wanted))
    return {
        name: {each: float(np.mean([row[each] for row in of])) for each in MEASURES}
        for name, of in rows.items()
    }


def rankings_of(own: Household, other: Household, model: Model, task: str) -> dict[str, Factors]:
    """What each ranking takes the household for."""
    persona, shares = model.predicted[own.name]
    shuffled, wrong = model.predicted[other.name]
    tastes = tastes_of(own, model, OWN_STRENGTHS[task])
    return {
        "baseline": Factors(),
        "persona": Factors(shares if persona is not None else None),
        "mixture": Factors(shares),
        "own": Factors(own=tastes),
        "own_and_mixture": Factors(shares, tastes),
        "true_persona": Factors({own.persona: 1.0}),
        "shuffled": Factors(wrong if shuffled is not None else None),
        "shuffled_shopper": Factors(own=tastes_of(other, model, OWN_STRENGTHS[task])),
    }


def tastes_of(own: Household, model: Model, strength: float) -> Own:
    """A household's own tastes as a client reads them."""
    return find_own(own.name, model.tastes[own.name], model.common, strength)


def folds(known: Sequence[Household]) -> Iterator[tuple[list[Household], list[Household]]]:
    """Yield the training households and those held back; each is held back once."""
    order = np.random.default_rng(1).permutation(len(known))
    for number in range(FOLDS):
        held = set(order[number::FOLDS].tolist())
        yield (
            [own for i, own in enumerate(known) if i not in held],
            [own for i, own in enumerate(known) if i in held],
        )


def strengths() -> None:
    """Print the gain in NDCG with each strength, on the training households of the first fold."""
    names = Tokenizer(TAXONOMY)
    known, catalogue = households(names)
    training, _ = next(folds(known))
    training, held = next(folds(training))
    model, shop = learn(training, held, names), Shop(training, catalogue)
    for strength in STRENGTHS:
        found = {task: gain_of_persona(held, task, shop, model, strength) for task in TASKS}
        Console(stderr=True).print(f"strength {strength}: {found}")
    for events in PRIORS:
        for strength in OWNS:
            with patch.object(own_tastes, "PRIOR_EVENTS", events):
                found = {task: gain_of_own(held, task, shop, model, strength) for task in TASKS}
            Console(stderr=True).print(f"K {events}, own {strength}: {found}")


def gain_of_persona(
    held: Sequence[Household], task: str, shop: Shop, model: Model, strength: float
) -> float:
    """The relative gain of the households that are named."""

    def rankings(own: Household) -> dict[str, Factors]:
        persona, shares = model.predicted[own.name]
        return {"baseline": Factors(), "tried": Factors(shares if persona is not None else None)}

    return gain_of(held, task, shop, model, rankings, strength)


def gain_of_own(
    held: Sequence[Household], task: str, shop: Shop, model: Model, strength: float
) -> float:
    def rankings(own: Household) -> dict[str, Factors]:
        return {"baseline": Factors(), "tried": Factors(own=tastes_of(own, model, strength))}

    return gain_of(held, task, shop, model, rankings, STRENGTH)


def gain_of(
    held: Sequence[Household],
    task: str,
    shop: Shop,
    model: Model,
    rankings: Callable[[Household], dict[str, Factors]],
    strength: float,
) -> float:
    """By how much a ranking that is tried is better than the baseline, as a share of it."""
    rows = [
        row for own in held if (row := evaluate(own, task, shop, model, rankings(own), strength))
    ]
    means = {
        name: float(np.mean([row[name][MEASURES[0]] for row in rows]))
        for name in ("baseline", "tried")
    }
    return round(means["tried"] / means["baseline"] - 1, 4)
