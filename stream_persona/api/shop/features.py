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
    from collections.abc import Sequence

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
        """``codes`` are of tokens; ``products`` has the position of each group's product."""
        self._tokens = tokens
        self._codes = codes
        self._starts = group_starts
        self._products = products
        self._size = size

    def compute_affinities(self, affinities: Affinities) -> NDArray[np.float32]:
        """Return how each persona likes each product: a row by product, a column by persona."""
        rows, logs = self._find_logs(affinities)
        result = np.ones((self._size, len(affinities.personas)), np.float32)
        if not len(self._starts) or not len(logs):
            return result
        row = rows[self._codes]
        places = np.where(row >= 0, np.arange(len(row), dtype=np.int32), _NONE)
        first = np.minimum.reduceat(places, self._starts)
        has_lift = first != _NONE
        products, chosen = self._products[has_lift], row[first[has_lift]]
        number = np.bincount(products, minlength=self._size)
        root = np.sqrt(np.maximum(number, 1))
        for column in range(logs.shape[1]):
            sums = np.bincount(products, logs[chosen, column], self._size)
            result[:, column] = np.exp(sums / root)
        return result

    def _find_logs(self, affinities: Affinities) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Return the row of each token's logarithms, -1 for none; and the rows."""
        rows = np.full(len(self._tokens), -1, np.int32)
        found: list[Sequence[float]] = []
        for start in range(0, len(self._tokens), _TURN):
            tokens = self._tokens[start : start + _TURN]
            place = {token: start + number for number, token in enumerate(tokens)}
            for token, logs in affinities.find([(token,) for token in tokens]):
                rows[place[token]] = len(found)
                found.append(logs)
            time.sleep(0)
        return rows, np.array(found, np.float64).reshape(len(found), len(affinities.personas))


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
