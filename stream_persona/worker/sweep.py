"""Nobody is left behind: shoppers who send nothing are scored again when the model has moved.

A sweep walks over all stored customers in small steps, between the batches of live events, and
says what has shifted with the cause ``model``. It goes on where it was after a rebalance, since a
step only looks for customers of the partitions that are owned then.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from stream_persona.kafka import partitioner

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from stream_persona.store.tables import Tables

#: Customers scored in one go: live events wait no longer than that takes.
CHUNK: Final = 200
_SCAN: Final = 1_000
#: A sweep is at work for this share of the time, at most; and while live events are many, for this
#: one.
_SHARE: Final = 0.25
_CROWDED_SHARE: Final = 0.04


@dataclass(slots=True)
class _Pass:
    """One walk over everybody: the model it began with, and whose customers it has seen."""

    version: str
    owned: frozenset[int]
    began: float


class Sweep:
    """The position of a worker's sweep, and how far the oldest record is behind the model."""

    def __init__(self, tables: Tables, partitions: int, rate: float) -> None:
        """``rate`` is the most shoppers of a second."""
        self._tables = tables
        self._partitions = partitions
        self._rate = rate
        #: Seconds to wait before the next step: live events come first.
        self.pause = 0.0
        self._cursor = 0
        self._under_way: _Pass | None = None
        self._done = _Pass("", frozenset(), time.monotonic())

    @property
    def under_way(self) -> bool:
        """Whether somebody is still to be looked at."""
        return self._under_way is not None

    def age(self, version: str) -> float:
        """Seconds by which the oldest public record may be behind the model of ``version``."""
        return 0.0 if self._done.version == version else time.monotonic() - self._done.began

    async def step(
        self,
        version: str,
        owned: frozenset[int],
        score: Callable[[dict[str, int]], Awaitable[float]],
        *,
        crowded: bool = False,
    ) -> int:
        """Look at the next customers with the model of ``version``; how many were scored.

        ``score`` is given customers with their partitions, and tells for how many seconds it was at
        it; ``crowded`` says that live events are many.
        """
        if self._under_way is None:
            if self._done.version == version and owned <= self._done.owned:
                return 0
            self._under_way = _Pass(version, owned, time.monotonic())
        began, busy = time.monotonic(), 0.0
        # What was not ours all the time may have been passed by: the next pass is for it.
        self._under_way.owned &= owned
        self._cursor, customers = await self._tables.scan(self._cursor, _SCAN)
        homes = [(customer, partitioner.home(customer, self._partitions)) for customer in customers]
        mine = [(customer, home) for customer, home in homes if home in owned]
        for start in range(0, len(mine), CHUNK):
            busy += await score(dict(mine[start : start + CHUNK]))
        if not self._cursor:
            self._done, self._under_way = self._under_way, None
        rest = len(mine) / self._rate - (time.monotonic() - began) if self._rate else 0.0
        share = _CROWDED_SHARE if crowded else _SHARE
        self.pause = max(rest, busy * (1 / share - 1), 0.0)
        return len(mine)
