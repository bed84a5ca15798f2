"""Synthetic shops whose best possible answer is known: what each persona buys is stated.

A shopper of persona k buys one item at each event, of a category drawn from row k of ``buys``. The
events are independent, so a shopper's posterior is exact: the share of the persona among all
shoppers times the likelihood of what was bought. No model can be right more often than that
posterior's largest probabilities say, or have a log-loss below its entropy.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from stream_persona.domain.events import PURCHASE, Item, Purchase
from stream_persona.domain.features import compute_profiles
from stream_persona.domain.taxonomy import Taxonomy
from stream_persona.domain.tokenizer import Tokenizer
from stream_persona.pipeline import process
from stream_persona.pipeline.types import Delivery
from tests.benchmarks.quality.customers import Customers

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Events of each shopper, labelled or new.
EVENTS = 4
#: A taxonomy has at least so many personas; those beyond a shop's own have no shoppers.
LEAST_PERSONAS = 5

_START = 1_764_000_000_000
_MINUTE = 60_000


@dataclass(frozen=True)
class Shop:
    """What personas buy, and how common they are.

    ``buys`` (personas, categories) are probabilities of an event's category, ``shares`` (personas,)
    those of a shopper's persona. Each item has ``noise`` attributes of two values each, which tell
    nothing. ``last_labels`` is how many of the last persona have a label at most; None: any number.
    """

    buys: Floats
    shares: Floats
    noise: int = 0
    last_labels: int | None = None

    @cached_property
    def taxonomy(self) -> Taxonomy:
        """The personas, and spare ones where these are too few for a taxonomy."""
        number = max(LEAST_PERSONAS, len(self.shares))
        return Taxonomy.model_validate({"persona": [{"name": f"p{i}"} for i in range(number)]})

    def label(self, number: int) -> Ints:
        """Return the personas of about so many labelled shoppers, by their shares, (shoppers,)."""
        each = np.rint(self.shares * number).astype(np.int64)
        if self.last_labels is not None:
            each[-1] = min(each[-1], self.last_labels)
        return np.repeat(np.arange(len(each)), each)

    def posterior(self, bought: Ints) -> Floats:
        """Return the exact probability of each persona given categories (shoppers, events)."""
        with np.errstate(divide="ignore"):
            likelihood = np.log(self.buys)[:, bought].sum(axis=2).T
            logits = np.log(self.shares) + likelihood
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def draw_categories(shop: Shop, personas: Ints, rng: np.random.Generator) -> Ints:
    """Draw what shoppers of these personas buy: categories (shoppers, events)."""
    edges = np.cumsum(shop.buys, axis=1)[personas]
    drawn = rng.random((len(personas), EVENTS))[:, :, None] * edges[:, None, -1:]
    return np.asarray((drawn >= edges[:, None, :]).sum(axis=2))


def fold_shoppers(
    shop: Shop, personas: Ints, bought: Ints, rng: np.random.Generator, group: str
) -> Customers:
    """Return shoppers who bought these categories (shoppers, events), folded by the pipeline."""
    names, tokenizer = shop.taxonomy.names, Tokenizer(shop.taxonomy)
    ids = [f"{group}-{number}" for number in range(len(personas))]
    bits = rng.integers(0, 2, (*bought.shape, shop.noise))
    deliveries = [
        Delivery.of(tokenizer.tokenize(purchase), PURCHASE, 0, offset)
        for offset, purchase in enumerate(
            Purchase(f"{name}-{event}", name, _START + event * _MINUTE, (make_item(*row),))
            for name, *rows in zip(ids, bought.tolist(), bits.tolist(), strict=True)
            for event, row in enumerate(zip(*rows, strict=True))
        )
    ]
    records = process.apply_events(deliveries, {}, shop.taxonomy, tokenizer).records
    profiles = compute_profiles([records[name].counts for name in ids], shop.taxonomy.features)
    return Customers(ids, [names[persona] for persona in personas.tolist()], profiles)


def make_item(category: int, bits: Sequence[int]) -> Item:
    """Return an item of a category, with an attribute for each bit."""
    noise = {f"noise-{number}": str(bit) for number, bit in enumerate(bits)}
    return Item("item", f"category-{category}/food", None, 3.0, attributes=noise or None)


# --- the shops ---


def even(personas: int) -> Floats:
    """Return equal shares."""
    return np.full(personas, 1.0 / personas)


def separable(personas: int, noise: float) -> Shop:
    """Return a shop of personas that each buy one category, with ``noise`` any of the others."""
    buys = np.full((personas, personas), noise / (personas - 1))
    np.fill_diagonal(buys, 1.0 - noise)
    return Shop(buys, even(personas))


def sharing_half(personas: int = 5, each: int = 4) -> Shop:
    """Return a shop in which half of what each persona buys is bought by all alike."""
    own = np.repeat(np.eye(personas), each, axis=1) / (2 * each)
    return Shop(np.hstack([own, np.full((personas, each), 1.0 / (2 * each))]), even(personas))


def unequal(personas: int = 5, noise: float = 0.2) -> Shop:
    """Return a shop in which each persona has a third of the shoppers that the one before has."""
    shares = 3.0 ** -np.arange(personas)
    return Shop(separable(personas, noise).buys, shares / shares.sum())


def alike(personas: int = 5, categories: int = 10) -> Shop:
    """Return a shop in which all personas buy the same."""
    return Shop(np.full((personas, categories), 1.0 / categories), even(personas))


def mixed(personas: int = 5) -> Shop:
    """Return a shop whose last persona buys what the first two do, one as often as the other."""
    buys = separable(personas - 1, 0.05).buys
    return Shop(np.vstack([buys, buys[:2].mean(axis=0)]), even(personas))


def odd_shops() -> Mapping[str, Shop]:
    """Return shops that are easy to get wrong, by what is odd about them."""
    plain = separable(5, 0.05)
    return {
        "one telling token beside 20 of noise": Shop(np.eye(5), even(5), noise=20),
        "half of the categories shared": sharing_half(),
        "unequal class sizes": unequal(),
        "one persona without labels": Shop(plain.buys, plain.shares, last_labels=0),
        "one persona with a single label": Shop(plain.buys, plain.shares, last_labels=1),
        "all personas alike": alike(),
        "a persona that mixes two others": mixed(),
    }
