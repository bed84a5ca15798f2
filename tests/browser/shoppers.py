"""The shoppers of the browser's shop: a crowd with tastes, some of them labelled by the team."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress

from msgspec.structs import replace

from stream_persona.demo.feeder import Feeder
from stream_persona.demo.simulator import Simulator
from stream_persona.domain.events import (
    KINDS,
    Assignment,
    Behaviour,
    Browse,
    Engagement,
    Event,
    Item,
    Purchase,
)
from stream_persona.domain.taxonomy import Taxonomy
from tests.browser.deployment import Deployment

DAY, HOUR, SECOND = 86_400_000, 3_600_000, 1_000
#: Shoppers, and what they have done together over so many days.
SHOPPERS, EVENTS, DAYS = 330, 3_600, 40
#: Of so many, one has no label; personas take turns, so their number must not divide by it.
UNLABELLED = 3
#: Labels come in as many portions, so that the model is judged by the later ones.
PORTIONS = 4
#: Shoppers with a single view of an item.
NEWCOMERS = 24
#: Events a second while the shop is open, and seconds between two portions of them.
RATE, TICK = 25, 0.2


def now() -> int:
    """Epoch milliseconds."""
    return time.time_ns() // 1_000_000


class Crowd:
    """The simulator's shoppers under the names that a shop gives them."""

    def __init__(self, taxonomy: Taxonomy, shoppers: int = SHOPPERS, seed: int = 7) -> None:
        self._simulator = Simulator(taxonomy, shoppers=shoppers, seed=seed)
        self._seen: set[str] = set()

    def past(self, events: int = EVENTS, until: int | None = None) -> list[Event]:
        """What they did in the weeks before ``until`` (epoch milliseconds; an hour ago)."""
        end = now() - HOUR if until is None else until
        times = sorted(random.Random(3).randrange(end - DAYS * DAY, end) for _ in range(events))
        return list(self.events(times))

    def events(self, times: Sequence[int]) -> Iterator[Behaviour]:
        for _, event in self._simulator.generate_events(times):
            names = named(event.customer_id), named(event.event_id)
            self._seen.add(names[0])
            yield replace(event, customer_id=names[0], event_id=names[1])

    def labels(self) -> list[Event]:
        """Assignments of two in three shoppers with events, all personas among them."""
        names = {named(name): persona for name, persona in self._simulator.personas.items()}
        shopped = [(name, persona) for name, persona in names.items() if name in self._seen]
        return [
            Assignment(f"study-{name}", name, now() - HOUR, persona, "study")
            for number, (name, persona) in enumerate(shopped)
            if number % UNLABELLED
        ]


def newcomers() -> list[Event]:
    """Views of an item of a rare category, which is evidence for no persona."""
    seen = Item("lamp-1", "lighting", price=24.0)
    return [
        Browse(f"first-{n}", f"CUST-05{n:03d}", now() - n * HOUR, "view", seen)
        for n in range(NEWCOMERS)
    ]


def story(customer: str) -> list[list[Event]]:
    """The events of a student who becomes a parent, in portions by time."""
    student = [
        *baskets(customer, "books/textbooks", "stationery", number=3, until=now() - 30 * DAY),
        searched(customer, "textbook", now() - 29 * DAY),
    ]
    between = [
        *baskets(customer, "instant-food", number=1, until=now() - 9 * DAY),
        searched(customer, "stroller", now() - 8 * DAY),
    ]
    parent = [
        *baskets(customer, "baby/diapers", "toys", number=4, until=now() - HOUR),
        Engagement(f"{customer}-click", customer, now() - DAY, "email", "click", "new-in"),
    ]
    return [student, between, parent]


def searched(customer: str, words: str, at: int) -> Browse:
    return Browse(f"{customer}-{words}", customer, at, "search", query=words)


def named(text: str) -> str:
    """With ``CUST-04012`` for ``SIM-00012``."""
    return text.replace("SIM-00", "CUST-04")


def portions(labels: Sequence[Event]) -> Iterator[tuple[Event, ...]]:
    size = -(-len(labels) // PORTIONS)
    for start in range(0, len(labels), size):
        yield tuple(labels[start : start + size])


def basket(
    customer: str, *categories: str, at: int | None = None, name: str | None = None
) -> Purchase:
    """One order, of one item of each category, just now unless ``at`` says otherwise."""
    items = tuple(Item(f"{each.rpartition('/')[2]}-1", each, price=12.0) for each in categories)
    moment = now() if at is None else at
    return Purchase(name or f"{customer}-{time.time_ns()}", customer, moment, items)


def baskets(
    customer: str, *categories: str, number: int = 4, until: int | None = None
) -> list[Event]:
    """So many orders, an hour between each two, the last one just now or at ``until``."""
    end = now() if until is None else until
    return [
        basket(customer, *categories, at=end - n * HOUR, name=f"{customer}-{n}-{time.time_ns()}")
        for n in reversed(range(number))
    ]


async def train(deployment: Deployment, crowd: Crowd) -> None:
    """Let the crowd shop and the team label, until the model has learned all of it."""
    shop = deployment.shop
    await shop.produce(*crowd.past(), *newcomers())
    await shop.at_rest()
    labels = crowd.labels()
    for portion in portions(labels):
        await shop.produce(*portion)
        await shop.at_rest()
    await deployment.learned(len(labels))


@asynccontextmanager
async def open_for_business(deployment: Deployment, crowd: Crowd) -> AsyncIterator[None]:
    """The crowd shops within the block, so many events a second."""
    shopping = asyncio.create_task(_shop(deployment, crowd))
    try:
        yield
    finally:
        shopping.cancel()
        with suppress(asyncio.CancelledError):
            await shopping


async def _shop(deployment: Deployment, crowd: Crowd) -> None:
    async with Feeder(deployment.settings) as feeder:
        while True:
            for event in crowd.events([now()] * round(RATE * TICK)):
                await feeder.send(KINDS.index(type(event)), event)
            await feeder.flush()
            await asyncio.sleep(TICK)
