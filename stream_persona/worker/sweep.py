"""Scores idle customers again when the model has moved, so that no public record stays behind it.

A sweep passes over all stored customers in small steps, between the batches of live events, and
publishes what has shifted with the cause ``model``. It goes on where it was after a rebalance,
since a step only looks for customers of the partitions that are owned then.

Once in a while a sweep is thorough: it also looks at the markers of deleted customers, and what
scores its customers compares their public records with their private ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from stream_persona.kafka import partitioner
from stream_persona.store.duty_cycle import find_rest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from stream_persona.store.tables import Tables

#: Customers scored in one go: live events wait no longer than that takes.
CHUNK: Final = 200
_SCAN: Final = 1_000
#: A sweep works for at most this share of the time; and while live events are many, for this one.
_DUTY_CYCLE: Final = 1 / 4
_BUSY_DUTY_CYCLE: Final = 1 / 25
#: Seconds between the beginnings of two thorough sweeps, at least.
THOROUGH_SECONDS: Final = 3_600.0


@dataclass(slots=True)
class _Pass:
    """One pass over all customers: the model it began with, and the partitions it has covered."""

    version: str
    owned: frozenset[int]
    began: float
    is_thorough: bool = False
    in_markers: bool = False


class Sweep:
    """The position of a worker's sweep, and how far the oldest record is behind the model."""

    def __init__(
        self, tables: Tables, partitions: int, rate: float, clock: Callable[[], float]
    ) -> None:
        """Score at most ``rate`` customers a second; ``clock`` gives seconds that never go back."""
        self._tables = tables
        self._partitions = partitions
        self._rate = rate
        self._clock = clock
        #: Seconds to wait before the next step: live events come first.
        self.pause = 0.0
        self._cursor = 0
        self._under_way: _Pass | None = None
        self._done = _Pass("", frozenset(), clock())
        self._thorough_at = -math.inf

    @property
    def under_way(self) -> bool:
        """Whether a pass has begun and not ended."""
        return self._under_way is not None

    @property
    def is_thorough(self) -> bool:
        """Whether the pass that is under way is a thorough one."""
        return self._under_way is not None and self._under_way.is_thorough

    def compute_age(self, version: str) -> float:
        """Return the seconds by which the oldest public record may lag behind ``version``."""
        return 0.0 if self._done.version == version else self._clock() - self._done.began

    async def step(
        self,
        version: str,
        owned: frozenset[int],
        score: Callable[[dict[str, int]], Awaitable[float]],
        *,
        busy: bool = False,
    ) -> int:
        """Score the next customers by the model of ``version``; return how many.

        ``score`` is given customers with their partitions, and returns the seconds that it worked;
        ``busy`` says that live events are many.
        """
        under_way = self._under_way = self._begin_or_go_on(version, owned)
        if under_way is None:
            return 0
        began, seconds, scored = self._clock(), 0.0, 0
        for chunk in self._split_into_chunks(await self._scan(under_way), owned):
            seconds += await score(chunk)
            scored += len(chunk)
        if not self._cursor:
            self._done, self._under_way = under_way, None
        rest = scored / self._rate - (self._clock() - began) if self._rate else 0.0
        self.pause = max(rest, find_rest(seconds, _BUSY_DUTY_CYCLE if busy else _DUTY_CYCLE))
        return scored

    def _begin_or_go_on(self, version: str, owned: frozenset[int]) -> _Pass | None:
        """Return the pass under way, or begin one; None when the last one is still good."""
        current = self._under_way
        if current is None:
            now = self._clock()
            is_thorough = now >= self._thorough_at + THOROUGH_SECONDS
            if self._done.version == version and owned <= self._done.owned and not is_thorough:
                return None
            if is_thorough:
                self._thorough_at = now
            return _Pass(version, owned, now, is_thorough)
        # What was not ours all the time may have been passed by: the next pass is for it.
        current.owned &= owned
        return current

    async def _scan(self, under_way: _Pass) -> list[str]:
        """Read the next customers; in a thorough pass, the deleted ones come at its end."""
        scan = self._tables.scan_markers if under_way.in_markers else self._tables.scan
        self._cursor, customers = await scan(self._cursor, _SCAN)
        if not self._cursor and under_way.is_thorough and not under_way.in_markers:
            under_way.in_markers = True
            self._cursor, deleted = await self._tables.scan_markers(0, _SCAN)
            customers += deleted
        return customers

    def _split_into_chunks(
        self, customers: list[str], owned: frozenset[int]
    ) -> Iterator[dict[str, int]]:
        """Yield the owned customers with their partitions, some at a time."""
        homes = [
            (customer, partitioner.find_home_partition(customer, self._partitions))
            for customer in customers
        ]
        mine = [(customer, home) for customer, home in homes if home in owned]
        for start in range(0, len(mine), CHUNK):
            yield dict(mine[start : start + CHUNK])
