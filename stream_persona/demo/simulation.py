"""Synthetic shoppers in real time: a simulator's events, produced as they happen."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from typing import Final

from stream_persona.demo.feeder import Feeder
from stream_persona.demo.simulator import Simulator
from stream_persona.settings import Settings

#: Seconds between two batches of events.
_TICK: Final = 0.05


async def simulate(
    settings: Settings,
    simulator: Simulator,
    *,
    rate: float,
    seconds: float | None = None,
    count: int | None = None,
    clock: Callable[[], float] = time.monotonic,
    wall_clock: Callable[[], float] = time.time,
) -> AsyncGenerator[int]:
    """Produce events that happen now, ``rate`` per second, until time or count is reached.

    Yields the number of events after each batch. ``clock`` sets the pace, ``wall_clock`` (epoch
    seconds) dates the events.

    Raises:
        UnavailableError: no broker answers, or it refuses events.
    """
    began, sent = clock(), 0
    async with Feeder(settings) as feeder:
        while (count is None or sent < count) and (seconds is None or clock() < began + seconds):
            due = int(rate * (clock() - began)) - sent
            due = due if count is None else min(due, count - sent)
            now = int(wall_clock() * 1_000)
            for kind, event in simulator.generate_events([now] * due):
                await feeder.send(kind, event)
            await feeder.flush()
            sent += due
            yield due
            await asyncio.sleep(_TICK)
