"""Synthetic shoppers: each behaves like one of a taxonomy's personas, and may come to another.

``Simulator`` is deterministic: the same taxonomy, seed and times give the same events. ``run``
produces them to Kafka as fast as one asks.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from stream_persona.demo.feeder import Feeder
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
from stream_persona.settings import Settings

#: Feature -> values that a persona prefers, in the form of a persona's ``seeds``.
Taste = Mapping[str, tuple[str, ...]]

#: Of ten things that shoppers do, as many are of each kind.
_MIX: Final = (BROWSE,) * 6 + (PURCHASE,) * 2 + (ENGAGEMENT,) * 2
_BROWSES: Final[tuple[tuple[Action, int], ...]] = (
    ("view", 12), ("search", 3), ("add_to_cart", 3), ("wishlist", 1), ("remove_from_cart", 1),
)  # fmt: skip
_CHANNELS: Final = ("email", "push", "onsite", "ad")
_REACTIONS: Final = ("open", "open", "open", "click", "click", "dismiss", "redeem")
_CAMPAIGNS: Final = ("spring", "weekend", "clearance", "new-in")

#: How often a shopper does what the persona prefers, where it prefers anything.
_LOYALTY: Final = 0.75
#: Products of a category, things done in a session, shoppers for each one on the page.
_PRODUCTS: Final = 20
_SESSION: Final = (3, 12)
_SHOPPERS_PER_SESSION: Final = 20
#: How often somebody else is asked when a persona would not shop at this time.
_PATIENCE: Final = 3
_WEEKEND: Final = (5, 6)
#: Seconds between two looks at the clock.
_TICK: Final = 0.05


@dataclass(slots=True)
class _Shopper:
    customer_id: str
    persona: str
    later: str
    events: int = 0


@dataclass(slots=True)
class _Session:
    shopper: _Shopper
    category: str
    left: int


class Simulator:
    """Shoppers ``SIM-00001``, ``SIM-00002``, ...; their personas take turns.

    After ``drift_after`` events of its own, a shopper behaves like the taxonomy's next persona.
    A persona's preferences are its seeds, its categories made of its name where it has none;
    ``tastes``, by persona, say otherwise.
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
            persona.name: {**_taste(persona), **given.get(persona.name, {})}
            for persona in taxonomy.personas
        }
        self._drift_after = drift_after
        # Not hash(): that of a text differs from run to run.
        self._random = random.Random(seed)
        self._shoppers = [
            _Shopper(f"SIM-{i + 1:05d}", names[i % len(names)], names[(i + 1) % len(names)])
            for i in range(shoppers)
        ]
        self._sessions: list[_Session] = []
        self._shift = round(taxonomy.features.timezone_offset_hours * 3_600_000)
        self._places = max(1, shoppers // _SHOPPERS_PER_SESSION)

    @property
    def personas(self) -> dict[str, str]:
        """Customer id to the persona behind the shopper's next event."""
        return {shopper.customer_id: self._persona(shopper) for shopper in self._shoppers}

    def events(self, times: Iterable[int]) -> Iterator[tuple[int, Behaviour]]:
        """Kind (an index into ``events.KINDS``) and event for each time, epoch milliseconds."""
        return (self.event(at) for at in times)

    def event(self, at: int) -> tuple[int, Behaviour]:
        """What happens next, at ``at`` (epoch milliseconds)."""
        session = self._session(at)
        shopper, taste = session.shopper, self._tastes[self._persona(session.shopper)]
        kind = self._random.choice(_MIX)
        shopper.events += 1
        # With its time in it, the id is another one in the next run: not a producer's retry.
        number = f"{shopper.customer_id}-{at}-{shopper.events}"
        if kind == BROWSE:
            return kind, self._browse(number, session, taste, at)
        if kind == PURCHASE:
            return kind, self._purchase(number, session, taste, at)
        return kind, self._engagement(number, shopper, taste, at)

    def _persona(self, shopper: _Shopper) -> str:
        drifted = self._drift_after is not None and shopper.events >= self._drift_after
        return shopper.later if drifted else shopper.persona

    def _session(self, at: int) -> _Session:
        """One of the sessions under way; a new one for one that is over."""
        place = self._random.randrange(self._places)
        while len(self._sessions) <= place:
            self._sessions.append(self._begin(at))
        if not self._sessions[place].left:
            self._sessions[place] = self._begin(at)
        self._sessions[place].left -= 1
        return self._sessions[place]

    def _begin(self, at: int) -> _Session:
        shopper = self._random.choice(self._shoppers)
        for _ in range(_PATIENCE):
            if _shops_at(self._tastes[self._persona(shopper)], at + self._shift):
                break
            shopper = self._random.choice(self._shoppers)
        category = self._category(self._tastes[self._persona(shopper)])
        return _Session(shopper, category, self._random.randint(*_SESSION))

    def _browse(self, number: str, session: _Session, taste: Taste, at: int) -> Browse:
        actions = [name for name, _ in _BROWSES]
        liked = [name for name in taste.get("action", ()) if name in actions]
        weights = [share * (1 + 2 * (name in liked)) for name, share in _BROWSES]
        action = self._random.choices(actions, weights)[0]
        item = self._item(session, taste)
        who = session.shopper.customer_id
        if action == "search":
            words = re.sub(r"\W+", " ", session.category.rpartition("/")[2])
            return Browse(number, who, at, action, query=self._pick(taste, "query") or words)
        return Browse(number, who, at, action, product=item)

    def _purchase(self, number: str, session: _Session, taste: Taste, at: int) -> Purchase:
        items = tuple(self._item(session, taste) for _ in range(self._random.randint(1, 4)))
        return Purchase(number, session.shopper.customer_id, at, items, order_id=number)

    def _engagement(self, number: str, shopper: _Shopper, taste: Taste, at: int) -> Engagement:
        known = [name for name, _ in _BROWSES]
        liked = [name for name in taste.get("action", ()) if name not in known]
        action = self._random.choice(liked if liked and self._is_loyal() else _REACTIONS)
        return Engagement(
            event_id=number,
            customer_id=shopper.customer_id,
            occurred_at=at,
            channel=self._pick(taste, "channel") or self._random.choice(_CHANNELS),
            action=action,
            campaign=self._pick(taste, "campaign") or self._random.choice(_CAMPAIGNS),
        )

    def _item(self, session: _Session, taste: Taste) -> Item:
        category = session.category if self._is_loyal() else self._category(taste)
        product = f"{category.rpartition('/')[2]}-{self._random.randrange(_PRODUCTS)}"
        attributes = {
            feature.partition(".")[2]: self._random.choice(values)
            for feature, values in taste.items()
            if feature.startswith("attributes.") and self._is_loyal()
        }
        return Item(
            product_id=product,
            category=category,
            brand=self._pick(taste, "brand"),
            price=self._price(product, self._pick(taste, "price")),
            quantity=float((self._pick(taste, "quantity") or "1").rstrip("+")),
            attributes=attributes or None,
        )

    def _price(self, product: str, band: str | None) -> float:
        """Within a band such as ``2..4``; else the product's own, from 1 to 64."""
        low, _, high = (band or "").partition("..")
        if high:
            return round(self._random.uniform(float(low), float(high)) - 0.005, 2)
        return round(2 ** (zlib.crc32(product.encode()) % 61 / 10), 2)

    def _category(self, taste: Taste) -> str:
        return self._pick(taste, "category") or "other"

    def _pick(self, taste: Taste, feature: str) -> str | None:
        """Mostly what the persona prefers, else what some other does; None without preference."""
        if not self._is_loyal():
            taste = self._tastes[self._random.choice(self._names)]
        values = taste.get(feature)
        return self._random.choice(values) if values else None

    def _is_loyal(self) -> bool:
        return self._random.random() < _LOYALTY


async def run(
    settings: Settings,
    simulator: Simulator,
    *,
    rate: float,
    seconds: float | None = None,
    count: int | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> int:
    """Produce events that happen now, ``rate`` a second, until time or count is reached.

    ``progress`` is told of how many were sent at a time. Returns how many were sent.

    Raises:
        UnavailableError: no broker answers, or it refuses events.
    """
    begin, sent = time.monotonic(), 0
    async with Feeder(settings) as feeder:
        while (count is None or sent < count) and (
            seconds is None or time.monotonic() < begin + seconds
        ):
            due = int(rate * (time.monotonic() - begin)) - sent
            due = due if count is None else min(due, count - sent)
            now = time.time_ns() // 1_000_000
            for kind, event in simulator.events([now] * due):
                await feeder.send(kind, event)
            await feeder.flush()
            sent += due
            progress(due)
            await asyncio.sleep(_TICK)
    return sent


def _taste(persona: Persona) -> Taste:
    """The persona's seeds, with categories made of its name where it has none."""
    aisle = re.sub(r"\W+|_", "-", persona.name.lower()).strip("-")
    categories = tuple(f"{aisle}/aisle-{number}" for number in range(1, 6))
    return {"category": categories, **persona.seeds}


def _shops_at(taste: Taste, local: int) -> bool:
    """Whether the hour and the weekday are among those that the taste names, if it names any."""
    moment = datetime.fromtimestamp(local // 1_000, UTC)
    bands = [re.fullmatch(r"(\d+)-(\d+)", band) for band in taste.get("hour", ())]
    hours = [range(int(band[1]), int(band[2]) + 1) for band in bands if band]
    days = taste.get("weekday", ())
    day = "weekend" if moment.weekday() in _WEEKEND else "weekday"
    return (not hours or any(moment.hour in band for band in hours)) and (not days or day in days)
