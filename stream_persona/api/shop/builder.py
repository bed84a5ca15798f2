"""Builds a catalogue of a file's rows."""

from __future__ import annotations

from array import array
from collections import Counter
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Final

import numpy as np

from stream_persona.api.shop.catalogue import Catalogue, Facts
from stream_persona.api.shop.features import FeaturesBuilder
from stream_persona.api.shop.partners import PartnersBuilder
from stream_persona.api.shop.postings import PostingsBuilder
from stream_persona.api.shop.products import MOST_BYTES, REASONS, Product, RowError, read_product
from stream_persona.client.ranking import tokenize_item
from stream_persona.domain.binning import list_levels, split_shown_levels
from stream_persona.domain.events import encode
from stream_persona.domain.text import split_all_words

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Most products of a catalogue.
MOST_PRODUCTS: Final = 1_000_000
#: Most distinct words by which a product is found.
MOST_WORDS: Final = 64


class CatalogueBuilder:
    """Takes rows one after another. ``separator`` is that of the levels of categories."""

    def __init__(self, separator: str) -> None:
        self._separator = separator
        self._skipped = dict.fromkeys(REASONS, 0)
        self._content = bytearray()
        self._ends = array("q")
        self._popularity = array("d")
        self._without_popularity = 0
        self._rows: dict[str, int] = {}
        self._words, self._levels = PostingsBuilder(), PostingsBuilder()
        self._features, self._partners = FeaturesBuilder(), PartnersBuilder()
        self._top: Counter[str] = Counter()
        self._spelled: dict[str, str] = {}

    def add(self, row: bytes) -> None:
        """Add a row, or count why it is left out."""
        try:
            self._add(read_product(row))
        except RowError as error:
            self._skipped[error.reason] += 1

    def _add(self, product: Product) -> None:
        content, row = encode(product.item), len(self._rows)
        if len(content) > MOST_BYTES:
            raise RowError("too_large")
        if product.product_id in self._rows:
            raise RowError("duplicate")
        if row >= MOST_PRODUCTS:
            raise RowError("too_many")
        self._rows[product.product_id] = row
        self._content += content
        self._ends.append(len(self._content))
        self._popularity.append(product.popularity or 0.0)
        self._without_popularity += product.popularity is None
        self._words.add(row, islice(dict.fromkeys(_list_words(product)), MOST_WORDS))
        self._add_category(row, product.category or "")
        self._features.add(row, tokenize_item(product.item, self._separator))
        self._partners.add(product.bought_with)

    def _add_category(self, row: int, category: str) -> None:
        found = _find_levels(category, self._separator)
        self._levels.add(row, found)
        if found:
            self._top[found[0]] += 1
            if found[0] not in self._spelled:
                self._spelled[found[0]] = split_shown_levels(category, self._separator)[0]

    @property
    def skipped(self) -> dict[str, int]:
        """The rows that were left out, by reason, of those that there were."""
        return {reason: count for reason, count in self._skipped.items() if count}

    def build(self) -> Catalogue:
        """Build the catalogue of what was added; the builder is used up."""
        popularity = np.array(self._popularity)
        order = np.argsort(-popularity, kind="stable")
        position = np.empty(len(order), np.int32)
        position[order] = np.arange(len(order), dtype=np.int32)
        ends = np.array(self._ends, np.int64)
        bounds = np.stack([np.concatenate([[0], ends])[:-1], ends], axis=1)
        scores = popularity[order]
        if not scores.any():  # as a ranking takes items without scores
            scores = 1.0 / np.arange(1, len(order) + 1)
        positions = dict(zip(self._rows, position.tolist(), strict=True))
        partners = self._partners.build(positions, position)
        return Catalogue(
            facts=self._describe(partners.unknown),
            positions=positions,
            scores=scores,
            features=self._features.build(position),
            separator=self._separator,
            content=bytes(self._content),
            bounds=bounds[order],
            words=self._words.build(position),
            levels=self._levels.build(position),
            partners=partners,
        )

    def _describe(self, unknown_partners: int) -> Facts:
        top = sorted(self._top.items(), key=lambda each: (-each[1], each[0]))
        return Facts(
            products=len(self._rows),
            categories={self._spelled[name]: number for name, number in top},
            skipped=self.skipped,
            without_popularity=self._without_popularity,
            unknown_partners=unknown_partners,
        )


def _list_words(product: Product) -> Iterator[str]:
    yield from split_all_words(product.title)
    yield from _split_words(product.category or "")
    yield from _split_words(product.brand or "")


# Categories and brands repeat themselves.
@lru_cache(maxsize=4_096)
def _find_levels(category: str, separator: str) -> tuple[str, ...]:
    return tuple(list_levels(category, separator))


@lru_cache(maxsize=4_096)
def _split_words(text: str) -> tuple[str, ...]:
    return tuple(split_all_words(text))
