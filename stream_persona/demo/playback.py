"""Plays a journey at a chosen speed of event time, with synthetic shoppers beside."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable, Iterator
from typing import Final

from stream_persona.demo.feeder import Feeder
from stream_persona.demo.journey import Journey
from stream_persona.demo.simulator import Simulator
from stream_persona.domain.events import Event, get_event_time

#: Milliseconds of a day.
DAY: Final = 86_400_000
#: Seconds between two batches of events.
_TICK: Final = 0.05


class Playback:
    """The events of a journey and of a simulator, at ``speed`` days of event time per second.

    ``rate`` is that of the synthetic events, per second. ``position`` is the event time reached, in
    epoch milliseconds; behind the journey's end, which is about now, it goes on as time does.
    """

    def __init__(
        self,
        journey: Journey,
        simulator: Simulator,
        *,
        speed: float,
        rate: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._simulator = simulator
        self._clock = clock
        self._start = self.position = journey.start
        #: Days of event time in the whole journey.
        self.total_days = (journey.end - journey.start) / DAY
        self.speed, self._rate = speed, rate
        self._synthetic = 0
        self._rest = journey.generate_events_and_assignments()
        self._next = next(self._rest, None)

    @property
    def is_over(self) -> bool:
        """Whether the journey has come to its end."""
        return self._next is None

    @property
    def days(self) -> float:
        """Days of event time played so far."""
        return (self.position - self._start) / DAY

    def take_due(self, elapsed: float) -> Iterator[tuple[int, Event]]:
        """Advance to ``elapsed`` seconds; return kind and event of all until then, in order."""
        start, self.position = self.position, self._find_position(elapsed)
        count = int(elapsed * self._rate) - self._synthetic
        self._synthetic += count
        times = [start + (self.position - start) * (i + 1) // count for i in range(count)]
        due = (self._take_until(self.position), self._simulator.generate_events(times))
        return heapq.merge(*due, key=lambda pair: get_event_time(pair[1]))

    async def run(self, feeder: Feeder, *, until: float | None, endless: bool) -> None:
        """Feed what is due until ``until``, by the clock, or until the journey is over.

        The time for which the feeder waits for the workers does not count. ``endless`` goes on
        with the synthetic shoppers when the journey is over.
        """
        began, played = self._clock() - feeder.waited_seconds, 0.0
        while (endless or not self.is_over) and (until is None or self._clock() < until):
            elapsed = self._clock() - feeder.waited_seconds - began
            # A day of events at most, however far behind: the end may come at any time.
            played = min(elapsed, played + 1 / self.speed)
            for kind, event in self.take_due(played):
                await feeder.send(kind, event)
            await feeder.flush()
            await asyncio.sleep(_TICK if played == elapsed else 0)

    def _find_position(self, elapsed: float) -> int:
        over = max(0.0, elapsed - self.total_days / self.speed)
        return self._start + round((elapsed - over) * self.speed * DAY + over * 1_000)

    def _take_until(self, horizon: int) -> Iterator[tuple[int, Event]]:
        while self._next is not None and get_event_time(self._next[1]) <= horizon:
            yield self._next
            self._next = next(self._rest, None)
