"""The tokens that are shown always: those that the team wrote itself, and closed vocabularies."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final, get_args

from stream_persona.domain.binning import (
    HOURS,
    WEEKDAYS,
    find_price_band,
    find_quantity_band,
    find_size_band,
    split_values,
)
from stream_persona.domain.events import Action
from stream_persona.domain.slots import SlotCache
from stream_persona.domain.token_names import Name, TokenNames

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from stream_persona.domain.taxonomy import Taxonomy

#: Powers of two among which those of all prices are that one meets, in any currency.
_PRICES: Final = range(-8, 64)
_COUNTS: Final = range(32)


class OfTaxonomy:
    """A taxonomy as the key of a cache: equal where its content is."""

    def __init__(self, taxonomy: Taxonomy) -> None:
        self.taxonomy = taxonomy

    def __hash__(self) -> int:
        return hash(self.taxonomy.version)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OfTaxonomy) and self.taxonomy.version == other.taxonomy.version


class _Collected(TokenNames):
    """Finds every token that a cache of slots asks for."""

    def note(self, name: Name) -> bool:
        self.found.append(name)
        return False


def find_public_names(taxonomy: Taxonomy) -> Mapping[int, Mapping[str, str]]:
    """Return the tokens of a taxonomy that are shown always, and how, by slot."""
    return _compute(OfTaxonomy(taxonomy))


@lru_cache(maxsize=16)
def _compute(of: OfTaxonomy) -> Mapping[int, Mapping[str, str]]:
    names = _Collected()
    slots = SlotCache(of.taxonomy.features, names)
    for field, value in _list_values(of.taxonomy):
        slots.find(field, value)
    by_slot: dict[int, dict[str, str]] = {}
    for slot, token, display in names.take_found():
        by_slot.setdefault(slot, {}).setdefault(token, display)
    return by_slot


def _list_values(taxonomy: Taxonomy) -> Iterator[tuple[str, str]]:
    for persona in taxonomy.personas:
        for feature, values in persona.seeds.items():
            for value in values:
                separator = taxonomy.features.category_separator
                yield from ((feature, each) for each in split_values(feature, value, separator))
    fields = frozenset(taxonomy.features.fields)
    yield from ((field, value) for field, value in _list_closed_values() if field in fields)
    if "action" in fields:
        yield from (("action", action) for action in taxonomy.signals.engagement)


def _list_closed_values() -> Iterator[tuple[str, str]]:
    yield from (("hour", hour) for hour in HOURS)
    yield from (("weekday", day) for day in WEEKDAYS)
    yield from (("price", find_price_band(2.0**power)) for power in _PRICES)
    yield from (("quantity", find_quantity_band(2.0**power)) for power in _COUNTS)
    yield from (("quantity", find_quantity_band(float(few))) for few in range(1, 9))
    yield from (("basket_size", find_size_band(1 << power)) for power in _COUNTS)
    yield from (("action", action) for action in get_args(Action))
