"""Draws a busy shop from a seed: what customers do when, and in which order the broker gets it.

A moment is a share of the shop's time, from 0 to 1. Every event happens at one moment and is
sent at a later one, so that delays, and topics that run ahead of each other, are one thing: a
difference between the two. The shop's time crosses an epoch of decayed counts (March 2025).
"""

import random
from bisect import bisect
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import accumulate

import msgspec

from stream_persona.domain.events import (
    ASSIGNMENT,
    DELETION,
    KINDS,
    Action,
    Assignment,
    Browse,
    Deletion,
    Engagement,
    Event,
    Item,
    Purchase,
    encode,
)

#: 2025-02-10, and sixty days of event time, in milliseconds.
OPENS = 1_739_145_600_000
SPAN = 60 * 86_400_000

#: What customers of each persona like; the names are those of the generic shop.
TASTES = {
    "small_business_owner": ("office/paper", "office/ink", "cleaning"),
    "parent_of_young_kids": ("baby/diapers", "baby/food", "toys"),
    "student": ("books/textbooks", "stationery", "instant-food"),
    "home_improver": ("tools", "paint", "garden"),
    "health_and_fitness": ("sports/running", "nutrition", "fresh"),
    "pet_owner": ("pets/dog", "pets/cat"),
    "gadget_lover": ("electronics/audio", "electronics/phones"),
    "deal_hunter": ("outlet", "cleaning", "toys"),
}
PERSONAS = tuple(TASTES)
CATEGORIES = tuple(dict.fromkeys(name for own in TASTES.values() for name in own))

#: Shares of orders that are edited later, and of behaviour that a clock dates in the year 2100.
EDITED, AHEAD = 0.1, 0.003
#: 2100-01-01, in milliseconds.
FAR = 4_102_444_800_000

LABELLED, OVERRIDDEN, WITHDRAWN, EXPIRING = 0.05, 0.3, 0.2, 0.25
#: Customers whose only assignment ends by the clock, so many seconds after it was sent.
ENDING, ENDS_AFTER = 0.03, (2.0, 10.0)
DELETED, GOES_ON, TWICE, LATE_REQUEST, RELABELLED = 0.01, 0.5, 0.2, 0.4, 0.3


@dataclass(frozen=True)
class Sent:
    """One message on its way to an input topic; ``partition`` None: the customer's home.

    ``happened`` and ``sent`` are moments of the shop's time; ``note`` names what was done to it. An
    assignment that is sent ends ``ends_after`` seconds later, where that is given.
    """

    happened: float
    sent: float
    kind: int
    customer: str
    value: bytes | None
    partition: int | None = None
    note: str = ""
    ends_after: float | None = None


class Shopfloor:
    """Draws what happens; the same seed draws the same."""

    def __init__(self, seed: int, events: int, customers: int) -> None:
        self._rnd = random.Random(f"shop {seed}")
        self._events = events
        self._names = [f"c{n:05d}" for n in range(customers)]
        self._weights = list(accumulate(1 / (rank + 5) for rank in range(customers)))
        self._closes: dict[str, float] = {}
        self._labelled: set[str] = set()
        self._number = 0

    def messages(self) -> list[Sent]:
        """Draw all messages, in the order in which they are sent; hardly more than asked for."""
        deletions = list(self._deletions())
        found = [*self._behaviours(), *self._assignments(), *self._ending_ones(), *deletions]
        found = [s for s in found if s.happened <= self._closes.get(s.customer, 1.0)]
        found = self._stragglers(found, deletions)
        return sorted(found, key=lambda message: message.sent)

    def _at(self, moment: float) -> int:
        return OPENS + int(moment * SPAN)

    def _event(self, event: Event, happened: float, delay: float) -> Sent:
        kind = KINDS.index(type(event))
        return Sent(happened, happened + delay, kind, event.customer_id, encode(event))

    def _delay(self) -> float:
        """Mostly none: one in ten a little late, one in a hundred very."""
        drawn = self._rnd.random()
        if drawn < 0.01:
            return self._rnd.uniform(0, 0.3)
        return self._rnd.uniform(0, 0.02) if drawn < 0.1 else self._rnd.uniform(0, 0.0005)

    def _customer(self) -> str:
        """Zipf: some come all the time, most now and then."""
        drawn = self._rnd.random() * self._weights[-1]
        return self._names[bisect(self._weights, drawn)]

    def _behaviours(self) -> Iterator[Sent]:
        for number in range(round(1.01 * self._events)):  # those after a deletion fall away
            first_round = number < len(self._names)
            customer = self._names[number] if first_round else self._customer()
            moment = self._rnd.random()
            event = self._behaviour(customer, moment)
            yield self._event(event, moment, self._delay())
            if isinstance(event, Purchase) and self._rnd.random() < EDITED:
                later = self._rnd.uniform(moment, 1)
                yield self._event(self._edit(event, later), later, self._delay())

    def _edit(self, order: Purchase, moment: float) -> Purchase:
        self._number += 1
        name, items = f"e{self._number}", (self._item(order.customer_id),)
        at = self._at(moment)
        return msgspec.structs.replace(order, event_id=name, occurred_at=at, items=items)

    def _behaviour(self, customer: str, moment: float) -> Event:
        rnd, at = self._rnd, self._at(moment)
        self._number += 1
        name = f"e{self._number}"
        if rnd.random() < AHEAD:
            at = FAR + self._number
        match rnd.randrange(10):
            case 0 | 1 | 2:
                items = tuple(self._item(customer) for _ in range(rnd.choice((1, 1, 2, 4))))
                return Purchase(name, customer, at, items, order_id=f"o{name}")
            case 3:
                query = f"{rnd.choice(CATEGORIES).replace('/', ' ')} cheap"
                return Browse(name, customer, at, "search", query=query)
            case 4 | 5:
                channel, action = rnd.choice(("email", "push")), rnd.choice(("open", "redeem"))
                return Engagement(name, customer, at, channel, action, f"w{rnd.randrange(9)}")
            case _:
                device = {"device": rnd.choice(("phone", "desktop"))}
                did: Action = rnd.choice(("view", "view", "add_to_cart"))
                return Browse(name, customer, at, did, self._item(customer), attributes=device)

    def _item(self, customer: str) -> Item:
        rnd = self._rnd
        liked = TASTES[self._taste(customer)]
        category = rnd.choice(liked if rnd.random() < 0.7 else CATEGORIES)
        price = rnd.choice((0.99, 4.5, 19.0, 80.0, 450.0))
        return Item(f"p{rnd.randrange(400)}", category, f"b{rnd.randrange(20)}", price)

    def _taste(self, customer: str) -> str:
        return PERSONAS[int(customer[1:]) * 7 % len(PERSONAS)]

    def _assignments(self) -> Iterator[Sent]:
        labelled = self._rnd.sample(self._names, max(8, int(LABELLED * len(self._names))))
        self._labelled.update(labelled)
        for customer in labelled:
            moment = self._rnd.uniform(0, 0.7)
            yield self._assignment(customer, self._taste(customer), moment)
            if self._rnd.random() < OVERRIDDEN:
                other = self._rnd.choice(PERSONAS)
                yield self._assignment(customer, other, self._rnd.uniform(moment, 0.95))
            if self._rnd.random() < WITHDRAWN:
                yield self._assignment(customer, None, self._rnd.uniform(moment, 0.95))

    def _assignment(self, customer: str, persona: str | None, moment: float) -> Sent:
        self._number += 1
        expires = None
        if persona is not None and self._rnd.random() < EXPIRING:
            expires = self._at(self._rnd.uniform(moment, 1.2))
        event = Assignment(
            f"a{self._number}", customer, self._at(moment), persona, "study", expires
        )
        return self._event(event, moment, self._delay())

    def _ending_ones(self) -> Iterator[Sent]:
        others = [name for name in self._names if name not in self._labelled]
        for customer in self._rnd.sample(others, max(4, int(ENDING * len(self._names)))):
            self._number += 1
            moment = self._rnd.uniform(0, 1)
            name, persona = f"a{self._number}", self._taste(customer)
            event = Assignment(name, customer, self._at(moment), persona, "study")
            after = round(self._rnd.uniform(*ENDS_AFTER), 1)
            yield replace(self._event(event, moment, 0.0), ends_after=after)

    def _deletions(self) -> Iterator[Sent]:
        """Delete customers often seen and others; half of them go on shopping."""
        number = max(4, int(DELETED * len(self._names)))
        often = self._rnd.sample(self._names[: len(self._names) // 10], number // 2)
        rest = self._rnd.sample(self._names[len(self._names) // 10 :], number - number // 2)
        for place, customer in enumerate([*often, *rest]):
            moment = self._rnd.uniform(0.2, 0.7)
            goes_on = (place % 2 == 0) if place < 4 else self._rnd.random() < GOES_ON
            if not goes_on:
                self._closes[customer] = moment
            yield self._deletion(customer, moment)
            if self._rnd.random() < TWICE:
                yield self._deletion(customer, self._rnd.uniform(0.05, moment))
            if goes_on and self._rnd.random() < RELABELLED:
                self._labelled.add(customer)
                later = self._rnd.uniform(moment, 0.9)
                yield self._assignment(customer, self._taste(customer), later)

    def _deletion(self, customer: str, moment: float) -> Sent:
        self._number += 1
        late = self._rnd.random() < LATE_REQUEST
        delay = self._rnd.uniform(0, 0.1) if late else self._delay()
        return self._event(Deletion(f"d{self._number}", customer, self._at(moment)), moment, delay)

    def _stragglers(self, found: list[Sent], deletions: list[Sent]) -> list[Sent]:
        """Send some older events of a deleted customer after the deletion."""
        deleted = {d.customer: d for d in deletions}
        late = {}
        for place, message in enumerate(found):
            deletion = deleted.get(message.customer)
            if deletion is None or message.kind == DELETION:
                continue
            older = message.happened <= deletion.happened
            if older and self._rnd.random() < (0.5 if message.kind == ASSIGNMENT else 0.1):
                late[place] = deletion.sent + self._rnd.uniform(0, 0.1)
        return [replace(m, sent=late[p]) if p in late else m for p, m in enumerate(found)]
