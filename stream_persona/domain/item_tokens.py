"""The tokens of items, as bought or looked at, and of free attributes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from stream_persona.domain.binning import (
    LEAST_PRICE,
    MAX_LEVELS,
    canonicalize_field,
    find_price_band,
    find_quantity_band,
    split_shown_levels,
)

if TYPE_CHECKING:
    from stream_persona.domain.events import Item
    from stream_persona.domain.slots import SlotCache
    from stream_persona.domain.taxonomy import Features
    from stream_persona.domain.token_names import TokenNames

#: What stands for the powers of two of all prices below the least.
_CHEAP: Final = -2
#: Most tokens of an item besides its attributes: product, levels, brand, price and quantity.
MOST_ITEM_TOKENS: Final = MAX_LEVELS + 4


class ItemTokens:
    """Finds the packed slots of items and attributes; a name that is not settled is not cached."""

    def __init__(self, features: Features, slots: SlotCache, names: TokenNames) -> None:
        self._slots = slots
        self._names = names
        self._fields = frozenset(map(canonicalize_field, features.fields))
        self._separator = features.category_separator
        # Of every item: to look a field up, and then its cache, would take as long again.
        self._products, self._brands = map(slots.get_field_cache, ("product", "brand"))
        self._has_category, self._has_price, self._has_quantity = (
            field in self._fields for field in ("category", "price", "quantity")
        )
        self._attributes: dict[str, dict[str, bytes]] = slots.derive()
        self._categories: dict[str, bytes] = slots.derive()
        self._used: dict[str, bool] = slots.derive()
        self._prices: dict[int, bytes] = {}
        self._quantities: dict[int, bytes] = {}

    def add(self, item: Item, slots: list[bytes]) -> None:
        """Add an item's slots; a call for each token, to find it, would take most of the time."""
        if item.attributes:
            self.add_attributes(item.attributes, slots)
        if self._products is not None:
            slot = self._products.get(item.product_id)
            slots.append(slot or self._slots.compute("product", item.product_id))
        if self._has_category and item.category:
            known = self._categories.get(item.category)
            slots.append(self._cache_category(item.category) if known is None else known)
        if self._brands is not None and item.brand:
            slots.append(self._brands.get(item.brand) or self._slots.compute("brand", item.brand))
        if self._has_price and item.price is not None:
            power = math.frexp(item.price)[1] if item.price >= LEAST_PRICE else _CHEAP
            slots.append(self._prices.get(power) or self._cache_price(power, item.price))
        if self._has_quantity:
            power = math.frexp(item.quantity)[1] if item.quantity >= 1 else 1
            slots.append(self._quantities.get(power) or self._cache_quantity(power, item.quantity))

    def _cache_price(self, power: int, price: float) -> bytes:
        found = self._prices[power] = self._slots.find("price", find_price_band(price))
        return found

    def _cache_quantity(self, power: int, quantity: float) -> bytes:
        found = self._quantities[power] = self._slots.find("quantity", find_quantity_band(quantity))
        return found

    def _cache_category(self, category: str) -> bytes:
        def join_levels() -> bytes:
            paths = split_shown_levels(category, self._separator)
            return b"".join([self._slots.find("category", path) for path in paths])

        return self._slots.find_joined(self._categories, "category", category, join_levels)

    def add_attributes(self, attributes: dict[str, str], slots: list[bytes]) -> None:
        """Add the slots of attributes."""
        for key, value in attributes.items():
            cache = self._attributes.get(key)
            slot = None if cache is None else cache.get(value)
            slots.append(self._cache_attribute(key, value) if slot is None else slot)

    def _cache_attribute(self, key: str, value: str) -> bytes:
        """Compute the slot of an attribute: no bytes if the taxonomy does not use it."""
        field = f"attributes.{key}"
        used = self._used.get(key)
        if used is None:
            used = "attributes" in self._fields or canonicalize_field(field) in self._fields
            if self._slots.has_room(field, ""):
                self._used[key] = used
        known = len(self._names.found)
        found = self._slots.find(field, value) if used else b""
        if len(self._names.found) == known and self._slots.has_room(field, value):
            self._attributes.setdefault(key, {})[value] = found
        return found
