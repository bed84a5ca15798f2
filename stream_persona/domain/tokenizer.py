"""From one event to its weighted tokens: what behaviour is made of.

A token is ``field:value`` and depends on its own event alone, so that records can be folded in
any order. It is counted in its slot (``slots``); slot 0, the first of every event, counts events.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, get_args

from stream_persona.domain.anomaly import Anomaly
from stream_persona.domain.binning import (
    HOURS,
    canonicalize_field,
    find_size_band,
    split_shown_levels,
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
    to_milliseconds,
)
from stream_persona.domain.identity import NOBODY_IDS
from stream_persona.domain.item_tokens import MOST_ITEM_TOKENS, ItemTokens
from stream_persona.domain.public_names import find_public_names
from stream_persona.domain.slots import (
    EVENTS,
    SLOT_TYPE,
    WEIGHT_TYPE,
    WEIGHT_UNITS,
    SlotCache,
    pack,
)
from stream_persona.domain.text import normalize, split_words
from stream_persona.domain.token_names import TokenNames

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from stream_persona.domain.events import Behaviour
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.domain.token_names import Listing

    #: Packed slots, their packed weights, and the reasons why something was left out.
    Tokens = tuple[bytes, bytes, tuple[str, ...]]

_HOUR_BAND = tuple(
    next(i for i, band in enumerate(HOURS) if hour <= int(band.split("-")[1])) for hour in range(24)
)
_SLOT_BYTES: Final = SLOT_TYPE.itemsize
_UNWEIGHTED: Final = (b"", b"", (Anomaly.UNWEIGHTED.value,))
_UNINFORMATIVE: Final[tuple[str, ...]] = (Anomaly.UNINFORMATIVE.value,)
_RETURNED: Final[tuple[str, ...]] = (Anomaly.RETURNED_LINE.value,)

#: Most tokens of one event: a purchase that is as large as it may be, with its context.
MAX_TOKENS: Final = 4 + MAX_ATTRIBUTES + MAX_ITEM_ATTRIBUTES + MAX_ITEMS * MOST_ITEM_TOKENS


class Tokenizer:
    """Turns events into tokens as a taxonomy describes it.

    ``names`` are those of slots. Nothing that it holds changes a prediction: ``slots`` and the rest
    are caches.
    """

    def __init__(self, taxonomy: Taxonomy) -> None:
        features, signals = taxonomy.features, taxonomy.signals
        self.names = TokenNames(find_public_names(taxonomy))
        self.slots = SlotCache(features, self.names)
        self._purchase_weight = round(WEIGHT_UNITS * signals.purchase)
        self._browse_weights = {
            action: _pack_weight(getattr(signals, action)) for action in get_args(Action)
        }
        self._engagement_weights = {
            normalize(action): _pack_weight(weight) for action, weight in signals.engagement.items()
        }
        self._other_weight = _pack_weight(signals.other_engagement)
        self._fields = frozenset(map(canonicalize_field, features.fields))
        self._separator = features.category_separator
        self._shift_ms = round(features.timezone_offset_hours * 3_600_000)
        self._items = ItemTokens(features, self.slots, self.names)
        # Of every event: to look a field up, and then its cache, would take as long again.
        self._actions = self.slots.get_field_cache("action")
        # Packed slots of no more bytes than these, beside the time's, hold no taste.
        self._action_bytes = 0 if self._actions is None else _SLOT_BYTES
        self._quantity_bytes = _SLOT_BYTES if "quantity" in self._fields else 0
        # Slots are packed, several of them one after another.
        self._hours: dict[int, bytes] = self.slots.derive()
        self._queries: dict[str, bytes] = self.slots.derive()
        self._reactions: dict[tuple[str, str, str | None], bytes] = self.slots.derive()
        self._reaction_weights: dict[str, bytes] = self.slots.derive()

    def find_slot(self, field: str, value: str) -> int:
        """Return the slot of ``field:value``; of a category, that of its last level.

        It is that of all events where nothing is left of the value. No event has it, and so nobody
        carries it.
        """
        if field == "category":
            value = "".join(split_shown_levels(value, self._separator)[-1:])
        slot = self.slots.find(field, value)
        self.names.take_found()
        return int.from_bytes(slot, sys.byteorder)

    def show_names(self, listing: Listing) -> None:
        """Show the names that are listed, and no others."""
        settled = self.names.settled
        self.names.show(listing)
        self._ask_again(settled)

    def lose_names(self, lost: Mapping[str, int], emptied: Iterable[int] = ()) -> None:
        """Show no more which names have lost too many carriers; ``emptied`` slots lost a token."""
        settled = self.names.settled
        self.names.unsee(emptied)
        self.names.lose(lost)
        self._ask_again(settled)

    def _ask_again(self, settled: Mapping[str, int]) -> None:
        """Empty the caches if a settled name needs carriers again: cached tokens note none."""
        if not settled.keys() <= self.names.settled.keys():
            self.slots.clear()

    def tokenize(self, event: Behaviour) -> TokenizedEvent:
        """Return an event as its tokens: the slot of each, slot 0 first, and the weight of each.

        Both are packed (``SLOT_TYPE``, ``WEIGHT_TYPE``; weights in quarters). There are at most
        ``MAX_TOKENS``, with repetitions; none when the taxonomy gives the signal no weight, and of
        an order of which everything was given back.
        """
        at, order = to_milliseconds(event.occurred_at), None
        if isinstance(event, Browse):
            slots, weights, anomalies = self._tokenize_browse(event, at)
        elif isinstance(event, Purchase):
            slots, weights, anomalies = self._tokenize_purchase(event, at)
            order = event.order_id
            if order is not None and order in NOBODY_IDS:  # no more than a customer's
                order = None
        else:
            slots, weights, anomalies = self._tokenize_engagement(event, at)
        found = self.names.take_found() if self.names.found else ()
        return TokenizedEvent(
            event.event_id, event.customer_id, at, slots, weights, order, anomalies, found
        )

    def _tokenize_purchase(self, event: Purchase, at: int) -> Tokens:
        weight, kept = self._purchase_weight, 0
        if not weight:
            return _UNWEIGHTED
        slots: list[bytes] = []
        for item in event.items:
            price = item.price
            if item.quantity > 0 and (price is None or price >= 0):  # as ``Item.is_returned``
                kept += 1
                self._items.add(item, slots)
        anomalies = _RETURNED * (len(event.items) - kept)
        if not kept:
            return b"", b"", anomalies
        own, slots = b"".join(slots), self._tokenize_context(event, at)
        little = len(slots[0]) + kept * self._quantity_bytes
        if "basket_size" in self._fields:
            slots.append(self.slots.find("basket_size", find_size_band(kept)))
            little += _SLOT_BYTES
        context = b"".join(slots)
        if len(context) + len(own) <= little:
            anomalies += _UNINFORMATIVE
        weights = _repeat(pack(weight * kept, WEIGHT_TYPE), context)
        return context + own, weights + _repeat(pack(weight, WEIGHT_TYPE), own), anomalies

    def _tokenize_browse(self, event: Browse, at: int) -> Tokens:
        weight, product = self._browse_weights[event.action], event.product
        anomalies: tuple[str, ...] = ()
        if not weight:
            return _UNWEIGHTED
        if product is not None and product.is_returned:
            product, anomalies = None, _RETURNED
        slots = self._tokenize_context(event, at)
        if self._actions is not None:
            slot = self._actions.get(event.action)
            slots.append(slot or self.slots.compute("action", event.action))
        if product is not None:
            self._items.add(product, slots)
        if event.query and "query" in self._fields:
            known = self._queries.get(event.query)
            slots.append(self._cache_query(event.query) if known is None else known)
        joined, little = b"".join(slots), len(slots[0]) + self._action_bytes
        if len(joined) <= little + (0 if product is None else self._quantity_bytes):
            anomalies += _UNINFORMATIVE
        return joined, _repeat(weight, joined), anomalies

    def _tokenize_engagement(self, event: Engagement, at: int) -> Tokens:
        weight = self._reaction_weights.get(event.action)
        if weight is None:
            weight = self._cache_weight(event.action)
        if not weight:
            return _UNWEIGHTED
        slots, reaction = (
            self._tokenize_context(event, at),
            (event.action, event.channel, event.campaign),
        )
        own = self._reactions.get(reaction)
        slots.append(self._cache_reaction(reaction) if own is None else own)
        joined = b"".join(slots)
        says_little = len(joined) <= len(slots[0]) + self._action_bytes
        anomalies = _UNINFORMATIVE if says_little else ()
        return joined, _repeat(weight, joined), anomalies

    def _cache_weight(self, action: str) -> bytes:
        """Find the packed weight of an engagement's action in any spelling."""
        weight = self._engagement_weights.get(normalize(action), self._other_weight)
        if self.slots.has_room("action", action):
            self._reaction_weights[action] = weight
        return weight

    def _cache_reaction(self, reaction: tuple[str, str, str | None]) -> bytes:
        """Compute the slots of an action, a channel and a campaign."""

        def join_slots() -> bytes:
            named = zip(("action", "channel", "campaign"), reaction, strict=True)
            given = [(field, value) for field, value in named if value and field in self._fields]
            return b"".join([self.slots.find(*each) for each in given])

        return self.slots.find_joined(self._reactions, "campaign", reaction, join_slots)

    def _cache_query(self, query: str) -> bytes:
        """Compute the slots of the words of a search."""

        def join_words() -> bytes:
            return b"".join([self.slots.find("query", word) for word in split_words(query)])

        return self.slots.find_joined(self._queries, "query", query, join_words)

    def _tokenize_context(self, event: Behaviour, at: int) -> list[bytes]:
        """Tokenize the event itself, when it happened, and its free attributes."""
        hours = (at + self._shift_ms) // 3_600_000
        slots = [self._hours.get(hours) or self._cache_hour(hours)]
        if event.attributes:
            self._items.add_attributes(event.attributes, slots)
        return slots

    def _cache_hour(self, hours: int) -> bytes:
        """Compute the slots of every event of an hour, which is counted from 1970."""
        found = pack(EVENTS, SLOT_TYPE)
        if "hour" in self._fields:
            found += self.slots.find("hour", HOURS[_HOUR_BAND[hours % 24]])
        if "weekday" in self._fields:
            day = (hours // 24 + 3) % 7  # 1 January 1970 was a Thursday; 0 is Monday
            found += self.slots.find("weekday", "weekend" if day > 4 else "weekday")  # noqa: PLR2004
        if self.slots.has_room("hour", ""):
            self._hours[hours] = found
        return found


def _pack_weight(signal: float) -> bytes:
    """Pack the weight of a signal: no bytes if it has none."""
    quarters = round(WEIGHT_UNITS * signal)
    return pack(quarters, WEIGHT_TYPE) if quarters else b""


def _repeat(weight: bytes, slots: bytes) -> bytes:
    """Repeat a packed weight for each of the packed slots."""
    return weight * (len(slots) // SLOT_TYPE.itemsize)
