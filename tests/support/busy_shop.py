"""A shop in which much happens, by a seed."""

import random

import orjson

from stream_persona.domain.events import (
    Assignment,
    Browse,
    Engagement,
    Event,
    Item,
    Purchase,
)
from tests.support.constants import CATEGORIES, DAY, GENERIC_PERSONAS
from tests.support.constants import RECENT as NOW
from tests.support.shop import Shop


def behaviour(rnd: random.Random, number: int, customer: str) -> Event:
    category = CATEGORIES[(int(customer[1:]) + rnd.randrange(2)) % len(CATEGORIES)]
    item = Item(f"p{rnd.randrange(30)}", category, price=rnd.choice([2.5, 9.0, 80.0]))
    at, name = NOW + rnd.randrange(30) * DAY, f"e{number}"
    match rnd.randrange(5):
        case 0:
            return Purchase(name, customer, at, (item, Item("p0", "books")))
        case 1:
            return Engagement(name, customer, at, "email", "click", campaign="spring")
        case _:
            return Browse(name, customer, at, "view", item, attributes={"device": "phone"})


def busy_shop(seed: int, customers: int, events: int) -> list[Event]:
    rnd = random.Random(seed)
    names = [f"c{n}" for n in range(customers)]
    found = [behaviour(rnd, n, rnd.choice(names)) for n in range(events)]
    for n, name in enumerate(names[: customers // 2]):
        found.insert(
            rnd.randrange(len(found)),
            Assignment(f"a{n}", name, NOW + n, GENERIC_PERSONAS[n % 4], "study"),
        )
    for n, name in enumerate(names[: customers // 10]):
        persona = None if n % 2 else GENERIC_PERSONAS[(n + 1) % 4]
        found.insert(rnd.randrange(len(found)), Assignment(f"o{n}", name, NOW + 10**6 + n, persona))
    return found


async def changes_of(shop: Shop, customer: str) -> list[dict[str, object] | None]:
    found = await shop.read(shop.settings.topic_changes)
    return [
        None if record.value is None else orjson.loads(record.value)
        for record in found
        if record.key == customer.encode()
    ]
