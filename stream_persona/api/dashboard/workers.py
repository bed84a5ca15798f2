"""The workers by their reports: which are alive, how much they do, how quickly.

A report holds times of the worker's own clock, which may differ from ours. Differences between its
times are right whatever it shows, and the worker is alive for as long as they advance, by our own
clock. A report that is seen for the first time counts as of now if both clocks agree.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from stream_persona.clocks import epoch_ms
from stream_persona.errors import ConfigError, UnavailableError
from stream_persona.store import worker_status
from stream_persona.store.last_hour import merge_hours

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from stream_persona.store.last_hour import LastHour
    from stream_persona.store.tables import Tables
    from stream_persona.store.worker_status import ModelStatus, WorkerStatus

logger = logging.getLogger(__name__)

#: Seconds after its last report for which a worker counts as alive.
ALIVE: Final = 15.0
#: Seconds over which events are counted, and over which changes are timed.
RATE_WINDOW: Final = 10.0
CHANGE_WINDOW: Final = 60.0
#: Seconds between two refreshes.
INTERVAL: Final = 2.0
#: A worker reports every two seconds: after two reports' time without one it does nothing.
_USUAL_SILENCE: Final = 4.0


class _Point(NamedTuple):
    """A worker's totals at one time, as if it had never restarted."""

    at: int  # ms, the worker's clock
    seen: float  # s, ours
    events: int
    counts: list[int]


class _TrackedWorker:
    """One worker: its last report, when that came, and its totals over the last minute or so."""

    def __init__(self, status: WorkerStatus, now: float, advanced: float) -> None:
        self.status = status
        self.advanced = advanced
        first = _Point(status.at, now, status.events, list(status.change_counts))
        self._points = deque([first])

    def update(self, status: WorkerStatus, now: float) -> None:
        """Add a report, unless it is the same one as before."""
        last, point = self.status, self._points[-1]
        if status.at == last.at:
            return
        restarted = status.started_at != last.started_at or status.events < last.events
        counts = status.change_counts
        before = [0] * len(counts) if restarted else last.change_counts
        added = [new - old for new, old in zip(counts, before, strict=True)]
        events = point.events + status.events - (0 if restarted else last.events)
        summed = [old + new for old, new in zip(point.counts, added, strict=True)]
        self._points.append(_Point(status.at, now, events, summed))
        self.status, self.advanced = status, now
        while len(self._points) > 1 and self._points[1].seen <= now - CHANGE_WINDOW:
            self._points.popleft()

    def is_alive(self, now: float) -> bool:
        """Return whether its reports have advanced lately."""
        return now - self.advanced < ALIVE

    def compute_rate(self, now: float) -> float | None:
        """Return events a second over the last ten or so; None before there is a second report."""
        newest = self._points[-1]
        since = self._find_point_before(newest.seen - RATE_WINDOW)
        seconds = (newest.at - since.at) / 1_000
        if seconds <= 0:
            return None
        silence = max(0.0, now - self.advanced - _USUAL_SILENCE)
        return max(0, newest.events - since.events) / (seconds + silence)

    def count_changes(self, now: float) -> list[int]:
        """Count the last minute's changes in the buckets of how long they took."""
        since = self._find_point_before(now - CHANGE_WINDOW)
        newest = self._points[-1].counts
        return [max(0, new - old) for new, old in zip(newest, since.counts, strict=True)]

    def _find_point_before(self, seen: float) -> _Point:
        """Return the newest point that is at least so old, or else the oldest."""
        older = [point for point in self._points if point.seen <= seen]
        return older[-1] if older else self._points[0]


class Workers:
    """All workers; times are seconds that never go back, but ``wall_ms``: epoch milliseconds."""

    def __init__(self, now: float) -> None:
        self._tracked: dict[str, _TrackedWorker] = {}
        self._last_advanced = now

    def update(self, reports: Mapping[str, WorkerStatus], now: float, wall_ms: int) -> None:
        """Add the reports of all workers; one without a report any more has left in order."""
        self._tracked = {name: each for name, each in self._tracked.items() if name in reports}
        for name, status in reports.items():
            tracked = self._tracked.get(name)
            if tracked is not None and tracked.status.change_bounds == status.change_bounds:
                tracked.update(status, now)
            else:
                fresh = abs(wall_ms - status.at) < 1_000 * ALIVE
                self._tracked[name] = _TrackedWorker(status, now, now if fresh else now - ALIVE)
        advanced = [each.advanced for each in self._tracked.values()]
        self._last_advanced = max([self._last_advanced, *advanced])

    def find_alive(self, now: float) -> list[WorkerStatus]:
        """Return the last reports of the workers that are alive, by name."""
        return [each.status for _, each in sorted(self._tracked.items()) if each.is_alive(now)]

    def compute_silence(self, now: float) -> float:
        """Return the seconds since any worker's last report, or since the first refresh."""
        return now - self._last_advanced

    def compute_rate(self, worker: str, now: float) -> float | None:
        """Return one worker's events a second; None if unknown."""
        return self._tracked[worker].compute_rate(now) if worker in self._tracked else None

    def compute_events_per_second(self, now: float) -> float | None:
        """Sum the rates of the workers that are alive; None if none of theirs is known yet."""
        rates = [each.compute_rate(now) for each in self._tracked.values() if each.is_alive(now)]
        known = [rate for rate in rates if rate is not None]
        return sum(known, 0.0) if known or not rates else None

    def compute_change_p99_ms(self, now: float) -> float | None:
        """Return the last minute's 99 % quantile from an event's arrival to its change."""
        tracked = list(self._tracked.values())
        if not tracked:
            return None
        bounds = tracked[0].status.change_bounds
        alike = [each.count_changes(now) for each in tracked if each.status.change_bounds == bounds]
        seconds = compute_quantile(
            0.99, bounds, [sum(column) for column in zip(*alike, strict=True)]
        )
        return None if seconds is None else 1_000 * seconds


def compute_quantile(share: float, bounds: Sequence[float], counts: Sequence[int]) -> float | None:
    """Return the value below which this share of a histogram lies; None if nothing was counted.

    Values are taken to lie evenly within a bucket (linear interpolation); of the last bucket, which
    has no upper bound, the lower one is returned.

    >>> compute_quantile(0.5, [1.0, 2.0], [0, 4, 0])
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


class WorkerReports:
    """The workers' reports as Redis last had them. ``away``: it is; None before the first refresh.

    ``models`` are those of the workers that are alive, added up. ``clock`` gives seconds that
    never go back, ``wall_clock`` epoch milliseconds.
    """

    def __init__(
        self,
        tables: Tables,
        personas: Sequence[str],
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], int] = epoch_ms,
    ) -> None:
        self._tables = tables
        self._personas = personas
        self._clock, self._wall_clock = clock, wall_clock
        self._workers = Workers(clock())
        self._unreadable: set[str] = set()
        self.away: bool | None = None
        self._last_alive: list[WorkerStatus] = []
        self.models: list[ModelStatus] = []

    async def refresh(self) -> None:
        """Read all reports; while Redis is away the last ones stay."""
        try:
            blobs = await self._tables.load_reports()
        except (UnavailableError, ConfigError) as error:
            if not self.away:
                logger.warning("the workers' reports can't be read for now: %s", error)
            self.away = True
            return
        now = self._clock()
        self._workers.update(self._decode(blobs), now, self._wall_clock())
        self.away, self._last_alive = False, self._workers.find_alive(now)
        self.models = worker_status.merge_models(self._last_alive, self._personas)

    @property
    def alive(self) -> list[WorkerStatus]:
        """The last reports of the workers that are alive, or were when Redis last answered."""
        return self._last_alive if self.away else self._workers.find_alive(self._clock())

    @property
    def current(self) -> ModelStatus | None:
        """The model in use; None without a worker."""
        return next((model for model in self.models if model.name == worker_status.CURRENT), None)

    @property
    def last_hour(self) -> LastHour:
        """The last hour of all workers that are alive together."""
        return merge_hours(each.last_hour for each in self.alive)

    @property
    def unknown_labels(self) -> dict[str, int]:
        """Labels of personas that the taxonomy does not know, by persona."""
        return dict(sum((Counter(each.unknown_labels) for each in self.alive), Counter[str]()))

    @property
    def silence(self) -> float:
        """Seconds since any worker's last report."""
        return self._workers.compute_silence(self._clock())

    @property
    def events_per_second(self) -> float | None:
        """Of all workers that are alive; None while Redis is away."""
        return None if self.away else self._workers.compute_events_per_second(self._clock())

    @property
    def change_p99_ms(self) -> float | None:
        """See ``Workers``; None while Redis is away."""
        return None if self.away else self._workers.compute_change_p99_ms(self._clock())

    def compute_rate(self, worker: str) -> float | None:
        """Return one worker's events a second."""
        return self._workers.compute_rate(worker, self._clock())

    def _decode(self, blobs: Mapping[str, bytes]) -> dict[str, WorkerStatus]:
        """Decode the reports by worker; one that fails, of another release, is logged once."""
        reports = {}
        for worker, blob in blobs.items():
            try:
                reports[worker] = worker_status.decode_report(blob)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                if worker not in self._unreadable:
                    logger.warning("the report of worker %s can't be read: %s", worker, error)
                self._unreadable.add(worker)
        self._unreadable &= blobs.keys()
        return reports
