"""From one event to its weighted tokens: what behaviour is made of.

A token is ``field:value`` and depends on its own event alone, so that records can be folded in
any order. Tokens live in a fixed number of hashed slots: frequent, coarse ones in a wide range
of their own, fine ones (products, search words) in the rest. Slot 0 counts the events.
"""

from __future__ import annotations

import hashlib
import math
import re
import unicodedata
from typing import TYPE_CHECKING, Final

from stream_persona.events import (
    MAX_ATTRIBUTES,
    MAX_ITEM_ATTRIBUTES,
    MAX_ITEMS,
    Browse,
    Engagement,
    Purchase,
    event_time,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stream_persona.events import Behaviour, Item
    from stream_persona.taxonomy import Taxonomy

#: Slots of coarse and of fine tokens; a slot is a 16-bit number.
COARSE_SLOTS: Final = 57_344
FINE_SLOTS: Final = 8_192
SLOTS: Final = COARSE_SLOTS + FINE_SLOTS
#: The slot that counts events.
EVENTS: Final = 0

#: Weights of signals are whole multiples of 1 / WEIGHT_UNITS.
WEIGHT_UNITS: Final = 4

#: Most values that the caches of all fields hold together before all are emptied, and most
#: characters of a value that is kept: attributes have any names and any values.
_CACHE = 100_000
_CACHED_LENGTH = 64
#: Most characters of a token's name; the rest of a longer one is not shown.
MAX_NAME: Final = 256
_MAX_LEVELS = 6
_MAX_WORDS = 16
_HOURS = ("0-6", "7-10", "11-13", "14-16", "17-19", "20-21", "22-23")
_HOUR_BAND = tuple(
    next(i for i, band in enumerate(_HOURS) if hour <= int(band.split("-")[1]))
    for hour in range(24)
)
_WORD = re.compile(r"\w{2,32}")
#: Most tokens of an item besides its attributes: product, levels, brand, price and quantity.
_ITEM_TOKENS = _MAX_LEVELS + 4

#: Most tokens of one event: a purchase that is as large as it may be, with its context.
MAX_TOKENS: Final = 4 + MAX_ATTRIBUTES + MAX_ITEM_ATTRIBUTES + MAX_ITEMS * _ITEM_TOKENS


def slot_of(token: str, *, fine: bool) -> int:
    """The slot of a token: the same on every machine."""
    digest = int.from_bytes(hashlib.blake2b(token.encode(), digest_size=8).digest())
    return COARSE_SLOTS + digest % FINE_SLOTS if fine else 1 + digest % (COARSE_SLOTS - 1)


def price_band(price: float) -> str:
    """Bands by powers of two, from ``<0.25`` to ``1024+``."""
    if price < 0.25:  # noqa: PLR2004 - the steps are the definition
        return "<0.25"
    if price >= 1024:  # noqa: PLR2004
        return "1024+"
    low = 2.0 ** (math.frexp(price)[1] - 1)
    return f"{low:g}..{2 * low:g}"


def quantity_band(quantity: float) -> str:
    """``1`` to ``4``, then ``5+``."""
    whole = max(1, int(min(quantity, 5)))
    return "5+" if whole == 5 else str(whole)  # noqa: PLR2004


def size_band(items: int) -> str:
    """Bands of a basket's size by powers of two: ``1``, ``2-3``, ..., ``64+``."""
    low = 1 << min(items.bit_length() - 1, 6)
    return "64+" if low == 64 else "1" if low == 1 else f"{low}-{2 * low - 1}"  # noqa: PLR2004


def words(query: str) -> list[str]:
    """The distinct words of a search, folded to one case and form; at most 16."""
    folded = unicodedata.normalize("NFKC", query).casefold()
    return list(dict.fromkeys(_WORD.findall(folded)))[:_MAX_WORDS]


class Tokenizer:
    """Reads events as a taxonomy says. ``fresh`` collects names of slots seen for the first time.

    It holds caches from values to slots, nothing that predictions depend on.
    """

    def __init__(self, taxonomy: Taxonomy) -> None:
        features = taxonomy.features
        self._signals = taxonomy.signals
        self._fields = frozenset(features.fields)
        self._fine = frozenset(features.fine)
        self._separator = features.category_separator
        self._shift_ms = round(features.timezone_offset_hours * 3_600_000)
        self._slots: dict[str, dict[str, int]] = {}
        self._categories: dict[str, tuple[int, ...]] = {}
        self._cached = 0
        self._names: dict[int, tuple[str, ...]] = {}
        self.fresh: list[tuple[int, str]] = []

    @property
    def names(self) -> Mapping[int, tuple[str, ...]]:
        """Slot -> the tokens seen in it; more than one where two share it."""
        return self._names

    def name(self, slot: int) -> str:
        """The token of a slot, ``a | b`` where two share it, ``slot:17`` where none is known."""
        return " | ".join(self._names.get(slot, (f"slot:{slot}",)))

    def learn_name(self, slot: int, token: str) -> bool:
        """Remember a token's name; False when it is known or the slot shows two already."""
        known = self._names.get(slot, ())
        if token in known or len(known) > 1:
            return False
        self._names[slot] = tuple(sorted((*known, token)))
        return True

    def slot(self, field: str, value: str) -> int:
        """The slot of ``field:value``."""
        cache = self._slots.get(field)
        found = None if cache is None else cache.get(value)
        return self._computed(field, value) if found is None else found

    def _computed(self, field: str, value: str) -> int:
        token = f"{field}:{value}"
        fine = field in self._fine or field.partition(".")[0] in self._fine
        found = slot_of(token, fine=fine)
        name = token if len(token) <= MAX_NAME else f"{token[: MAX_NAME - 1]}…"
        if self.learn_name(found, name):
            self.fresh.append((found, name))
        if self._has_room(field, value):
            self._slots.setdefault(field, {})[value] = found
        return found

    def _has_room(self, field: str, value: str) -> bool:
        """Whether a value may be cached; empties the caches when they are full."""
        if len(field) > _CACHED_LENGTH or len(value) > _CACHED_LENGTH:
            return False
        self._cached += 1
        if self._cached > _CACHE:
            self._slots.clear()
            self._categories.clear()
            self._cached = 1
        return True

    def read(self, event: Behaviour) -> list[tuple[int, int]]:
        """``(slot, weight)`` of every token, the weight in quarters; slot 0 first.

        At most ``MAX_TOKENS``, with repetitions; empty when the taxonomy gives the signal no
        weight.
        """
        if isinstance(event, Purchase):
            return self._purchase(event)
        return self._browse(event) if isinstance(event, Browse) else self._engagement(event)

    def _purchase(self, event: Purchase) -> list[tuple[int, int]]:
        weight = round(WEIGHT_UNITS * self._signals.purchase)
        if not weight:
            return []
        total = weight * len(event.items)
        tokens = [(slot, total) for slot in self._context(event)]
        if "basket_size" in self._fields:
            tokens.append((self.slot("basket_size", size_band(len(event.items))), total))
        for item in event.items:
            tokens += [(slot, weight) for slot in self._item(item)]
        return tokens

    def _browse(self, event: Browse) -> list[tuple[int, int]]:
        weight = round(WEIGHT_UNITS * getattr(self._signals, event.action))
        if not weight:
            return []
        slots = self._context(event)
        if "action" in self._fields:
            slots.append(self.slot("action", event.action))
        if event.product is not None:
            slots += self._item(event.product)
        if event.query and "query" in self._fields:
            slots += [self.slot("query", word) for word in words(event.query)]
        return [(slot, weight) for slot in slots]

    def _engagement(self, event: Engagement) -> list[tuple[int, int]]:
        signals = self._signals
        weight = round(
            WEIGHT_UNITS * signals.engagement.get(event.action, signals.other_engagement)
        )
        if not weight:
            return []
        slots = self._context(event)
        for field, value in (
            ("action", event.action), ("channel", event.channel), ("campaign", event.campaign)
        ):  # fmt: skip
            if value and field in self._fields:
                slots.append(self.slot(field, value))
        return [(slot, weight) for slot in slots]

    def _context(self, event: Behaviour) -> list[int]:
        """The event itself, when it happened, and its free attributes."""
        slots = [EVENTS]
        if "hour" in self._fields or "weekday" in self._fields:
            hours = (event_time(event) + self._shift_ms) // 3_600_000
            if "hour" in self._fields:
                slots.append(self.slot("hour", _HOURS[_HOUR_BAND[hours % 24]]))
            if "weekday" in self._fields:
                day = (hours // 24 + 3) % 7  # 1 January 1970 was a Thursday; 0 is Monday
                slots.append(self.slot("weekday", "weekend" if day > 4 else "weekday"))  # noqa: PLR2004
        return slots + self._attributes(event.attributes)

    def _item(self, item: Item) -> list[int]:
        fields = self._fields
        slots = self._attributes(item.attributes)
        if "product" in fields:
            slots.append(self.slot("product", item.product_id))
        if item.category and "category" in fields:
            slots += self._levels(item.category)
        if item.brand and "brand" in fields:
            slots.append(self.slot("brand", item.brand))
        if item.price is not None and "price" in fields:
            slots.append(self.slot("price", price_band(item.price)))
        if "quantity" in fields:
            slots.append(self.slot("quantity", quantity_band(item.quantity)))
        return slots

    def _levels(self, category: str) -> tuple[int, ...]:
        found = self._categories.get(category)
        if found is None:
            parts = category.split(self._separator, _MAX_LEVELS)[:_MAX_LEVELS]
            paths = [self._separator.join(parts[: i + 1]) for i in range(len(parts))]
            found = tuple(self.slot("category", path) for path in paths)
            if self._has_room("category", category):
                self._categories[category] = found
        return found

    def _attributes(self, attributes: dict[str, str] | None) -> list[int]:
        if not attributes:
            return []
        whole = "attributes" in self._fields
        return [
            self.slot(field, value)
            for field, value in ((f"attributes.{key}", value) for key, value in attributes.items())
            if whole or field in self._fields
        ]
