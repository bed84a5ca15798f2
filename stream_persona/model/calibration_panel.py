"""The calibration panel: labelled customers on whose records the calibration is measured.

A record keeps no prefixes of its own history, so *pseudo-histories* are drawn from it: each
token's count is thinned to what n' of n events would have left, by a hash of customer and token,
which makes them a pure function of the record. Independent tokens look like more evidence than
real, clumped baskets do; a history thinned to n' is therefore taken as one of a few times n'
events (``HISTORY_FACTOR``), but of the fewer the more of the record is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from stream_persona.domain.features import Profiles
from stream_persona.domain.log_share import compute_log_share
from stream_persona.domain.slots import COARSE_SLOTS
from stream_persona.model.discriminant import Spread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]
    Hashes = NDArray[np.uint64]

#: Sizes of pseudo-histories, in events. A customer has those of one of the pairs, chosen by its
#: hash: two of each lose nothing against six, and are drawn, scored and fitted in a third of the
#: time.
HISTORIES: Final = ((1, 30), (3, 100), (10, 300))
#: A history thinned to n' events is taken as one of so many times n', where n' is a small part of
#: n. Events of clumped baskets vary f times as much as independent ones: shares of the record by
#: f / n, and thinning adds 1 / n' - 1 / n. That is what f / (1 + (f - 1) n' / n) times n' real
#: events would vary by; all of the record is no more than itself.
HISTORY_FACTOR: Final = 4.0
#: That of a history of one event, which says less.
FIRST_FACTOR: Final = 3.0


@dataclass(slots=True)
class Member:
    """A labelled customer of the calibration panel: hash, fold, label, and profile (one row).

    ``drawn`` caches the pseudo-histories.
    """

    key: int
    fold: int
    label: Any
    profile: Profiles
    drawn: Profiles | None = None

    def is_same(self, other: Member) -> bool:
        """Whether the other is the same customer with the same label and profile."""
        mine, yours = self.profile, other.profile
        return self is other or (
            (self.key, self.label) == (other.key, other.label)
            and np.array_equal(mine.events, yours.events)
            and np.array_equal(mine.slots, yours.slots)
            and np.array_equal(mine.shares, yours.shares)
        )


def mix_bits(values: Hashes) -> Hashes:
    """Return 64 well-mixed bits of each value (SplitMix64: Steele, Lea, Flood, OOPSLA 2014)."""
    z = values + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(z ^ (z >> np.uint64(31)))


def draw_histories(member: Member) -> Profiles:
    """Return a member's pseudo-histories, smallest first, and its whole profile last, as rows."""
    if member.drawn is None:
        member.drawn = _draw(member.key, member.profile)
    return member.drawn


def _draw(key: int, profile: Profiles) -> Profiles:
    events, left = float(profile.events[0]), profile.shares[1:] > 0  # all may have decayed
    slots, counts = profile.slots[1:][left], profile.shares[1:][left] * events
    units = np.ceil(counts).astype(np.int64)
    sizes = [size for size in HISTORIES[key % len(HISTORIES)] if size < events]
    rows = []
    if sizes:
        # Mixed by token first: there are ten units of a token, and each has a hash of its own.
        token = mix_bits(np.uint64(key) ^ (slots.astype(np.uint64) << np.uint64(40)))
        starts = np.cumsum(units) - units
        number = np.arange(units.sum()) - np.repeat(starts, units)
        drawn = mix_bits(np.repeat(token, units) + number.astype(np.uint64)) / 2.0**64
        part = np.minimum(np.repeat(counts, units) - number, 1.0)  # the last may be a fraction
        drawn /= part
        for size in sizes:
            left = np.add.reduceat(drawn < size / events, starts, dtype=np.float64)
            rows.append(_make_row(slots, left / size))
    rows.append((profile.slots, profile.shares))
    return _stack(rows, np.array([*(_count_real_events(size, events) for size in sizes), events]))


def _count_real_events(size: int, events: float) -> float:
    """Return the real events as which a history thinned to ``size`` events counts."""
    factor = FIRST_FACTOR if size == 1 else HISTORY_FACTOR
    return factor * size / (1.0 + (factor - 1.0) * size / events)


def _make_row(slots: Ints, shares: Floats) -> tuple[Ints, Floats]:
    kept = shares > 0
    return np.concatenate(([0], slots[kept])), np.concatenate(([1.0], shares[kept]))


def _stack(rows: Sequence[tuple[Ints, Floats]], events: Floats) -> Profiles:
    starts = np.concatenate(([0], np.cumsum([len(slots) for slots, _ in rows])))
    middles = [
        start + np.searchsorted(slots, COARSE_SLOTS)
        for start, (slots, _) in zip(starts[:-1], rows, strict=True)
    ]
    slots = np.concatenate([slots for slots, _ in rows])
    shares = np.concatenate([shares for _, shares in rows])
    return Profiles(starts, np.array(middles), slots, shares, events)


def concatenate(parts: Sequence[Profiles]) -> Profiles:
    """Return the rows of all parts, one after another."""
    ends = np.cumsum([0, *(part.starts[-1] for part in parts)])
    return Profiles(
        np.concatenate([[0], *(p.starts[1:] + e for p, e in zip(parts, ends, strict=False))]),
        np.concatenate([p.middles + e for p, e in zip(parts, ends, strict=False)]),
        np.concatenate([p.slots for p in parts]),
        np.concatenate([p.shares for p in parts]),
        np.concatenate([p.events for p in parts]),
    )


def measure_spread(panel: Sequence[Member], classes: Sequence[Any]) -> Spread | None:
    """Collect the coarse tokens of the panel, in the order of its keys; None of an empty panel."""
    known = sorted((m for m in panel if m.label in classes), key=lambda member: member.key)
    if not known:
        return None
    parts = [(m.profile, slice(1, m.profile.middles[0])) for m in known]
    tokens = [profile.slots[part] for profile, part in parts]
    row = np.repeat(np.arange(len(known)), [len(own) for own in tokens])
    slots, column = np.unique(np.concatenate(tokens), return_inverse=True)
    logs = np.zeros((len(known), len(slots)))
    logs[row, column] = compute_log_share(np.concatenate([p.shares[part] for p, part in parts]))
    personas = np.array([list(classes).index(m.label) for m in known])
    return Spread(slots, logs, personas, np.array([m.fold for m in known]))
