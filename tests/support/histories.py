"""Random histories of customers, and what they end in whatever the order of delivery."""

import random
from collections.abc import Sequence

from stream_persona.domain.events import Event
from stream_persona.domain.taxonomy import Taxonomy
from stream_persona.pipeline.types import Delivery
from tests.support.constants import HOUR, PERSONAS
from tests.support.events import (
    assignment,
    browse,
    deliver,
    engagement,
    interleave,
    purchase,
    quick_shop,
    redeliver,
    split_into_batches,
)
from tests.support.processing import fold_batches

#: A taxonomy with so short a half-life that hours cross several epochs.
SHOP = quick_shop()


def random_events(rng: random.Random, customer: str, earliest: int, latest: int) -> list[Event]:
    """Behaviour and assignments of one customer over several epochs, in no order of time."""
    made: list[Event] = []
    for i in range(rng.randint(1, 25)):
        name, at = f"{customer}-{i}-{earliest}", rng.randint(earliest, latest)
        expires = rng.choice([None, at + rng.randint(0, 8 * HOUR)])
        categories = rng.choices("abcdef", k=rng.randint(1, 4))
        made.append(
            rng.choice([
                purchase(name, at, customer, categories),
                browse(name, at, customer, rng.choice(["red shoes", "tv", "dog food"])),
                engagement(name, at, customer),
                assignment(name, at, customer, rng.choice([*PERSONAS, None]), expires),
            ])
        )  # fmt: skip
    return made


def random_inputs(rng: random.Random, happened: Sequence[Event]) -> list[list[Delivery]]:
    """Every event on one of two partitions of its topic, at rising offsets."""
    parts: tuple[list[Event], list[Event]] = ([], [])
    for event in happened:
        rng.choice(parts).append(event)
    runs: dict[tuple[int, int], list[Delivery]] = {}
    for partition, part in enumerate(parts):
        for d in deliver(*part, partition=partition):
            runs.setdefault((d.kind, partition), []).append(d)
    return list(runs.values())


def folded_in_any_order(
    inputs: Sequence[Sequence[Delivery]], rng: random.Random, taxonomy: Taxonomy = SHOP
) -> set[bytes]:
    """Folded bytes of the same inputs in random orders, batches and copies: one if all agree."""
    found = set()
    for _ in range(4):
        order = redeliver(interleave(inputs, rng), rng)
        ended = fold_batches(split_into_batches(order, rng), taxonomy)
        found.add(b"|".join(ended[customer] for customer in sorted(ended)))
    return found
