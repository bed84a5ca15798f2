"""Draws from a seed which faults come when: they wait for progress, not for a clock.

A fault is due once so many events have been applied and committed. What it hits (which worker,
the n-th time of which step) is drawn too, so a seed means the same on every run, as far as real
processes can. Faults overlap: the next one does not wait for the last one to be over.
"""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

#: After what a worker can be hit, in order: a partition's claim and its fence on the topic of
#: changes, a batch's load, write, dead letters and reroutes (``forward``), changes, and all of it
#: but the ack; a shard of the model. ``any`` is a signal from outside at no particular point.
STEPS = ("claim", "fence", "load", "write", "forward", "publish", "ack", "part", "any")

KILLS = tuple(f"kill:{step}" for step in STEPS)
ZOMBIES = tuple(f"zombie:{step}" for step in ("write", "load", "publish", "ack", "any"))
BROKER = ("broker:kill", "broker:term", "broker:pause")
REDIS = ("redis:kill", "redis:shutdown", "redis:pause")
#: Redis comes back older: with a file of some time ago, while workers run or while none does; or as
#: a replica that lagged and is promoted.
OLDER = ("older:file", "older:stopped", "older:replica")
SCALING = ("workers:more", "workers:less")

#: How often of a hundred faults, by group; each kind of a group is as likely as the others.
SHARES = {KILLS: 46, ZOMBIES: 14, BROKER: 10, REDIS: 10, OLDER: 8, SCALING: 12}
#: A short schedule has these once, and nothing else.
SHORT = (
    "kill:load", "kill:write", "kill:publish", "kill:ack", "zombie:write", "broker:kill",
    "redis:kill", "redis:shutdown", "older:file", "workers:more", "workers:less",
)  # fmt: skip
#: No fault is due before and after these shares of all events: there must be work to be amid.
FIRST, LAST = 0.03, 0.8
#: A step is hit at this time after the order at the latest.
NTH = 3


@dataclass(frozen=True)
class Fault:
    """``kind`` is due once ``after`` events are committed.

    ``worker`` picks one of those that run, ``nth`` the time at which it reaches the step.
    """

    number: int
    kind: str
    after: int
    worker: int
    nth: int

    @property
    def group(self) -> str:
        return self.kind.partition(":")[0]

    @property
    def how(self) -> str:
        return self.kind.partition(":")[2]


@dataclass(frozen=True)
class Plan:
    """A seed's faults, and how many workers there are at first."""

    seed: int
    workers: int
    faults: tuple[Fault, ...]

    def only(self, numbers: Sequence[int]) -> "Plan":
        """Return the plan with these faults alone, each where it was."""
        kept = tuple(fault for fault in self.faults if fault.number in set(numbers))
        return replace(self, faults=kept)

    def halves(self) -> Iterator["Plan"]:
        """Yield smaller plans to try when this one fails: the first half, then the second."""
        numbers = [fault.number for fault in self.faults]
        middle = len(numbers) // 2
        for half in (numbers[:middle], numbers[middle:]):
            if len(half) < len(numbers):
                yield self.only(half)


def plan(seed: int, events: int, faults: int) -> Plan:
    """Draw ``faults`` faults over ``events`` events, each kind at least once if there is room."""
    rnd = random.Random(f"schedule {seed}")
    kinds = list(_kinds(rnd, faults))
    rnd.shuffle(kinds)
    step = (LAST - FIRST) * events / max(1, len(kinds))
    found = [
        Fault(
            number, kind,
            after=int(FIRST * events + step * (number + rnd.uniform(0, 1))),
            worker=rnd.randrange(1_000), nth=rnd.randint(1, NTH),
        )
        for number, kind in enumerate(kinds)
    ]  # fmt: skip
    return Plan(seed, rnd.choice((2, 3)), tuple(found))


def _kinds(rnd: random.Random, faults: int) -> Iterator[str]:
    if faults <= len(SHORT):
        yield from SHORT[:faults]
        return
    certain = [*SHORT, *(kind for group in SHARES for kind in group if kind not in SHORT)]
    yield from certain[:faults]
    groups, shares = list(SHARES), list(SHARES.values())
    for _ in range(faults - len(certain)):
        yield rnd.choice(rnd.choices(groups, shares)[0])


def counts(faults: Sequence[Fault]) -> Counter[str]:
    """Count the faults of each group."""
    return Counter(fault.group for fault in faults)
