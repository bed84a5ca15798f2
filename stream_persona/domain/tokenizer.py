"""From one event to its weighted tokens: what behaviour is made of.

A token is ``field:value`` and depends on its own event alone, so that records can be folded in
any order. Tokens live in a fixed number of hashed slots: frequent, coarse ones in a wide range
of their own, fine ones (products, search words) in the rest. Slot 0 counts the events.
"""

from __future__ import annotations

import hashlib
import math
import sys
from typing import TYPE_CHECKING, Final, get_args

import numpy as np

from stream_persona.domain.binning import (
    MAX_LEVELS,
    levels,
    price_band,
    quantity_band,
    size_band,
    words,
)
from stream_persona.domain.events import (
    MAX_ATTRIBUTES,
    MAX_ITEM_ATTRIBUTES,
    MAX_ITEMS,
    Action,
    Browse,
    Engagement,
    Purchase,
    TokenizedEvent,
    milliseconds,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stream_persona.domain.events import Behaviour, Item
    from stream_persona.domain.taxonomy import Taxonomy

#: Slots of coarse and of fine tokens; a slot is a 16-bit number.
COARSE_SLOTS: Final = 57_344
FINE_SLOTS: Final = 8_192
SLOTS: Final = COARSE_SLOTS + FINE_SLOTS
#: The slot that counts events.
EVENTS: Final = 0

#: Weights of signals are whole multiples of 1 / WEIGHT_UNITS.
WEIGHT_UNITS: Final = 4

#: How slots and weights of tokens are packed: what is read event by event is folded many at once,
#: and bytes are joined without a Python object for each number.
SLOT_TYPE: Final = np.dtype(np.uint16)
WEIGHT_TYPE: Final = np.dtype(np.int32)

#: Most values that the caches of all fields hold together before all are emptied, and most
#: characters of a value that is kept: attributes have any names and any values.
_CACHE = 100_000
_CACHED_LENGTH = 64
#: Most characters of a token's name; the rest of a longer one is not shown.
MAX_NAME: Final = 256
_HOURS = ("0-6", "7-10", "11-13", "14-16", "17-19", "20-21", "22-23")
_HOUR_BAND = tuple(
    next(i for i, band in enumerate(_HOURS) if hour <= int(band.split("-")[1]))
    for hour in range(24)
)
#: Prices below the first belong together, in place of their powers of two; so do quantities from
#: the last on.
_LEAST_PRICE, _CHEAP, _MANY = 0.25, -2, 5
#: Most tokens of an item besides its attributes: product, levels, brand, price and quantity.
_ITEM_TOKENS = MAX_LEVELS + 4

#: Most tokens of one event: a purchase that is as large as it may be, with its context.
MAX_TOKENS: Final = 4 + MAX_ATTRIBUTES + MAX_ITEM_ATTRIBUTES + MAX_ITEMS * _ITEM_TOKENS


def slot_of(token: str, *, fine: bool) -> int:
    """The slot of a token: the same on every machine."""
    digest = int.from_bytes(hashlib.blake2b(token.encode(), digest_size=8).digest())
    return COARSE_SLOTS + digest % FINE_SLOTS if fine else 1 + digest % (COARSE_SLOTS - 1)


class Tokenizer:
    """Reads events as a taxonomy says. ``fresh`` collects names of slots seen for the first time.

    It holds caches from values to slots, nothing that predictions depend on.
    """

    def __init__(self, taxonomy: Taxonomy) -> None:
        features = taxonomy.features
        signals = taxonomy.signals
        self._purchase_weight = round(WEIGHT_UNITS * signals.purchase)
        self._browse_weights = {
            action: _weight(getattr(signals, action)) for action in get_args(Action)
        }
        self._engagement_weights = {
            action: _weight(weight) for action, weight in signals.engagement.items()
        }
        self._other_weight = _weight(signals.other_engagement)
        self._fields = frozenset(features.fields)
        self._fine = frozenset(features.fine)
        self._separator = features.category_separator
        self._shift_ms = round(features.timezone_offset_hours * 3_600_000)
        # Slots are packed, several of them one after another.
        self._slots: dict[str, dict[str, bytes]] = {field: {} for field in features.fields}
        # Of every event: to ask for a field, and then for its cache, would take as long again.
        self._actions, self._products, self._brands = (
            self._slots.get(field) for field in ("action", "product", "brand")
        )
        self._has_category, self._has_price, self._has_quantity = (
            field in self._fields for field in ("category", "price", "quantity")
        )
        self._attributes: dict[str, dict[str, bytes]] = {}
        self._categories: dict[str, bytes] = {}
        self._hours: dict[int, bytes] = {}
        self._reactions: dict[tuple[str, str, str | None], bytes] = {}
        self._prices: dict[int, bytes] = {}
        self._quantities: dict[int, bytes] = {}
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
        return int.from_bytes(self._slot(field, value), sys.byteorder)

    def _slot(self, field: str, value: str) -> bytes:
        cache = self._slots.get(field)
        found = None if cache is None else cache.get(value)
        return self._computed(field, value) if found is None else found

    def _computed(self, field: str, value: str) -> bytes:
        token = f"{field}:{value}"
        fine = field in self._fine or field.partition(".")[0] in self._fine
        slot = slot_of(token, fine=fine)
        name = token if len(token) <= MAX_NAME else f"{token[: MAX_NAME - 1]}…"
        if self.learn_name(slot, name):
            self.fresh.append((slot, name))
        found = _packed(slot, SLOT_TYPE)
        if self._has_room(field, value):
            self._slots.setdefault(field, {})[value] = found
        return found

    def _has_room(self, field: str, value: str) -> bool:
        """Whether a value may be cached; empties the caches when they are full."""
        if len(field) > _CACHED_LENGTH or len(value) > _CACHED_LENGTH:
            return False
        self._cached += 1
        if self._cached > _CACHE:
            for own in self._slots.values():
                own.clear()
            for cache in (self._attributes, self._categories, self._hours, self._reactions):
                cache.clear()
            self._cached = 1
        return True

    def tokenize(self, event: Behaviour) -> TokenizedEvent:
        """An event as its tokens; it may be forgotten itself."""
        at = milliseconds(event.occurred_at)
        return TokenizedEvent(event.event_id, event.customer_id, at, *self._read(event, at))

    def read(self, event: Behaviour) -> tuple[bytes, bytes]:
        """The slot of every token, slot 0 first, and the tokens' weights in quarters.

        They are packed (``SLOT_TYPE``, ``WEIGHT_TYPE``). At most ``MAX_TOKENS``, with repetitions;
        none when the taxonomy gives the signal no weight.
        """
        return self._read(event, milliseconds(event.occurred_at))

    def _read(self, event: Behaviour, at: int) -> tuple[bytes, bytes]:
        if isinstance(event, Browse):
            return self._browse(event, at)
        if isinstance(event, Purchase):
            return self._purchase(event, at)
        return self._engagement(event, at)

    def _purchase(self, event: Purchase, at: int) -> tuple[bytes, bytes]:
        weight, items = self._purchase_weight, event.items
        if not weight:
            return b"", b""
        slots = self._context(event, at)
        if "basket_size" in self._fields:
            slots.append(self._slot("basket_size", size_band(len(items))))
        context, slots = b"".join(slots), []
        for item in items:
            self._add_item(item, slots)
        own = b"".join(slots)
        weights = _evenly(_packed(weight * len(items), WEIGHT_TYPE), context)
        return context + own, weights + _evenly(_packed(weight, WEIGHT_TYPE), own)

    def _browse(self, event: Browse, at: int) -> tuple[bytes, bytes]:
        weight = self._browse_weights[event.action]
        if not weight:
            return b"", b""
        slots = self._context(event, at)
        if self._actions is not None:
            slot = self._actions.get(event.action)
            slots.append(slot or self._computed("action", event.action))
        if event.product is not None:
            self._add_item(event.product, slots)
        if event.query and "query" in self._fields:
            slots += [self._slot("query", word) for word in words(event.query)]
        joined = b"".join(slots)
        return joined, _evenly(weight, joined)

    def _engagement(self, event: Engagement, at: int) -> tuple[bytes, bytes]:
        weight = self._engagement_weights.get(event.action, self._other_weight)
        if not weight:
            return b"", b""
        slots = self._context(event, at)
        reaction = event.action, event.channel, event.campaign
        known = self._reactions.get(reaction)
        slots.append(self._reaction(reaction) if known is None else known)
        joined = b"".join(slots)
        return joined, _evenly(weight, joined)

    def _reaction(self, reaction: tuple[str, str, str | None]) -> bytes:
        """The slots of an action, a channel and a campaign."""
        named = zip(("action", "channel", "campaign"), reaction, strict=True)
        told = [(field, value) for field, value in named if value and field in self._fields]
        found = b"".join([self._slot(*each) for each in told])
        if self._has_room("campaign", reaction[2] or ""):
            self._reactions[reaction] = found
        return found

    def _context(self, event: Behaviour, at: int) -> list[bytes]:
        """The event itself, when it happened, and its free attributes."""
        hours = (at + self._shift_ms) // 3_600_000
        slots = [self._hours.get(hours) or self._moment(hours)]
        if event.attributes:
            self._add_attributes(event.attributes, slots)
        return slots

    def _moment(self, hours: int) -> bytes:
        """The slots of every event of an hour, which is counted from 1970."""
        found = _packed(EVENTS, SLOT_TYPE)
        if "hour" in self._fields:
            found += self._slot("hour", _HOURS[_HOUR_BAND[hours % 24]])
        if "weekday" in self._fields:
            day = (hours // 24 + 3) % 7  # 1 January 1970 was a Thursday; 0 is Monday
            found += self._slot("weekday", "weekend" if day > 4 else "weekday")  # noqa: PLR2004
        if self._has_room("hour", ""):
            self._hours[hours] = found
        return found

    def _add_item(self, item: Item, slots: list[bytes]) -> None:
        """Each field's cache is asked here: a call for each token would take most of the time."""
        if item.attributes:
            self._add_attributes(item.attributes, slots)
        if self._products is not None:
            slot = self._products.get(item.product_id)
            slots.append(slot or self._computed("product", item.product_id))
        if self._has_category and item.category:
            slots.append(self._categories.get(item.category) or self._levels(item.category))
        if self._brands is not None and item.brand:
            slots.append(self._brands.get(item.brand) or self._computed("brand", item.brand))
        if self._has_price and item.price is not None:
            power = math.frexp(item.price)[1] if item.price >= _LEAST_PRICE else _CHEAP
            slots.append(self._prices.get(power) or self._price(power, item.price))
        if self._has_quantity:
            whole = int(item.quantity) if item.quantity < _MANY else _MANY
            slots.append(self._quantities.get(whole) or self._quantity(whole))

    def _price(self, power: int, price: float) -> bytes:
        found = self._prices[power] = self._slot("price", price_band(price))
        return found

    def _quantity(self, whole: int) -> bytes:
        found = self._quantities[whole] = self._slot("quantity", quantity_band(whole))
        return found

    def _levels(self, category: str) -> bytes:
        paths = levels(category, self._separator)
        found = b"".join([self._slot("category", path) for path in paths])
        if self._has_room("category", category):
            self._categories[category] = found
        return found

    def _add_attributes(self, attributes: dict[str, str], slots: list[bytes]) -> None:
        for key, value in attributes.items():
            cache = self._attributes.get(key)
            slot = None if cache is None else cache.get(value)
            slots.append(self._attribute(key, value) if slot is None else slot)

    def _attribute(self, key: str, value: str) -> bytes:
        """The slot of an attribute; nothing, if the taxonomy does not use it."""
        field = f"attributes.{key}"
        used = "attributes" in self._fields or field in self._fields
        found = self._slot(field, value) if used else b""
        if self._has_room(field, value):
            self._attributes.setdefault(key, {})[value] = found
        return found


def _weight(signal: float) -> bytes:
    """The packed weight of a signal; nothing, if it has none."""
    quarters = round(WEIGHT_UNITS * signal)
    return _packed(quarters, WEIGHT_TYPE) if quarters else b""


def _packed(number: int, kind: np.dtype[np.generic]) -> bytes:
    """A slot or a weight; numpy would take ten times as long for one."""
    return number.to_bytes(kind.itemsize, sys.byteorder)


def _evenly(weight: bytes, slots: bytes) -> bytes:
    """A packed weight for each of packed slots."""
    return weight * (len(slots) // SLOT_TYPE.itemsize)
