"""Labelled customers of a made-up shop, as members of a calibration panel, and their sums."""

import itertools
import random
from collections.abc import Sequence

from stream_persona.domain.features import Profiles
from stream_persona.domain.slots import COARSE_SLOTS
from stream_persona.model.calibration_panel import Member
from stream_persona.model.classifier import make_profile
from stream_persona.model.statistics import FOLDS, Stacked, Sums, make_contribution
from tests.support.constants import PERSONAS

CUSTOMERS = 160
#: Coarse slots, and fine ones, of which each persona has its favourites.
COARSE = range(1, 61)
FINE = range(COARSE_SLOTS, COARSE_SLOTS + 200)


def customer(rng: random.Random, persona: int, events: float | None = None) -> Profiles:
    """A profile of one coarse and one fine token an event, a third of them the persona's own."""
    number = events or float(round(10 ** rng.uniform(0.3, 2.7)))
    x: dict[object, float] = {"events": number}
    for _, slots in itertools.product(range(round(number)), (COARSE, FINE)):
        own = slots[persona :: len(PERSONAS)]
        slot = rng.choice(own if rng.random() < 0.3 else slots)
        x[slot] = x.get(slot, 0.0) + number / round(number)
    return make_profile(x)


def customers(count: int = CUSTOMERS, seed: int = 1) -> list[Member]:
    rng = random.Random(seed)
    made = []
    for i in range(count):
        key, persona = rng.getrandbits(64), i % len(PERSONAS)
        profile = customer(rng, persona)
        made.append(Member(key, key % FOLDS, PERSONAS[persona], profile))
    return made


def anew(members: Sequence[Member]) -> list[Member]:
    """The same members, with nothing drawn yet."""
    return [Member(m.key, m.fold, m.label, m.profile) for m in members]


def summed(members: Sequence[Member]) -> Sums:
    sums = Sums()
    for member in members:
        sums.add(make_contribution(member.profile, member.fold), member.label)
    return sums


def stacked(members: Sequence[Member]) -> Stacked:
    return summed(members).stack(PERSONAS)


def as_bytes(profiles: Profiles) -> tuple[bytes, ...]:
    arrays = (
        profiles.starts,
        profiles.middles,
        profiles.slots,
        profiles.shares,
        profiles.events,
    )
    return tuple(array.tobytes() for array in arrays)
