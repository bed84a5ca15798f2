"""Additive sums over labelled customers, in exact integers: the state of the classifier.

Each labelled customer contributes once, as a bounded profile in units of 2**-20. Integers make
addition associative: order, split and merge leave no trace, and subtraction is exact. Sums are
kept apart by fold (a hash of the customer), so that a customer can be scored by a model that does
not include it: the whole minus its own fold.
"""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from stream_persona.domain.features import MAX_EVENTS, SCALE, Profiles
from stream_persona.domain.grouping import find_runs, merge_by_key
from stream_persona.domain.log_share import compute_log_share

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

#: Folds for cross-fitting.
FOLDS: Final = 5
#: The hash of a customer: its fold, its place in the calibration panel, its pseudo-histories.
KEY_BYTES: Final = 8
#: The five sums of a token: customers that have it; e and its square; p and its square.
COUNT, E, E2, P, P2 = range(5)
_MOMENTS: Final = 5
_SLOT_BITS = 16
_CLASS_SHIFT = 24
#: Contributed tokens that may be pending before they are summed up.
_MAX_PENDING = 200_000
_NO_NAMES: Final[Mapping[Any, Any]] = {}


@dataclass(slots=True)
class Contribution:
    """What one labelled customer adds to the sums: sorted slots, five integers for each."""

    fold: int
    events: int
    slots: Ints
    moments: Ints  # (5, slots)


def hash_customer(customer_id: str) -> int:
    """Return 64 bits of a hash of a customer id."""
    return int.from_bytes(hashlib.blake2b(customer_id.encode(), digest_size=KEY_BYTES).digest())


def make_contribution(profile: Profiles, fold: int = 0) -> Contribution:
    """Return the contribution of a profile of one row."""
    return Contributions.of(profile, [fold]).split_rows()[0]


@dataclass(slots=True)
class Contributions:
    """What many labelled customers add, in columns: an object for each would cost too much.

    ``folds``, ``events`` and ``sizes`` (rows), ``slots`` (tokens), ``moments`` (5, tokens).
    """

    folds: Ints
    events: Ints
    sizes: Ints
    slots: Ints
    moments: Ints

    @classmethod
    def of(cls, profiles: Profiles, folds: Sequence[int]) -> Self:
        """Make the contribution of each row of profiles.

        With q the share of a token and n the events: e = q * min(n, 100), p = log(1 + 200 q).
        """
        sizes = np.diff(profiles.starts)
        tokens = np.ones(len(profiles.slots), bool)
        tokens[profiles.starts[:-1][sizes > 0]] = False  # slot 0 counts the events themselves
        shares, own = profiles.shares[tokens], np.maximum(sizes - 1, 0)
        events = np.minimum(profiles.events, MAX_EVENTS)
        e = np.rint(shares * np.repeat(events, own) * SCALE).astype(np.int64)
        p = np.rint(compute_log_share(shares) * SCALE).astype(np.int64)
        moments = np.stack([np.ones_like(e), e, e * e // SCALE, p, p * p // SCALE])
        whole = np.rint(events * SCALE).astype(np.int64)
        return cls(np.array(folds, np.int64), whole, own, profiles.slots[tokens], moments)

    @classmethod
    def concatenate(cls, parts: Sequence[Contribution]) -> Self:
        """Put single contributions into columns; ``split_rows`` undoes it."""
        return cls(
            np.array([part.fold for part in parts], np.int64),
            np.array([part.events for part in parts], np.int64),
            np.array([len(part.slots) for part in parts], np.int64),
            np.concatenate([part.slots for part in parts]),
            np.concatenate([part.moments for part in parts], axis=1),
        )

    def split_rows(self) -> list[Contribution]:
        """Return each row on its own."""
        ends = np.concatenate(([0], np.cumsum(self.sizes))).tolist()
        return [
            Contribution(fold, events, self.slots[a:b], self.moments[:, a:b])
            for fold, events, (a, b) in zip(
                self.folds.tolist(), self.events.tolist(), pairwise(ends), strict=True
            )
        ]


@dataclass(slots=True)
class Stacked:
    """Sums of some classes as arrays: C classes, F folds, A tokens that any of them has.

    ``customers`` and ``events`` (F, C), ``slots`` (A,), ``moments`` (5, F, C, A): integers,
    all but ``customers`` and ``moments[COUNT]`` in units of 2**-20.
    """

    customers: Ints
    events: Ints
    slots: Ints
    moments: Ints


class Sums:
    """The sums of all classes; a class ``y`` may be anything with a text of its own."""

    def __init__(self) -> None:
        self._classes: dict[Any, int] = {}
        self._totals = np.zeros((0, FOLDS, 2), np.int64)  # customers and events
        self._keys: Ints = np.empty(0, np.int64)
        self._moments: Ints = np.empty((_MOMENTS, 0), np.int64)
        self._pending: list[tuple[Ints, Ints]] = []
        self._pending_tokens = 0
        self._changed = False

    def add(self, part: Contribution, y: Any, sign: int = 1) -> None:  # noqa: ANN401 - any class
        """Add a contribution of class ``y``; subtract it with ``sign`` -1."""
        number = self._find_class(y)
        self._totals[number, part.fold] += (sign, sign * part.events)
        base = number << _CLASS_SHIFT | part.fold << _SLOT_BITS
        self._enter(base | part.slots, sign * part.moments)

    def add_all(self, parts: Sequence[tuple[Contribution, Any, int]]) -> None:
        """Add many ``(contribution, class, sign)`` at once."""
        if parts:
            rows = Contributions.concatenate([part for part, _, _ in parts])
            self.add_rows(rows, [y for _, y, _ in parts], [sign for _, _, sign in parts])

    def add_rows(self, rows: Contributions, ys: Sequence[Any], signs: Sequence[int]) -> None:
        """Add contributions of the classes ``ys``, each with its sign."""
        numbers, sign = (
            np.array([self._find_class(y) for y in ys], np.int64),
            np.array(signs, np.int64),
        )
        totals = np.stack([sign, sign * rows.events], axis=1)
        np.add.at(self._totals, (numbers, rows.folds), totals)
        bases = np.repeat(numbers << _CLASS_SHIFT | rows.folds << _SLOT_BITS, rows.sizes)
        self._enter(bases | rows.slots, rows.moments * np.repeat(sign, rows.sizes))

    def merge(self, other: Sums, names: Mapping[Any, Any] = _NO_NAMES) -> None:
        """Add another's sums; quick, since they are summed up when they are first read.

        ``names`` are those of its classes that have another one here.
        """
        numbers = np.array([self._find_class(names.get(y, y)) for y in other._classes], np.int64)
        for mine, totals in zip(numbers, other._totals, strict=True):
            self._totals[mine] += totals
        for keys, moments in ((other._keys, other._moments), *other._pending):
            own = numbers[keys >> _CLASS_SHIFT] << _CLASS_SHIFT if len(keys) else keys
            self._append(own | (keys & ((1 << _CLASS_SHIFT) - 1)), moments)

    @property
    def customers(self) -> int:
        """Labelled customers in the sums."""
        return int(self._totals[:, :, 0].sum())

    @property
    def evidence(self) -> int:
        """Events of all labelled customers, at most 100 of each, in units of 2**-20."""
        return int(self._totals[:, :, 1].sum())

    def count_labels(self) -> dict[Any, int]:
        """Count the labelled customers of each class that has any."""
        totals = self._totals[:, :, 0].sum(axis=1).tolist()
        present = [y for y, number in self._classes.items() if totals[number]]
        return {y: totals[self._classes[y]] for y in sorted(present, key=str)}

    def stack(self, classes: Sequence[Any]) -> Stacked:
        """Return the sums of ``classes`` as arrays; zeros for one that was never added."""
        self._settle()
        numbers = [self._classes.get(y, -1) for y in classes]
        column = np.full(len(self._classes) + 1, -1, np.int64)
        column[numbers] = np.arange(len(numbers))
        column[-1] = -1  # the line before wrote here for classes without any sums
        wanted = column[self._keys >> _CLASS_SHIFT]
        keys, moments = self._keys[wanted >= 0], self._moments[:, wanted >= 0]
        slots, position = np.unique(keys & ((1 << _SLOT_BITS) - 1), return_inverse=True)
        fold = keys >> _SLOT_BITS & ((1 << (_CLASS_SHIFT - _SLOT_BITS)) - 1)
        full = np.zeros((_MOMENTS, FOLDS, len(classes), len(slots)), np.int64)
        full[:, fold, wanted[wanted >= 0], position] = moments
        none = np.zeros((1, FOLDS, 2), np.int64)
        totals = np.concatenate([self._totals, none])[numbers]
        return Stacked(totals[:, :, 0].T.copy(), totals[:, :, 1].T.copy(), slots, full)

    def encode_canonically(self) -> bytes:
        """Return bytes that are equal for equal sums, however these came about."""
        self._settle()
        number = self._keys >> _CLASS_SHIFT
        parts: list[bytes] = []
        for y, own in sorted(self._classes.items(), key=lambda item: str(item[0])):
            chosen = number == own
            if not (self._totals[own].any() or chosen.any()):
                continue
            name, keys = str(y).encode(), self._keys[chosen] & ((1 << _CLASS_SHIFT) - 1)
            head = np.array([len(name), len(keys), *self._totals[own].ravel()], "<i8")
            moments = np.ascontiguousarray(self._moments[:, chosen]).astype("<i8")
            parts += [head.tobytes(), name, keys.astype("<i8").tobytes(), moments.tobytes()]
        return b"".join(parts)

    def to_bytes(self) -> bytes:
        """Return the canonical bytes, compressed."""
        return self.compress(self.encode_canonically())

    @staticmethod
    def compress(canonical: bytes) -> bytes:
        """Compress canonical bytes; ``from_bytes`` reads them."""
        return zlib.compress(canonical, 1)

    @staticmethod
    def decompress(blob: bytes) -> bytes | None:
        """Return the canonical bytes of compressed ones; None where they are damaged."""
        try:
            return zlib.decompress(blob)
        except zlib.error:
            return None

    @classmethod
    def from_bytes(cls, blob: bytes) -> Self:
        """Read what ``to_bytes`` wrote; classes are text."""
        raw, at, sums = zlib.decompress(blob), 0, cls()
        while at < len(raw):
            length, count, *totals = np.frombuffer(raw, "<i8", 2 + 2 * FOLDS, at).tolist()
            at += 8 * (2 + 2 * FOLDS)
            number = sums._find_class(raw[at : at + length].decode())
            at += length
            numbers = np.frombuffer(raw, "<i8", (1 + _MOMENTS) * count, at)
            at += 8 * (1 + _MOMENTS) * count
            sums._totals[number] = np.array(totals).reshape(FOLDS, 2)
            numbers = numbers.reshape(1 + _MOMENTS, count)
            sums._enter(numbers[0] | number << _CLASS_SHIFT, numbers[1:])
        return sums

    def _find_class(self, y: Any) -> int:  # noqa: ANN401 - any class
        if y not in self._classes:
            self._classes[y] = len(self._classes)
            self._totals = np.concatenate([self._totals, np.zeros((1, FOLDS, 2), np.int64)])
        return self._classes[y]

    def _enter(self, keys: Ints, moments: Ints) -> None:
        self._append(keys, moments)
        if self._pending_tokens > _MAX_PENDING:
            self._settle()

    def _append(self, keys: Ints, moments: Ints) -> None:
        self._changed = True
        self._pending.append((keys, moments))
        self._pending_tokens += len(keys)

    def _settle(self) -> None:
        """Sum up what is pending; a token that no customer has any more leaves no trace.

        Little is pending beside the sums, so these are not sorted again. They are never changed in
        place either: another thread may be merging them into others.
        """
        if not self._pending:
            return
        keys = np.concatenate([keys for keys, _ in self._pending])
        moments = np.concatenate([moments for _, moments in self._pending], axis=1)
        self._pending, self._pending_tokens = [], 0
        order, starts = find_runs(keys)
        # Row by row: numpy takes longer for all of them at once.
        moments = np.stack([np.add.reduceat(row[order], starts) for row in moments])
        keys, moments = merge_by_key(self._keys, self._moments, keys[order[starts]], moments)
        kept = moments[COUNT] != 0
        if not kept.all():
            keys, moments = keys[kept], np.ascontiguousarray(moments[:, kept])
        self._keys, self._moments = keys, moments
