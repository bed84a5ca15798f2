"""A shopper's own tastes, from the record: the decayed shares of the categories and types it holds.

A record holds hashed slots, and not of which feature they are. So its *tastes* are the greatest
shares among all slots in which a category or a product type may be counted: but for the slots of
closed vocabularies (hours, prices, actions), which are known from the taxonomy. What else is among
them, brands say, costs a few bytes and is never asked for. They are a pure function of the counts,
as of the record's own clock: equal for the same events in any order, and gone with a deletion.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from stream_persona.domain.binning import canonicalize_field
from stream_persona.domain.features import compute_profiles
from stream_persona.domain.public_names import OfTaxonomy, find_public_names
from stream_persona.domain.slots import COARSE_SLOTS, EVENTS, SLOTS, is_fine, make_fine
from stream_persona.domain.taste_bytes import (
    FEATURES,
    MOST_TASTES,
    MOST_UNITS,
    UNITS,
    encode_tastes,
    find_level,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from stream_persona.domain.features import Counts, Profiles
    from stream_persona.domain.taxonomy import Taxonomy

    Ints = NDArray[np.int64]

_LEVELS: Final = np.array([find_level(units) for units in range(MOST_UNITS + 1)], np.uint8)
_PREFIXES: Final = tuple(f"{feature}:" for feature in FEATURES)


def encode_all_tastes(counts: Mapping[str, Counts], taxonomy: Taxonomy) -> dict[str, bytes | None]:
    """Encode the tastes of customers by their counts; None for one without events."""
    if not counts:
        return {}
    profiles = compute_profiles(list(counts.values()), taxonomy.features)
    strongest = _find_strongest(profiles, may_be_taste(taxonomy))
    ends = np.searchsorted(strongest >> 32, np.arange(len(profiles) + 1)).tolist()
    slots = (strongest >> 16 & MOST_UNITS).astype(">u2").tobytes()
    levels = _LEVELS[strongest & MOST_UNITS].tobytes()
    rows = zip(counts, profiles.events.tolist(), pairwise(ends), strict=True)
    return {
        customer: (
            encode_tastes(customer, taxonomy.version, events, slots[2 * a : 2 * b], levels[a:b])
            if events > 0
            else None
        )
        for customer, events, (a, b) in rows
    }


def _find_strongest(profiles: Profiles, may_be: NDArray[np.bool_]) -> Ints:
    """Return the greatest shares of each row, packed as ``row << 32 | slot << 16 | units``.

    Packed, since sorting numbers takes a fraction of what sorting several columns does.
    """
    rows = np.repeat(np.arange(len(profiles)), np.diff(profiles.starts))
    units = np.minimum(profiles.shares * UNITS, MOST_UNITS).astype(np.int64)
    kept = may_be[profiles.slots] & (units > 0)
    packed = rows[kept] << 32 | (MOST_UNITS - units[kept]) << 16 | profiles.slots[kept]
    packed.sort()
    own = packed >> 32
    place = np.arange(len(packed)) - np.searchsorted(own, np.arange(len(profiles)))[own]
    packed = packed[place < MOST_TASTES]
    rows, units, slots = packed >> 32, MOST_UNITS - (packed >> 16 & MOST_UNITS), packed & MOST_UNITS
    strongest: Ints = np.sort(rows << 32 | slots << 16 | units)
    return strongest


def list_taste_features(taxonomy: Taxonomy) -> tuple[str, ...]:
    """Return the features that are tastes, of those that a taxonomy counts."""
    fields = frozenset(map(canonicalize_field, taxonomy.features.fields))
    return tuple(
        feature for feature in FEATURES if feature in fields or feature.partition(".")[0] in fields
    )


def may_be_taste(taxonomy: Taxonomy) -> NDArray[np.bool_]:
    """Return for each slot whether tastes are looked for in it."""
    return _compute(OfTaxonomy(taxonomy))


@lru_cache(maxsize=16)
def _compute(of: OfTaxonomy) -> NDArray[np.bool_]:
    fine = make_fine(of.taxonomy.features)
    may_be = np.zeros(SLOTS, np.bool_)
    for feature in list_taste_features(of.taxonomy):
        own = slice(COARSE_SLOTS, SLOTS) if is_fine(feature, fine) else slice(0, COARSE_SLOTS)
        may_be[own] = True
    may_be[EVENTS] = False
    for slot, tokens in find_public_names(of.taxonomy).items():
        if not any(token.startswith(_PREFIXES) for token in tokens):
            may_be[slot] = False
    return may_be
