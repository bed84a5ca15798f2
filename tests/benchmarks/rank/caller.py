"""A caller without personas: its candidates and scores in three places of a shop."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tests.benchmarks.rank.households import Household, Product

#: Candidates of a search, and of the other tasks.
SEARCHED, CANDIDATES = 100, 300
TASKS = ("search", "cross_sell", "for_you")


@dataclass(frozen=True)
class Question:
    """Candidates in the caller's order, and those among them that the household then bought."""

    items: Sequence[Product]
    wanted: frozenset[str]


class Shop:
    """A caller's own candidates and scores, from what the training households have bought."""

    def __init__(self, teachers: Iterable[Household], catalogue: Mapping[str, Product]) -> None:
        self._catalogue = catalogue
        baskets = [basket for own in teachers for basket in own.bought]
        self._sold = Counter(product for basket in baskets for product in basket)
        self._departments: dict[str, list[str]] = {}
        for product, _ in self._sold.most_common():
            own = self._departments.setdefault(department(catalogue[product]), [])
            if len(own) < SEARCHED:
                own.append(product)
        self._popular = [product for product, _ in self._sold.most_common(CANDIDATES)]
        self._with: dict[str, Counter[str]] = {}
        candidates = {product for product, _ in self._sold.most_common(10 * CANDIDATES)}
        for basket in baskets:
            some = [product for product in basket if product in candidates]
            for product in some:
                self._with.setdefault(product, Counter()).update(some)

    def questions(self, task: str, basket: Sequence[str]) -> Iterator[Question]:
        """What a basket asks of a task's ranking."""
        if task == "for_you":
            yield self._question(self._popular, self._sold, basket)
        elif task == "cross_sell":
            half = len(basket) // 2
            yield self._together(basket[:half], basket[half:])
        else:
            for name in dict.fromkeys(department(self._catalogue[each]) for each in basket):
                wanted = [p for p in basket if department(self._catalogue[p]) == name]
                yield self._question(self._departments.get(name, []), self._sold, wanted)

    def _together(self, known: Sequence[str], rest: Sequence[str]) -> Question:
        """Each known product votes with how often another was bought with it."""
        votes = defaultdict[str, float](float)
        for product in known:
            for other, times in self._with.get(product, Counter()).items():
                votes[other] += times / self._sold[product]
        for product in known:
            votes.pop(product, None)
        ranked = sorted(votes, key=lambda product: (-votes[product], product))
        return self._question(ranked[:CANDIDATES], votes, rest)

    def _question(
        self, products: Sequence[str], scores: Mapping[str, float], wanted: Iterable[str]
    ) -> Question:
        items = [{**self._catalogue[each], "score": float(scores[each])} for each in products]
        return Question(items, frozenset(wanted) & frozenset(products))


def department(item: Product) -> str:
    return str(item["category"] or "").partition("/")[0]
