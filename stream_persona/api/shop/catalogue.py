"""A catalogue in memory: products by falling popularity, and how they are found.

A product's *position* is its place by popularity, from 0; equally popular ones stay in the order of
the file. A product is kept as its JSON, in one buffer with all others, since answers are JSON. With
its words, its features and five neighbours a product of 140 bytes of JSON takes about 1.2 KB, and
the largest that ``products`` and ``builder`` let in some 50 KB.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from stream_persona.domain.binning import list_levels
from stream_persona.domain.text import fold_text, split_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from stream_persona.api.shop.features import ProductFeatures
    from stream_persona.api.shop.partners import Partners
    from stream_persona.api.shop.postings import Postings

#: A search for a single letter, which is no word.
_LETTER: Final = re.compile(r"\W*(\w)\W*")


@dataclass(frozen=True)
class Facts:
    """What was read of a catalogue's file, and what was not.

    ``categories`` are the top levels, as they are spelled first, with their products; ``skipped``
    are the rows that were left out, by reason.
    """

    products: int
    categories: Mapping[str, int]
    skipped: Mapping[str, int]
    without_popularity: int
    unknown_partners: int


#: Without a catalogue.
NOTHING: Final = Facts(0, {}, {}, 0, 0)


@dataclass(frozen=True, eq=False)
class Catalogue:
    """Products by position, and their indexes. It never changes."""

    facts: Facts
    #: The products' positions by their ids.
    positions: Mapping[str, int]
    scores: NDArray[np.float64]
    features: ProductFeatures
    separator: str
    content: bytes
    bounds: NDArray[np.int64]
    words: Postings
    levels: Postings
    partners: Partners

    def __len__(self) -> int:
        return len(self.scores)

    def encode_item(self, position: int, score: float | None = None) -> bytes:
        """Return a product as JSON, with a score: that of its popularity, where none is given."""
        start, end = self.bounds[position].tolist()
        shown = float(self.scores[position]) if score is None else score
        return self.content[start : end - 1] + b',"score":%s}' % repr(shown).encode()

    def decode_item(self, position: int) -> dict[str, Any]:
        """Return a product as rankings take it."""
        found: dict[str, Any] = msgspec.json.decode(self.encode_item(position))
        return found

    def search(self, query: str, category: str) -> NDArray[np.int32]:
        """Return the positions of what a search finds: all, for no words and no category.

        A product has all words of the query in its title, its category or its brand; the last one
        may be the beginning of a word. It is of the category, or of one below it.
        """
        kept = np.ones(len(self), np.bool_)
        if category.strip():
            path = list_levels(category, self.separator)[-1:]
            kept &= self._mark(self.levels.find(path[0]) if path else ())
        if query.strip():
            *whole, last = _split(query)
            for word in whole:
                kept &= self._mark(self.words.find(word))
            kept &= self._mark(self.words.find_prefix(last) if last else ())
        return np.flatnonzero(kept).astype(np.int32)

    def find_together(self, given: Sequence[int]) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Return what is bought with products, by falling sums of weights, and these sums."""
        votes = np.zeros(len(self))
        for position in dict.fromkeys(given):
            partners, weights = self.partners.find(position)
            votes[partners] += weights
        votes[list(given)] = 0.0
        found = np.flatnonzero(votes)
        found = found[np.argsort(-votes[found], kind="stable")]
        return found.astype(np.int32), votes[found]

    def _mark(self, positions: Iterable[int]) -> NDArray[np.bool_]:
        marked = np.zeros(len(self), np.bool_)
        marked[np.asarray(positions, np.int32)] = True
        return marked


def _split(query: str) -> list[str]:
    """Return the words of a query; a single letter is the beginning of one. Never empty."""
    if found := split_words(query):
        return found
    letter = _LETTER.fullmatch(fold_text(query))
    return [letter[1] if letter else ""]
