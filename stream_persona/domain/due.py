"""What ends of a customer's record while nothing comes: an assignment, and evidence for a name.

An assignment ends at its ``expires_at``. Evidence fades at the instant at which the effective
number of events, decayed from the record's own clock, falls below ``policy.min_evidence``: from
then on no persona may be named. Both are functions of the record, in integers and so the same on
every machine; which of them is over depends on the time that has passed, and never on when a worker
happened to look. So records that are folded in any order, by any workers, and advanced to one
``now`` have the same bytes.

What has ended stays ended, also by a clock that is behind: until new events make new evidence, or a
new assignment.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np
from msgspec.structs import replace

from stream_persona.domain.features import (
    EPOCH_BITS,
    EPOCH_HALF_LIVES,
    GRANULES,
    compute_granule_weights,
    find_granules,
    sum_all_events,
)
from stream_persona.domain.slots import WEIGHT_UNITS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stream_persona.domain.features import Counts
    from stream_persona.domain.record import Label, Record
    from stream_persona.domain.taxonomy import Features, Taxonomy

_EPOCH: Final = 1 << EPOCH_BITS
#: Epochs after which nothing is left of a sum, as when a later event is folded.
_GONE: Final = 2
_FINEST: Final = 1_000_000
#: More events than any customer has.
_UNREACHABLE: Final = 1e9


def find_all_due(records: Mapping[str, Record], taxonomy: Taxonomy) -> dict[str, int | None]:
    """Find the next instant (epoch ms) at which something of each record ends, if there is any.

    It may lie in the past: then it has not been done yet.
    """
    fading = find_fading([record.counts for record in records.values()], taxonomy)
    return {
        name: _find_first(_find_end(record.label), fades if fades != record.faded_at else 0)
        if record.label is not None or record.faded_at
        else fades or None
        for (name, record), fades in zip(records.items(), fading, strict=True)
    }


def advance(record: Record, now: int, taxonomy: Taxonomy) -> Record:
    """Return the record with all done that was due by ``now`` (epoch ms): itself if nothing was."""
    return advance_all({"": record}, now, taxonomy)[""]


def advance_all(records: Mapping[str, Record], now: int, taxonomy: Taxonomy) -> dict[str, Record]:
    """Do as ``advance`` does for many customers at once."""
    fading = find_fading([record.counts for record in records.values()], taxonomy)
    return {
        name: _advance(record, now, fades)
        if record.label is not None or record.faded_at or 0 < fades <= now
        else record
        for (name, record), fades in zip(records.items(), fading, strict=True)
    }


def find_fading(counts: Sequence[Counts], taxonomy: Taxonomy) -> list[int]:
    """Find when (epoch ms) the evidence of each customer falls below ``policy.min_evidence``.

    0 where it never does, or is below it as of the customer's own clock already.
    """
    if not counts or not 0 < taxonomy.policy.min_evidence < _UNREACHABLE:
        return [0] * len(counts)
    numerator, denominator = _as_fraction(taxonomy.policy.min_evidence)
    features, weights, units = (
        taxonomy.features,
        compute_granule_weights(),
        numerator * WEIGHT_UNITS,
    )
    # In a granule there is too little if total / (weight * WEIGHT_UNITS) < numerator / denominator:
    # from the first one on that weighs more than ``enough``. Beyond the greatest weight all are
    # alike, and so are totals that are that large: their products fit into 64 bits.
    most = int(weights[-1]) * units // denominator + units
    totals = sum_all_events(counts)
    enough = np.minimum(totals, most) * denominator // units
    later = np.minimum(totals >> EPOCH_HALF_LIVES, most) * denominator // units
    clocks = find_granules(np.array([each.clock for each in counts], np.int64), features)
    starts = clocks & -_EPOCH
    here = np.searchsorted(weights, enough, "right")
    there = np.searchsorted(weights, later, "right")
    ends = starts + np.where(here < _EPOCH, here, _EPOCH + there)
    times = features.origin_ms - (-ends * features.half_life_ms // GRANULES)
    return np.where(weights[clocks - starts] <= enough, times, 0).tolist()  # type: ignore[no-any-return]


def decay_evidence(counts: Counts, at: int, features: Features) -> float:
    """Decay a customer's effective number of events to ``at``, not earlier than its own clock.

    It is the number that ``compute_profiles`` gives after an event at that time that counts for
    nothing.
    """
    granule = (at - features.origin_ms) * GRANULES // features.half_life_ms
    passed = (granule >> EPOCH_BITS) - counts.epoch
    total = int(sum_all_events([counts])[0])
    total = total >> EPOCH_HALF_LIVES * passed if passed < _GONE else 0
    return total / (int(compute_granule_weights()[granule & (_EPOCH - 1)]) * WEIGHT_UNITS)


@cache
def _as_fraction(number: float) -> tuple[int, int]:
    """Return the number as it is written, to a millionth: 0.1 as a tenth, unlike its bits."""
    written = Fraction(repr(number)).limit_denominator(_FINEST)
    return max(written, Fraction(1, _FINEST)).as_integer_ratio()


def _find_end(label: Label | None) -> int:
    """Find when an assignment ends that has not ended yet; 0: never, as of a withdrawal."""
    if label is None or label.ended or label.persona is None:
        return 0
    return label.expires_at or 0


def _find_first(*times: int) -> int | None:
    return min((time for time in times if time), default=None)


def _advance(record: Record, now: int, fades: int) -> Record:
    """Do what was due by ``now``; what had faded by a clock that is ahead of it stays so."""
    label = record.label
    if label is not None and 0 < _find_end(label) <= now:
        label = replace(label, ended=True)
    faded_at = fades if fades <= max(now, record.faded_at) else 0
    if label is record.label and faded_at == record.faded_at:
        return record
    return replace(record, label=label, faded_at=faded_at)
