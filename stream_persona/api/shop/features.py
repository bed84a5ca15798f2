"""The features of all products, and how each persona likes each product.

The arithmetic is that of ``client.ranking``, for all products at once and in single precision: it
chooses what may come first, which is then ranked exactly.
"""

from __future__ import annotations

import time
from array import array
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from stream_persona.client.ranking import Affinities

#: Tokens that are looked up before other threads get their turn.
_TURN: Final = 2_000
#: No place of a token: behind all.
_NONE: Final = np.iinfo(np.int32).max


class ProductFeatures:
    """The tokens of products, in groups, the most specific of a group first."""

    def __init__(
        self,
        tokens: list[str],
        codes: NDArray[np.int32],
        group_starts: NDArray[np.int64],
        products: NDArray[np.int32],
        size: int,
    ) -> None:
        """Take ``codes`` of tokens, and in ``products`` the position of each group's product."""
        self._tokens = tokens
        self._codes = codes
        self._starts = group_starts
        self._products = products
        self._size = size

    def compute_affinities(self, affinities: Affinities) -> NDArray[np.float32]:
        """Return how each persona likes each product: a row by product, a column by persona."""
        known, logs = self._find_logs(affinities)
        result = np.ones((self._size, len(affinities.personas)), np.float32)
        products, rows = self.find_first(known)
        root = np.sqrt(np.maximum(np.bincount(products, minlength=self._size), 1))
        for column in range(len(affinities.personas) if known else 0):
            sums = np.bincount(products, logs[rows, column], self._size)
            result[:, column] = np.exp(sums / root)
        return result

    def find_first(self, known: Mapping[str, int]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Return the products with tokens of ``known``, and the number of each of these tokens.

        Of a group it is the first one that is known, so that a product comes once for each group.
        """
        numbers = np.full(len(self._tokens), -1, np.int32)
        for start in range(0, len(self._tokens), _TURN):
            part = self._tokens[start : start + _TURN]
            numbers[start : start + _TURN] = [known.get(token, -1) for token in part]
            time.sleep(0)
        if not len(self._starts):
            return self._products, numbers[:0]
        number = numbers[self._codes]
        places = np.where(number >= 0, np.arange(len(number), dtype=np.int32), _NONE)
        first = np.minimum.reduceat(places, self._starts)
        is_known = first != _NONE
        return self._products[is_known], number[first[is_known]]

    def _find_logs(self, affinities: Affinities) -> tuple[dict[str, int], NDArray[np.float64]]:
        """Return the tokens that have lifts, each with the row of its logarithms."""
        known: dict[str, int] = {}
        found: list[Sequence[float]] = []
        for start in range(0, len(self._tokens), _TURN):
            part = self._tokens[start : start + _TURN]
            for token, logs in affinities.find([(token,) for token in part]):
                known[token] = len(found)
                found.append(logs)
            time.sleep(0)
        return known, np.array(found, np.float64).reshape(len(found), len(affinities.personas))


class FeaturesBuilder:
    """Collects the features of rows, whose places are known at the end alone."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}
        self._tokens, self._rows = array("i"), array("i")
        self._starts = array("q")

    def add(self, row: int, groups: Sequence[Sequence[str]]) -> None:
        """Add a row's tokens, as ``ranking.tokenize_item`` groups them."""
        codes = self._codes
        for group in groups:
            self._starts.append(len(self._tokens))
            self._rows.append(row)
            self._tokens.extend([codes.setdefault(token, len(codes)) for token in group])

    def build(self, position_of_row: NDArray[np.int32]) -> ProductFeatures:
        """Build the features, by the rows' places."""
        return ProductFeatures(
            list(self._codes),
            np.array(self._tokens, np.int32),
            np.array(self._starts, np.int64),
            position_of_row[np.array(self._rows, np.int32)],
            len(position_of_row),
        )
