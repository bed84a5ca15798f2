"""Decayed feature state that is order-free: forward decay in integers.

Event time is cut into epochs of 16 half-lives, each into 16 * 1,024 granules. An event adds
``weight * 2**(granule / 1024)``, an integer looked up by its granule, to each of its slots;
addition commutes, so the same events in any order give the same bytes. A record keeps its newest
epoch and the one before; what is older weighs less than 2**-16 and is dropped whenever it
arrives. Decay costs nothing until counts are read. (Forward decay: Cormode, Shkapenyuk,
Srivastava, Xu, "Forward Decay: A Practical Time Decay Model for Streaming Systems", ICDE 2009.)

A *key* is ``section << 16 | slot``: section 0 is the newest epoch, 1 the one before.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import isqrt
from typing import TYPE_CHECKING, Final

import numpy as np
from msgspec import Struct

from stream_persona.domain.grouping import merge_by_key, sum_by_key
from stream_persona.domain.slots import (
    COARSE_SLOTS,
    SLOT_TYPE,
    WEIGHT_TYPE,
    WEIGHT_UNITS,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from stream_persona.domain.taxonomy import Features

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

#: Granules of one half-life, and the bits of a granule's number within its epoch.
GRANULES: Final = 1_024
EPOCH_BITS: Final = 14
#: Half-lives of one epoch: how far an older section is shifted when it is read.
EPOCH_HALF_LIVES: Final = 16
#: The unit of fixed-point numbers that are summed into a model: 2**-20.
SCALE: Final = 1 << 20
#: Most events for which one shopper counts in a model.
MAX_EVENTS: Final = 100.0
#: Epoch of a record without events.
NO_EPOCH: Final = -(1 << 40)

_SECTION = 1 << 16
_KEY_BYTES, _VALUE_BYTES = 4, 8
_UNITS_BITS = 3


@cache
def compute_granule_weights() -> Ints:
    """Compute ``round(8 * 2**(i / 1024)) << whole half-lives`` for an epoch's 16,384 granules.

    Built from integer square roots alone, so that every CPU has the same bits.
    """
    precision = 120
    ratio = 2 << precision
    for _ in range(10):  # 2 ** (1 / 1024)
        ratio = isqrt(ratio << precision)
    first: list[int] = []
    power = 1 << precision
    for _ in range(GRANULES):
        first.append(((power << _UNITS_BITS) + (1 << (precision - 1))) >> precision)
        power = power * ratio >> precision
    halves = np.arange(EPOCH_HALF_LIVES, dtype=np.int64)
    return (np.array(first, dtype=np.int64)[None, :] << halves[:, None]).ravel()


def find_granules(times: Ints, features: Features) -> Ints:
    """Convert event times to granules, counted from the origin; ``>> 14`` is their epoch."""
    return (times - features.origin_ms) * GRANULES // features.half_life_ms


class Counts(Struct, frozen=True, gc=False):
    """One customer's decayed counts: sorted keys and their integer sums, as of ``clock``.

    ``len`` is the number of tokens. Both columns are held as bytes, since many customers' are cut
    and joined at once, and a small array costs ten times what a small bytes object does.
    """

    epoch: int
    clock: int
    key_bytes: bytes
    value_bytes: bytes

    @classmethod
    def empty(cls) -> Counts:
        """Return the counts of a customer without events."""
        return cls(NO_EPOCH, 0, b"", b"")

    @classmethod
    def of(cls, epoch: int, clock: int, keys: NDArray[np.uint32], values: Ints) -> Counts:
        """Make counts of columns as arrays."""
        return cls(epoch, clock, keys.tobytes(), values.tobytes())

    def __len__(self) -> int:
        return len(self.key_bytes) // _KEY_BYTES

    @property
    def keys(self) -> NDArray[np.uint32]:
        """The keys, ascending."""
        return np.frombuffer(self.key_bytes, np.uint32)

    @property
    def values(self) -> Ints:
        """The sums of the keys."""
        return np.frombuffer(self.value_bytes, np.int64)


#: Counts of no events that have a key, as all others have.
_ONE_ZERO: Final = Counts(NO_EPOCH, 0, bytes(_KEY_BYTES), bytes(_VALUE_BYTES))


def sum_all_events(counts: Sequence[Counts]) -> Ints:
    """Sum the events of customers in the units of their epoch: slot 0 of both its sections.

    Over ``compute_granule_weights`` of a granule and ``WEIGHT_UNITS`` it is their effective
    number then.
    """
    filled = [each if each.key_bytes else _ONE_ZERO for each in counts]
    first = np.frombuffer(b"".join([each.key_bytes[:_KEY_BYTES] for each in filled]), np.uint32)
    last = np.frombuffer(b"".join([each.key_bytes[-_KEY_BYTES:] for each in filled]), np.uint32)
    values = np.frombuffer(b"".join([each.value_bytes[:_VALUE_BYTES] for each in filled]), np.int64)
    totals = np.where(first == 0, values, 0)
    for row in np.flatnonzero(last >= _SECTION).tolist():
        keys = filled[row].keys
        middle = int(np.searchsorted(keys, _SECTION))
        if keys[middle] == _SECTION:
            totals[row] += filled[row].values[middle] >> EPOCH_HALF_LIVES
    return totals


def join_columns(counts: Sequence[Counts]) -> tuple[Ints, Ints, Ints]:
    """Return the sizes of counts, and all keys and values, one customer's after another's."""
    sizes = np.array([len(c.key_bytes) for c in counts], np.int64) // _KEY_BYTES
    keys = np.frombuffer(b"".join([c.key_bytes for c in counts]), np.uint32).astype(np.int64)
    values = np.frombuffer(b"".join([c.value_bytes for c in counts]), np.int64)
    return sizes, keys, values


def split_columns(keys: Ints, values: Ints, bounds: Ints) -> Iterator[tuple[bytes, bytes]]:
    """Yield the bytes of both columns, from each of ``bounds`` to the next."""
    low, high = keys.astype(np.uint32).tobytes(), values.tobytes()
    a, b = (bounds * _KEY_BYTES).tolist(), (bounds * _VALUE_BYTES).tolist()
    for i in range(len(bounds) - 1):
        yield low[a[i] : a[i + 1]], high[b[i] : b[i + 1]]


class Observation(Struct, gc=False):
    """One event's tokens, as ``Tokenizer.tokenize`` packs them, for the customer in a ``row``."""

    row: int
    at: int
    slots: bytes
    weights: bytes


def fold(
    counts: Sequence[Counts], observed: Sequence[Observation], features: Features
) -> list[Counts]:
    """Return new counts with the observations added; ``counts`` stay as they are.

    The result is order-free: any order and any split of the observations gives equal counts.
    """
    return fold_counting(counts, observed, features)[0]


def fold_counting(
    counts: Sequence[Counts], observed: Sequence[Observation], features: Features
) -> tuple[list[Counts], int]:
    """Do as ``fold`` does; also count the observations older than two epochs, left out."""
    rows = np.array([o.row for o in observed], np.int64)
    times = np.array([o.at for o in observed], np.int64)
    granules = find_granules(times, features)
    epochs = granules >> EPOCH_BITS
    old = np.array([c.epoch for c in counts], np.int64)
    newest = old.copy()
    np.maximum.at(newest, rows, epochs)
    clocks = np.array([c.clock for c in counts], np.int64)
    np.maximum.at(clocks, rows, times)
    section = newest[rows] - epochs
    keys, values = merge_by_key(
        *_carry_over(counts, newest - old),
        *_sum_observations(observed, rows, section, granules),
    )
    bounds = np.searchsorted(keys, np.arange(len(counts) + 1, dtype=np.int64) << 17)
    parts = split_columns(keys & (2 * _SECTION - 1), values, bounds)
    folded = [
        Counts(epoch, clock, *part)
        for epoch, clock, part in zip(newest.tolist(), clocks.tolist(), parts, strict=True)
    ]
    return folded, int(np.count_nonzero(section > 1))


def _carry_over(counts: Sequence[Counts], shift: Ints) -> tuple[Ints, Ints]:
    """Move what the rows hold to older sections where a newer epoch has begun."""
    sizes, keys, values = join_columns(counts)
    rows = np.repeat(np.arange(len(counts), dtype=np.int64), sizes)
    section = (keys >> 16) + shift[rows]
    keys = rows << 17 | section << 16 | (keys & (_SECTION - 1))
    kept = section <= 1
    return (keys, values) if kept.all() else (keys[kept], values[kept])


def _sum_observations(
    observed: Sequence[Observation], rows: Ints, section: Ints, granules: Ints
) -> tuple[Ints, Ints]:
    """Sum the observations by sorted key; what is older than two epochs is left out."""
    sizes = np.array([len(o.slots) for o in observed], np.int64) // SLOT_TYPE.itemsize
    slots = np.frombuffer(b"".join([o.slots for o in observed]), SLOT_TYPE).astype(np.int64)
    weights = np.frombuffer(b"".join([o.weights for o in observed]), WEIGHT_TYPE)
    base = np.repeat(rows << 17 | section << 16, sizes)
    weight = compute_granule_weights()[granules & ((1 << EPOCH_BITS) - 1)]
    values = weights * np.repeat(weight, sizes)
    kept = np.repeat(section <= 1, sizes)
    return sum_by_key((base | slots)[kept], values[kept])


@dataclass(slots=True)
class Profiles:
    """Decayed counts of several customers, each as of its own clock, in rows one after another.

    ``starts`` (rows + 1), ``middles`` (rows; where a row's fine slots begin), ``slots`` and
    ``shares`` (one per token: q = its count over the number of events), ``events`` (rows: the
    effective number of events n).
    """

    starts: Ints
    middles: Ints
    slots: Ints
    shares: Floats
    events: Floats

    def __len__(self) -> int:
        return len(self.events)

    def select_row(self, i: int) -> Profiles:
        """Return the profile of one customer alone."""
        a, b = self.starts[i], self.starts[i + 1]
        middle = self.middles[i : i + 1] - a
        part = self.slots[a:b], self.shares[a:b], self.events[i : i + 1]
        return Profiles(np.array([0, b - a]), middle, *part)

    def select_rows(self, numbers: Sequence[int]) -> Profiles:
        """Return the profiles of some customers, in this order."""
        of = np.array(numbers, np.int64)
        first, sizes = self.starts[of], self.starts[of + 1] - self.starts[of]
        starts = np.concatenate(([0], np.cumsum(sizes)))
        at = np.arange(starts[-1]) + np.repeat(first - starts[:-1], sizes)
        middles = self.middles[of] - first + starts[:-1]
        return Profiles(starts, middles, self.slots[at], self.shares[at], self.events[of])


def compute_profiles(counts: Sequence[Counts], features: Features) -> Profiles:
    """Decay counts to their clocks: the input of predictions and of contributions to the model."""
    if len(counts) == 1 and (alone := _compute_profile(counts[0], features)) is not None:
        return alone
    sizes, keys, values = join_columns(counts)
    rows = np.repeat(np.arange(len(counts), dtype=np.int64), sizes)
    section = keys >> 16
    keys = rows << 16 | (keys & (_SECTION - 1))
    if section.any():
        keys, values = sum_by_key(keys, values >> (EPOCH_HALF_LIVES * section))
    bounds = np.arange(len(counts) + 1, dtype=np.int64) << 16
    starts = np.searchsorted(keys, bounds)
    middles = np.searchsorted(keys, bounds[:-1] | COARSE_SLOTS)
    clocks = find_granules(np.array([c.clock for c in counts], np.int64), features)
    units = compute_granule_weights()[clocks & ((1 << EPOCH_BITS) - 1)] * WEIGHT_UNITS
    totals = np.zeros(len(counts), np.int64)
    filled = starts[1:] > starts[:-1]
    totals[filled] = values[starts[:-1][filled]]  # slot 0 comes first in its row
    shares = values / np.repeat(np.maximum(totals, 1), starts[1:] - starts[:-1])
    return Profiles(starts, middles, keys & (_SECTION - 1), shares, totals / units)


def _compute_profile(counts: Counts, features: Features) -> Profiles | None:
    """As ``compute_profiles``, of one customer with one section: a third of the calls of numpy."""
    keys, values = counts.keys.astype(np.int64), counts.values
    if not len(keys) or keys[-1] >= _SECTION:
        return None
    granule = (counts.clock - features.origin_ms) * GRANULES // features.half_life_ms
    unit = compute_granule_weights()[granule & ((1 << EPOCH_BITS) - 1)] * WEIGHT_UNITS
    starts, middles = np.array([0, len(keys)]), keys.searchsorted([COARSE_SLOTS])
    return Profiles(starts, middles, keys, values / np.maximum(values[0], 1), values[:1] / unit)
