"""Random histories of customers, and what they end in whatever the order of delivery."""

import random
from collections.abc import Sequence

from msgspec.structs import replace

from stream_persona.domain.events import Event, Purchase
from stream_persona.domain.taxonomy import Taxonomy
from stream_persona.pipeline.types import Delivery
from tests.support.constants import HOUR, MINUTE, PERSONAS
from tests.support.events import (
    assignment,
    browse,
    deliver,
    engagement,
    interleave,
    purchase,
    quick_shop,
    redeliver,
    shop,
    split_into_batches,
)
from tests.support.processing import fold_batches

#: A taxonomy with so short a half-life that hours cross several epochs.
SHOP = quick_shop()
#: The same, where clocks are believed for hours and two events of a minute are enough.
STRICT = shop(
    features={"half_life_days": 0.01},
    policy={
        "max_future_seconds": 7_200, "clock_tolerance_seconds": 3_600, "max_events_per_minute": 2
    },
)  # fmt: skip


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


def odd_events(rng: random.Random, customer: str, earliest: int, latest: int) -> list[Event]:
    """The same with what shops do besides: retries, edited orders, and many events in a minute."""
    made: list[Event] = []
    for event in random_events(rng, customer, earliest, latest):
        crowd = [
            browse(f"{customer}-{rng.random()}", _in_a_minute(rng, earliest), customer)
            for _ in range(rng.randint(0, 2))
        ]
        if isinstance(event, Purchase):
            order_id = rng.choice(["o-1", "o-2", f"o-{event.event_id}"])
            placed = replace(event, order_id=order_id)
            at = rng.randint(earliest, latest)
            edited = replace(placed, event_id=f"{event.event_id}-edited", occurred_at=at)
            made += [placed, *rng.choices([placed, edited, *crowd], k=rng.randint(0, 3))]
        else:
            made += [event, *rng.choices([event, *crowd], k=rng.randint(0, 3))]
    return made


def _in_a_minute(rng: random.Random, at: int) -> int:
    return at + rng.randint(0, 3) * MINUTE + rng.randint(0, MINUTE - 1)


def random_inputs(
    rng: random.Random, happened: Sequence[Event], arrivals: range | None = None
) -> list[list[Delivery]]:
    """Every event on one of two partitions of its topic, at rising offsets.

    With ``arrivals``, those of each input rise, too, whatever the times of its events; one input in
    three has none.
    """
    parts: tuple[list[Event], list[Event]] = ([], [])
    for event in happened:
        rng.choice(parts).append(event)
    runs: dict[tuple[int, int], list[Delivery]] = {}
    for partition, part in enumerate(parts):
        for d in deliver(*part, partition=partition):
            runs.setdefault((d.kind, partition), []).append(d)
    inputs = list(runs.values())
    if arrivals is not None:
        let_arrive(rng, inputs, arrivals)
    return inputs


def let_arrive(rng: random.Random, inputs: Sequence[Sequence[Delivery]], arrivals: range) -> None:
    """Let the broker set the times of two inputs in three."""
    for run in inputs:
        if rng.random() < 2 / 3:
            times = sorted(rng.choices(arrivals, k=len(run)))
            for delivery, at in zip(run, times, strict=True):
                delivery.arrived_at = at


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
