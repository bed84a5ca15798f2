"""The customers with the most events of the last hour, in bounded memory.

Events are counted by customer in slots of five minutes. A slot that grows beyond its bound keeps
its heaviest customers alone, so a customer with few events may lose some, and one that is heavy
throughout loses none.

An id is a heavy one if it has ten times as many events as half of all ids have, and a hundred at
the least; or if it has one every two seconds all the hour, whatever the others do. Hardly a person
shops like that: it is a bot, a test, or one id that many shoppers share.
"""

from __future__ import annotations

from collections import Counter, deque
from statistics import median_low
from typing import TYPE_CHECKING, Final

from stream_persona.store.last_hour import list_heaviest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

#: Seconds of a slot, and slots of an hour.
_SLOT_SECONDS: Final = 300
_SLOTS: Final = 12
#: Customers that a slot keeps when it has become larger than the bound, or is over.
KEPT: Final = 500
BOUND: Final = 4_000

#: How many times the median, and how many events at the least, make an id a heavy one.
_TIMES: Final = 10
_FEWEST: Final = 100
#: Events of the last hour that make an id a heavy one in any case.
_ENOUGH: Final = 1_800


class HeavyCustomers:
    """Counts events by customer; ``clock`` gives seconds that never go back."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._slots: deque[tuple[int, Counter[str]]] = deque()

    def add(self, customers: Iterable[str]) -> None:
        """Count one event of each of these; a customer may be among them more than once."""
        events = self._get_current()
        events.update(customers)
        if len(events) > BOUND:
            _shrink(events)

    def forget(self, customers: Iterable[str]) -> None:
        """Drop these customers."""
        for customer in customers:
            for _, events in self._slots:
                events.pop(customer, None)

    def keep(self, wanted: Callable[[str], bool]) -> None:
        """Drop all customers but those that are wanted."""
        self.forget([each for each in self._sum() if not wanted(each)])

    def find_heavy(self) -> list[tuple[str, int]]:
        """Return the heavy customers of the last hour with their events, the heaviest first."""
        self._get_current()
        events = self._sum()
        if not events:
            return []
        least = min(_ENOUGH, max(_FEWEST, _TIMES * median_low(events.values())))
        return [(name, number) for name, number in list_heaviest(events) if number >= least]

    def _get_current(self) -> Counter[str]:
        """Return the running slot; what is older than an hour goes."""
        slot = int(self._clock() // _SLOT_SECONDS)
        if not self._slots or self._slots[-1][0] != slot:
            if self._slots:
                _shrink(self._slots[-1][1])
            self._slots.append((slot, Counter()))
        while self._slots[0][0] <= slot - _SLOTS:
            self._slots.popleft()
        return self._slots[-1][1]

    def _sum(self) -> Counter[str]:
        total = Counter[str]()
        for _, events in self._slots:
            total.update(events)
        return total


def _shrink(events: Counter[str]) -> None:
    """Keep the heaviest customers alone."""
    kept = dict(events.most_common(KEPT))
    events.clear()
    events.update(kept)
