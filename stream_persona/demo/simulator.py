"""Synthetic shoppers: each behaves like one of a taxonomy's personas, and may change to another.

A ``Simulator`` is deterministic: the same taxonomy, seed and times give the same events.
"""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from stream_persona.domain.events import (
    BROWSE,
    ENGAGEMENT,
    PURCHASE,
    Action,
    Behaviour,
    Browse,
    Engagement,
    Item,
    Purchase,
)
from stream_persona.domain.taxonomy import Persona, Taxonomy

#: Feature -> values that a persona prefers, in the form of a persona's ``seeds``.
Taste = Mapping[str, tuple[str, ...]]

#: The kinds of ten typical events.
_MIX: Final = (BROWSE,) * 6 + (PURCHASE,) * 2 + (ENGAGEMENT,) * 2
_BROWSES: Final[tuple[tuple[Action, int], ...]] = (
    ("view", 12), ("search", 3), ("add_to_cart", 3), ("wishlist", 1), ("remove_from_cart", 1),
)  # fmt: skip
_CHANNELS: Final = ("email", "push", "onsite", "ad")
_REACTIONS: Final = ("open", "open", "open", "click", "click", "dismiss", "redeem")
_CAMPAIGNS: Final = ("spring", "weekend", "clearance", "new-in")

#: How often a shopper follows the persona's preferences, where it has any.
_LOYALTY: Final = 0.75
#: Products of a category, events of a session, shoppers for each session under way.
_PRODUCTS: Final = 20
_SESSION: Final = (3, 12)
_SHOPPERS_PER_SESSION: Final = 20
#: How often another shopper is drawn when the persona of one does not shop at this time.
_DRAWS: Final = 3
_WEEKEND: Final = (5, 6)


@dataclass(slots=True)
class _SimulatedShopper:
    customer_id: str
    persona: str
    later: str
    events: int = 0


@dataclass(slots=True)
class _ShoppingSession:
    shopper: _SimulatedShopper
    category: str
    left: int


class Simulator:
    """Shoppers ``SIM-00001``, ``SIM-00002``, ...; the personas are dealt out in turn.

    After ``drift_after`` events of its own, a shopper behaves like the taxonomy's next persona.
    A persona's preferences are its seeds, with categories made of its name where it has none;
    ``tastes``, by persona, override them.
    """

    def __init__(
        self,
        taxonomy: Taxonomy,
        *,
        shoppers: int = 200,
        seed: int = 1,
        drift_after: int | None = None,
        tastes: Mapping[str, Taste] | None = None,
    ) -> None:
        names = self._names = taxonomy.names
        given = tastes or {}
        self._tastes = {
            persona.name: {**_make_taste(persona), **given.get(persona.name, {})}
            for persona in taxonomy.personas
        }
        self._drift_after = drift_after
        self._random = random.Random(seed)  # nosec B311
        self._shoppers = [
            _SimulatedShopper(
                f"SIM-{i + 1:05d}", names[i % len(names)], names[(i + 1) % len(names)]
            )
            for i in range(shoppers)
        ]
        self._sessions: list[_ShoppingSession] = []
        self._shift = round(taxonomy.features.timezone_offset_hours * 3_600_000)
        self._places = max(1, shoppers // _SHOPPERS_PER_SESSION)

    @property
    def personas(self) -> dict[str, str]:
        """The persona behind each shopper's next event, by customer id."""
        return {shopper.customer_id: self._choose_persona(shopper) for shopper in self._shoppers}

    def generate_events(self, times: Iterable[int]) -> Iterator[tuple[int, Behaviour]]:
        """Yield kind (an index into ``events.KINDS``) and event for each time (epoch ms)."""
        return (self.draw_event(at) for at in times)

    def draw_event(self, at: int) -> tuple[int, Behaviour]:
        """Draw the next event, which happens at ``at`` (epoch milliseconds)."""
        session = self._draw_session(at)
        shopper, taste = session.shopper, self._tastes[self._choose_persona(session.shopper)]
        kind = self._random.choice(_MIX)
        shopper.events += 1
        # The time makes the id another one in the next run: it is no producer's retry.
        number = f"{shopper.customer_id}-{at}-{shopper.events}"
        if kind == BROWSE:
            return kind, self._draw_browse(number, session, taste, at)
        if kind == PURCHASE:
            return kind, self._draw_purchase(number, session, taste, at)
        return kind, self._draw_engagement(number, shopper, taste, at)

    def _choose_persona(self, shopper: _SimulatedShopper) -> str:
        drifted = self._drift_after is not None and shopper.events >= self._drift_after
        return shopper.later if drifted else shopper.persona

    def _draw_session(self, at: int) -> _ShoppingSession:
        """Draw one of the sessions under way; one that is over is replaced by a new one."""
        place = self._random.randrange(self._places)
        while len(self._sessions) <= place:
            self._sessions.append(self._begin_session(at))
        if not self._sessions[place].left:
            self._sessions[place] = self._begin_session(at)
        self._sessions[place].left -= 1
        return self._sessions[place]

    def _begin_session(self, at: int) -> _ShoppingSession:
        shopper = self._random.choice(self._shoppers)
        for _ in range(_DRAWS):
            if _shops_at(self._tastes[self._choose_persona(shopper)], at + self._shift):
                break
            shopper = self._random.choice(self._shoppers)
        category = self._draw_category(self._tastes[self._choose_persona(shopper)])
        return _ShoppingSession(shopper, category, self._random.randint(*_SESSION))

    def _draw_browse(self, number: str, session: _ShoppingSession, taste: Taste, at: int) -> Browse:
        actions = [name for name, _ in _BROWSES]
        liked = [name for name in taste.get("action", ()) if name in actions]
        weights = [share * (1 + 2 * (name in liked)) for name, share in _BROWSES]
        action = self._random.choices(actions, weights)[0]
        item = self._draw_item(session, taste)
        customer = session.shopper.customer_id
        if action == "search":
            words = re.sub(r"\W+", " ", session.category.rpartition("/")[2])
            return Browse(
                number, customer, at, action, query=self._draw_value(taste, "query") or words
            )
        return Browse(number, customer, at, action, product=item)

    def _draw_purchase(
        self, number: str, session: _ShoppingSession, taste: Taste, at: int
    ) -> Purchase:
        items = tuple(self._draw_item(session, taste) for _ in range(self._random.randint(1, 4)))
        return Purchase(number, session.shopper.customer_id, at, items, order_id=number)

    def _draw_engagement(
        self, number: str, shopper: _SimulatedShopper, taste: Taste, at: int
    ) -> Engagement:
        known = [name for name, _ in _BROWSES]
        liked = [name for name in taste.get("action", ()) if name not in known]
        action = self._random.choice(liked if liked and self._draw_loyalty() else _REACTIONS)
        return Engagement(
            event_id=number,
            customer_id=shopper.customer_id,
            occurred_at=at,
            channel=self._draw_value(taste, "channel") or self._random.choice(_CHANNELS),
            action=action,
            campaign=self._draw_value(taste, "campaign") or self._random.choice(_CAMPAIGNS),
        )

    def _draw_item(self, session: _ShoppingSession, taste: Taste) -> Item:
        category = session.category if self._draw_loyalty() else self._draw_category(taste)
        product = f"{category.rpartition('/')[2]}-{self._random.randrange(_PRODUCTS)}"
        attributes = {
            feature.partition(".")[2]: self._random.choice(values)
            for feature, values in taste.items()
            if feature.startswith("attributes.") and self._draw_loyalty()
        }
        return Item(
            product_id=product,
            category=category,
            brand=self._draw_value(taste, "brand"),
            price=self._draw_price(product, self._draw_value(taste, "price")),
            quantity=float(re.split(r"[-+]", self._draw_value(taste, "quantity") or "1")[0]),
            attributes=attributes or None,
        )

    def _draw_price(self, product: str, band: str | None) -> float:
        """Draw a price within a band such as ``2..4``; without one, return the product's own."""
        low, _, high = (band or "").partition("..")
        if high:
            return round(self._random.uniform(float(low), float(high)) - 0.005, 2)
        return round(2 ** (zlib.crc32(product.encode()) % 61 / 10), 2)

    def _draw_category(self, taste: Taste) -> str:
        return self._draw_value(taste, "category") or "other"

    def _draw_value(self, taste: Taste, feature: str) -> str | None:
        """Draw what the persona prefers, now and then what another does; None without any."""
        if not self._draw_loyalty():
            taste = self._tastes[self._random.choice(self._names)]
        values = taste.get(feature)
        return self._random.choice(values) if values else None

    def _draw_loyalty(self) -> bool:
        return self._random.random() < _LOYALTY


def _make_taste(persona: Persona) -> Taste:
    """Return the persona's seeds, with categories made of its name where it has none."""
    aisle = re.sub(r"\W+|_", "-", persona.name.lower()).strip("-")
    categories = tuple(f"{aisle}/aisle-{number}" for number in range(1, 6))
    return {"category": categories, **persona.seeds}


def _shops_at(taste: Taste, local: int) -> bool:
    """Whether the hour and the weekday are among those of the taste, if it has any."""
    moment = datetime.fromtimestamp(local // 1_000, UTC)
    bands = [re.fullmatch(r"(\d+)-(\d+)", band) for band in taste.get("hour", ())]
    hours = [range(int(band[1]), int(band[2]) + 1) for band in bands if band]
    days = taste.get("weekday", ())
    day = "weekend" if moment.weekday() in _WEEKEND else "weekday"
    return (not hours or any(moment.hour in band for band in hours)) and (not days or day in days)
