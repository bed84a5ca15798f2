"""What is bought together: the products that go with each product, and how much each counts."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Partners:
    """By position; ``unknown`` is the number of those that are in no row of the catalogue."""

    ends: NDArray[np.int64]
    positions: NDArray[np.int32]
    weights: NDArray[np.float32]
    unknown: int

    def find(self, position: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return the products that go with one, each once, and their weights."""
        start = int(self.ends[position - 1]) if position else 0
        own = slice(start, int(self.ends[position]))
        return self.positions[own], self.weights[own]


class PartnersBuilder:
    """Collects the partners of rows, which may be named before their own rows come."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}
        self._named, self._counts = array("i"), array("i")
        self._weights = array("f")

    def add(self, partners: Sequence[tuple[str, float]]) -> None:
        """Add those of the next row; one that is named twice counts once."""
        codes = self._codes
        own = dict(reversed(partners))  # the first one counts
        self._counts.append(len(own))
        for name, weight in own.items():
            self._named.append(codes.setdefault(name, len(codes)))
            self._weights.append(weight)

    def build(self, positions: Mapping[str, int], position_of_row: NDArray[np.int32]) -> Partners:
        """Build them, by the products' positions."""
        known = np.array([positions.get(name, -1) for name in self._codes], np.int32)
        partner = known[np.array(self._named, np.int32)]
        own = np.repeat(position_of_row, np.array(self._counts, np.int32))
        kept = np.flatnonzero((partner >= 0) & (partner != own))
        kept = kept[np.argsort(own[kept], kind="stable")]
        return Partners(
            ends=np.cumsum(np.bincount(own[kept], minlength=len(position_of_row))),
            positions=partner[kept],
            weights=np.array(self._weights, np.float32)[kept],
            unknown=int(np.count_nonzero(partner < 0)),
        )
