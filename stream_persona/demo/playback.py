"""Plays a journey at a chosen speed of event time, with synthetic shoppers beside."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Iterator
from typing import Final

from stream_persona.demo.feeder import Feeder
from stream_persona.demo.journey import Journey
from stream_persona.demo.simulator import Simulator
from stream_persona.domain.events import Event, event_time

#: Milliseconds of a day.
DAY: Final = 86_400_000
#: Seconds between two looks at the clock.
_TICK: Final = 0.05


class Playback:
    """What happens next, ``speed`` in days of event time a second.

    ``rate`` is that of the synthetic events, a second. ``clock`` is the event time reached
    (epoch milliseconds), ``over`` whether the journey has come to its end.
    """

    def __init__(
        self, journey: Journey, simulator: Simulator, *, speed: float, rate: float
    ) -> None:
        self._simulator = simulator
        self._start = self.clock = journey.start
        #: Days of event time that the journey has.
        self.length = (journey.end - journey.start) / DAY
        self.speed, self._rate = speed, rate
        self._synthetic = 0
        self._rest = journey.told()
        self._next = next(self._rest, None)

    @property
    def over(self) -> bool:
        """Whether all of the journey has been told."""
        return self._next is None

    @property
    def days(self) -> float:
        """Days of event time told so far."""
        return (self.clock - self._start) / DAY

    def due(self, elapsed: float) -> Iterator[tuple[int, Event]]:
        """Kind and event, in event time, of all that has not been told ``elapsed`` seconds in."""
        begin, self.clock = self.clock, self._start + round(elapsed * self.speed * DAY)
        count = int(elapsed * self._rate) - self._synthetic
        self._synthetic += count
        times = [begin + (self.clock - begin) * (i + 1) // count for i in range(count)]
        told = (self._until(self.clock), self._simulator.events(times))
        return heapq.merge(*told, key=lambda pair: event_time(pair[1]))

    async def run(self, feeder: Feeder, *, until: float | None, endless: bool) -> None:
        """Feed what is due until ``until`` (of ``time.monotonic``), or until it is over.

        While the feeder waits for the workers this clock stands still. ``endless`` goes on with
        the synthetic shoppers when the journey is over.
        """
        begin, told = time.monotonic() - feeder.waited, 0.0
        while (endless or not self.over) and (until is None or time.monotonic() < until):
            elapsed = time.monotonic() - feeder.waited - begin
            # A day of events at most, however far behind: the end may come at any time.
            told = min(elapsed, told + 1 / self.speed)
            for kind, event in self.due(told):
                await feeder.send(kind, event)
            await feeder.flush()
            await asyncio.sleep(_TICK if told == elapsed else 0)

    def _until(self, horizon: int) -> Iterator[tuple[int, Event]]:
        while self._next is not None and event_time(self._next[1]) <= horizon:
            yield self._next
            self._next = next(self._rest, None)
