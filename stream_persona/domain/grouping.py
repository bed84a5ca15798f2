"""Columns of keys and whole numbers: summed by key, and merged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]


def find_runs(keys: Ints) -> tuple[Ints, Ints]:
    """Return the order that sorts keys, and where in it each distinct one begins."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    begins = np.concatenate(([True], ordered[1:] != ordered[:-1]))[: len(keys)]
    return order, np.flatnonzero(begins)


def sum_by_key(keys: Ints, values: Ints) -> tuple[Ints, Ints]:
    """Return the sorted distinct keys and the sums of their values.

    >>> [column.tolist() for column in sum_by_key(np.array([3, 1, 3]), np.array([10, 20, 30]))]
    [[1, 3], [20, 40]]
    """
    order, starts = find_runs(keys)
    return keys[order[starts]], np.add.reduceat(values[order], starts)


def merge_by_key(keys: Ints, values: Ints, added: Ints, amounts: Ints) -> tuple[Ints, Ints]:
    """Merge two sorted runs of distinct keys; the values of equal keys are added.

    Values run along the last axis. Neither run is changed in place.
    """
    at = np.searchsorted(keys, added)
    known = np.zeros(len(added), bool)
    inside = at < len(keys)
    known[inside] = keys[at[inside]] == added[inside]
    values = values.copy()
    values[..., at[known]] += amounts[..., known]
    fresh = ~known
    return (
        np.insert(keys, at[fresh], added[fresh]),
        np.insert(values, at[fresh], amounts[..., fresh], axis=-1),
    )
