"""An endless flow of what shoppers of the shipped taxonomy do, drawn from a seed."""

import random
from collections.abc import Iterator

from stream_persona.domain.events import Assignment, Browse, Engagement, Event, Item, Purchase
from tests.support.constants import CATEGORIES, DAY, GENERIC_PERSONAS, NOW

CUSTOMERS = 60


def events(seed: int = 1) -> Iterator[Event]:
    """Draw events without an end; every event has an id of its own."""
    rnd, number = random.Random(seed), 0
    while True:
        number += 1
        yield _event(rnd, f"e{seed}-{number}", f"c{rnd.randrange(CUSTOMERS)}")


def _event(rnd: random.Random, name: str, customer: str) -> Event:
    at = NOW + rnd.randrange(30 * DAY)
    taste = (int(customer[1:]) + rnd.randrange(2)) % len(CATEGORIES)
    item = Item(f"p{rnd.randrange(30)}", CATEGORIES[taste], price=rnd.choice([2.5, 9.0, 80.0]))
    match rnd.randrange(12):
        case 0:
            return Assignment(name, customer, at, GENERIC_PERSONAS[int(customer[1:]) % 4], "study")
        case 1 | 2:
            return Purchase(name, customer, at, (item,))
        case 3:
            return Engagement(name, customer, at, "email", "click", campaign="spring")
        case _:
            return Browse(name, customer, at, "view", item)
