"""Small builders of taxonomies, events and deliveries: test bodies stay short."""

import itertools
import random
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from stream_persona.domain import events
from stream_persona.domain.events import (
    Assignment,
    Browse,
    Deletion,
    Engagement,
    Event,
    Item,
    Purchase,
)
from stream_persona.domain.features import Observation
from stream_persona.domain.taxonomy import Taxonomy
from stream_persona.domain.tokenizer import SLOT_TYPE, WEIGHT_TYPE
from stream_persona.pipeline.process import Delivery
from tests.support.constants import DAY, NOW, PERSONAS


def shop(names: Iterable[str] = PERSONAS, **parts: Any) -> Taxonomy:
    """A taxonomy of these personas; ``parts`` are its other tables."""
    return Taxonomy.model_validate({"persona": [{"name": name} for name in names], **parts})


def quick_shop(**features: Any) -> Taxonomy:
    """A taxonomy whose half-life is about 15 minutes, and whose epochs last about four hours."""
    return shop(features={"half_life_days": 0.01, **features})


def event_id(event: Event) -> str:
    """The id that the producer gave an event of any kind."""
    if isinstance(event, Assignment):
        return event.assignment_id
    return event.request_id if isinstance(event, Deletion) else event.event_id


def purchase(
    name: str, at: datetime | int = NOW, customer: str = "c", categories: Iterable[str] = ("food",)
) -> Purchase:
    items = tuple(Item(f"p-{category}", category=category) for category in categories)
    return Purchase(name, customer, at, items)


def browse(
    name: str, at: datetime | int = NOW, customer: str = "c", query: str = "shoes"
) -> Browse:
    return Browse(name, customer, at, "search", query=query)


def engagement(name: str, at: datetime | int = NOW, customer: str = "c") -> Engagement:
    return Engagement(name, customer, at, "email", "click", campaign="spring")


def assignment(
    name: str,
    at: datetime | int = NOW,
    customer: str = "c",
    persona: str | None = "parent",
    expires_at: datetime | int | None = None,
) -> Assignment:
    return Assignment(name, customer, at, persona, expires_at=expires_at)


def deletion(name: str, at: datetime | int = NOW, customer: str = "c") -> Deletion:
    return Deletion(name, customer, at)


def labelled_shoppers(taxonomy: Taxonomy, customers: int = 4, seed: int = 1) -> list[Event]:
    """Events of labelled customers of each persona, mostly buying in the category of its name."""
    rng, made = random.Random(seed), []
    for persona, number in itertools.product(taxonomy.names, range(customers)):
        customer = f"{persona}-{number}"
        made.append(assignment(f"a-{customer}", NOW, customer, persona))
        for i in range(rng.randint(3, 12)):
            category = persona if rng.random() < 0.7 else rng.choice(taxonomy.names)
            at = NOW + rng.randint(0, 30 * DAY)
            made.append(purchase(f"{customer}-{i}", at, customer, (category, "food")))
    return made


def kind_of(event: Event) -> int:
    return events.KINDS.index(type(event))


def deliver_promptly(*happened: Event, partition: int = 0, first: int = 0) -> list[Delivery]:
    """The same, each arriving when it happens."""
    made = deliver(*happened, partition=partition, first=first)
    for delivery in made:
        delivery.arrived_at = delivery.at
    return made


def deliver(*happened: Event, partition: int = 0, first: int = 0) -> list[Delivery]:
    """Put each event at the next offset of its topic."""
    offsets = [itertools.count(first) for _ in events.KINDS]
    return [Delivery.of(e, kind_of(e), partition, next(offsets[kind_of(e)])) for e in happened]


def interleave(inputs: Sequence[Sequence[Delivery]], rng: random.Random) -> list[Delivery]:
    """Draw one order of all deliveries in which each input keeps its own."""
    rest, order = [list(run) for run in inputs if run], []
    while rest:
        order.append(rng.choice(rest).pop(0))
        rest = [run for run in rest if run]
    return order


def redeliver(deliveries: Sequence[Delivery], rng: random.Random) -> list[Delivery]:
    """Add copies of some deliveries, each somewhere behind its original."""
    order = list(deliveries)
    for delivery in rng.sample(order, len(order) // 3):
        order.insert(rng.randint(order.index(delivery) + 1, len(order)), delivery)
    return order


def split_into_batches(
    deliveries: Sequence[Delivery], rng: random.Random
) -> Iterator[list[Delivery]]:
    """Split the deliveries into batches of random sizes."""
    at = 0
    while at < len(deliveries):
        size = rng.randint(1, max(1, len(deliveries)))
        yield list(deliveries[at : at + size])
        at += size


def observation(row: int, at: int, tokens: Sequence[tuple[int, int]]) -> Observation:
    """An event of ``(slot, weight)`` for the customer in a row."""
    slots, weights = np.array(tokens, np.int64).reshape(-1, 2).T
    return Observation(
        row, at, slots.astype(SLOT_TYPE).tobytes(), weights.astype(WEIGHT_TYPE).tobytes()
    )
