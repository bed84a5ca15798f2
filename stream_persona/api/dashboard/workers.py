"""The workers as their reports tell of them: who lives, how much they do, how quickly. Pure.

Reports carry a worker's own clock, which need not be ours. Differences between its times are
right whatever it shows, and it lives for as long as they move: for that our own clock counts. A
report that is seen for the first time counts as of now if the two clocks say so too.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from stream_persona.errors import ConfigError, UnavailableError
from stream_persona.store import worker_status

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stream_persona.store.tables import Tables
    from stream_persona.store.worker_status import ModelStatus, WorkerStatus

#: Seconds after its last report for which a worker is taken to live.
ALIVE: Final = 15.0
#: Seconds over which events are counted, and over which changes are timed.
RATE_WINDOW: Final = 10.0
CHANGE_WINDOW: Final = 60.0
#: A worker reports every two seconds: what is silent for longer than two reports does nothing.
_USUAL_SILENCE: Final = 4.0


class _Point(NamedTuple):
    """A worker's sums at one time, as if it had never begun anew."""

    at: int  # ms, the worker's clock
    seen: float  # s, ours
    events: int
    counts: list[int]


class _Known:
    """One worker: its last report, when that came, and its sums over the last minute or so."""

    def __init__(self, status: WorkerStatus, now: float, moved: float) -> None:
        self.status = status
        self.moved = moved
        first = _Point(status.at, now, status.events, list(status.change_counts))
        self._points = deque([first])

    def take(self, status: WorkerStatus, now: float) -> None:
        """Take in a report; the same one as before says nothing."""
        last, point = self.status, self._points[-1]
        if status.at == last.at:
            return
        again = status.started_at != last.started_at or status.events < last.events
        counts = status.change_counts
        before = [0] * len(counts) if again else last.change_counts
        more = [new - old for new, old in zip(counts, before, strict=True)]
        events = point.events + status.events - (0 if again else last.events)
        summed = [old + new for old, new in zip(point.counts, more, strict=True)]
        self._points.append(_Point(status.at, now, events, summed))
        self.status, self.moved = status, now
        while len(self._points) > 1 and self._points[1].seen <= now - CHANGE_WINDOW:
            self._points.popleft()

    def rate(self, now: float) -> float | None:
        """Events a second over the last ten or so; None before there is a second report."""
        newest = self._points[-1]
        since = self._before(newest.seen - RATE_WINDOW)
        seconds = (newest.at - since.at) / 1_000
        if seconds <= 0:
            return None
        silence = max(0.0, now - self.moved - _USUAL_SILENCE)
        return max(0, newest.events - since.events) / (seconds + silence)

    def changes(self, now: float) -> list[int]:
        """Of the last minute, by the buckets of how long they took."""
        since = self._before(now - CHANGE_WINDOW)
        newest = self._points[-1].counts
        return [max(0, new - old) for new, old in zip(newest, since.counts, strict=True)]

    def _before(self, seen: float) -> _Point:
        """The newest point that is at least so old, or else the oldest."""
        older = [point for point in self._points if point.seen <= seen]
        return older[-1] if older else self._points[0]


class Crew:
    """All workers; times are seconds that never go back, but ``wall_ms``: epoch milliseconds."""

    def __init__(self, now: float) -> None:
        self._known: dict[str, _Known] = {}
        self._last_moved = now

    def take(self, reports: Mapping[str, WorkerStatus], now: float, wall_ms: int) -> None:
        """Take in all reports that there are; whoever has none any more has left in order."""
        self._known = {worker: own for worker, own in self._known.items() if worker in reports}
        for worker, status in reports.items():
            own = self._known.get(worker)
            if own is not None and own.status.change_bounds == status.change_bounds:
                own.take(status, now)
            else:
                fresh = abs(wall_ms - status.at) < 1_000 * ALIVE
                self._known[worker] = _Known(status, now, now if fresh else now - ALIVE)
        self._last_moved = max([self._last_moved, *(own.moved for own in self._known.values())])

    def alive(self, now: float) -> list[WorkerStatus]:
        """The last reports of those that live, by name."""
        return [own.status for _, own in sorted(self._known.items()) if _lives(own, now)]

    def silence(self, now: float) -> float:
        """Seconds since any worker was heard of, or since we began to listen."""
        return now - self._last_moved

    def rate(self, worker: str, now: float) -> float | None:
        """Events a second of one worker; None if that is not known yet."""
        return self._known[worker].rate(now) if worker in self._known else None

    def events_per_second(self, now: float) -> float | None:
        """Of all that live; None if nothing is known of any of them yet."""
        rates = [own.rate(now) for own in self._known.values() if _lives(own, now)]
        known = [rate for rate in rates if rate is not None]
        return sum(known, 0.0) if known or not rates else None

    def change_p99_ms(self, now: float) -> float | None:
        """From an event's arrival to its change's publication, of 99 % of the last minute's."""
        workers = list(self._known.values())
        if not workers:
            return None
        bounds = workers[0].status.change_bounds
        alike = [own.changes(now) for own in workers if own.status.change_bounds == bounds]
        seconds = quantile(0.99, bounds, [sum(column) for column in zip(*alike, strict=True)])
        return None if seconds is None else 1_000 * seconds


def quantile(share: float, bounds: Sequence[float], counts: Sequence[int]) -> float | None:
    """The value below which this share of a histogram lies; None if nothing was counted.

    Within a bucket values are taken to lie evenly (linear interpolation); of the last bucket, which
    has no upper bound, nothing is known but its lower one.

    >>> quantile(0.5, [1.0, 2.0], [0, 4, 0])
    1.5
    """
    wanted, passed = share * sum(counts), 0
    if not wanted:
        return None
    for (low, high), number in zip(pairwise([0.0, *bounds]), counts, strict=False):
        if number and passed + number >= wanted:
            return low + (high - low) * (wanted - passed) / number
        passed += number
    return bounds[-1] if bounds else None


def _lives(own: _Known, now: float) -> bool:
    return now - own.moved < ALIVE


logger = logging.getLogger(__name__)


#: Seconds between two looks.
INTERVAL: Final = 2.0


class Reports:
    """What the workers report; ``away``: whether Redis is, None before the first look.

    ``models`` are those of the workers that live, added up.
    """

    def __init__(self, tables: Tables, personas: Sequence[str]) -> None:
        self._tables = tables
        self._personas = personas
        self._crew = Crew(time.monotonic())
        self._unreadable: set[str] = set()
        self.away: bool | None = None
        self._lived: list[WorkerStatus] = []
        self.models: list[ModelStatus] = []

    async def look(self) -> None:
        """Read all reports; while Redis is away the last ones stay."""
        try:
            found = await self._tables.reports()
        except (UnavailableError, ConfigError) as error:
            if not self.away:
                logger.warning("the workers' reports can't be read for now: %s", error)
            self.away = True
            return
        now = time.monotonic()
        self._crew.take(self._read(found), now, time.time_ns() // 1_000_000)
        self.away, self._lived = False, self._crew.alive(now)
        self.models = worker_status.merged_models(self._lived, self._personas)

    @property
    def alive(self) -> list[WorkerStatus]:
        """The last reports of the workers that live, or did when Redis last answered."""
        return self._lived if self.away else self._crew.alive(time.monotonic())

    @property
    def current(self) -> ModelStatus | None:
        """The model in use; None without a worker."""
        return next((model for model in self.models if model.name == worker_status.CURRENT), None)

    @property
    def silence(self) -> float:
        """Seconds since any worker was heard of."""
        return self._crew.silence(time.monotonic())

    @property
    def events_per_second(self) -> float | None:
        """Of all workers that live."""
        return None if self.away else self._crew.events_per_second(time.monotonic())

    @property
    def change_p99_ms(self) -> float | None:
        """See ``Crew``."""
        return None if self.away else self._crew.change_p99_ms(time.monotonic())

    def rate(self, worker: str) -> float | None:
        """Events a second of one worker."""
        return self._crew.rate(worker, time.monotonic())

    def _read(self, found: Mapping[str, bytes]) -> dict[str, WorkerStatus]:
        """The reports by worker; that of another release may be none, which is told once."""
        read = {}
        for worker, blob in found.items():
            try:
                read[worker] = worker_status.decode(blob)
            except msgspec.DecodeError as error:
                if worker not in self._unreadable:
                    logger.warning("the report of worker %s can't be read: %s", worker, error)
                self._unreadable.add(worker)
        self._unreadable &= found.keys()
        return read
