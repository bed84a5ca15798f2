"""Which products have a key, such as a word of their titles or a level of their categories.

Keys are sorted, and so are the products of each, all in one array: those of all keys that begin
alike are one slice of it.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

#: Comes behind every character.
_LAST = "\U0010ffff"


class Postings:
    """The positions of products by key, ascending; made by ``PostingsBuilder``."""

    def __init__(
        self, keys: list[str], ends: NDArray[np.int64], positions: NDArray[np.int32]
    ) -> None:
        self.keys = keys
        self._ends = ends
        self._positions = positions

    def find(self, key: str) -> NDArray[np.int32]:
        """Return the products that have a key."""
        place = bisect_left(self.keys, key)
        is_there = place < len(self.keys) and self.keys[place] == key
        return self._slice(place, place + is_there)

    def find_prefix(self, prefix: str) -> NDArray[np.int32]:
        """Return the products that have keys which begin so; one may come several times."""
        return self._slice(bisect_left(self.keys, prefix), bisect_left(self.keys, prefix + _LAST))

    def _slice(self, first: int, end: int) -> NDArray[np.int32]:
        start = int(self._ends[first - 1]) if first else 0
        return self._positions[start : int(self._ends[end - 1]) if end > first else start]


class PostingsBuilder:
    """Collects the keys of rows, whose places are known at the end alone."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}
        self._keys, self._rows = array("i"), array("i")

    def add(self, row: int, keys: Iterable[str]) -> None:
        """Add the distinct keys of a row."""
        codes = self._codes
        found = [codes.setdefault(key, len(codes)) for key in keys]
        self._keys.extend(found)
        self._rows.extend([row] * len(found))

    def build(self, position_of_row: NDArray[np.int32]) -> Postings:
        """Build the postings, by the rows' places."""
        keys = sorted(self._codes)
        rank = np.empty(len(keys), np.int32)
        rank[[self._codes[key] for key in keys]] = np.arange(len(keys), dtype=np.int32)
        ranks = rank[np.array(self._keys, np.int32)]
        positions = position_of_row[np.array(self._rows, np.int32)]
        ends = np.cumsum(np.bincount(ranks, minlength=len(keys)))
        return Postings(keys, ends, positions[np.lexsort((positions, ranks))])
