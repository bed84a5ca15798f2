"""Runs work beside requests: a failure is logged once, and the work is tried again."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from stream_persona.errors import ConfigError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

logger = logging.getLogger(__name__)

#: Seconds between two attempts, at least, however long the work takes.
_LEAST_PAUSE = 0.5


async def run_periodically(
    seconds: float,
    name: str,
    work: Callable[[], Awaitable[object]],
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Start the work every so many ``seconds``, for ever, or later where it takes longer.

    Its failures are logged: dashboards may lack what it finds, but no request may fail of it.
    """
    failing = False
    while True:
        began = clock()
        try:
            await work()
            failing = False
        except Exception as error:  # noqa: BLE001 - also a mistake of ours ends neither API nor work
            if not failing:
                _log_failure(name, error)
            failing = True
        await asyncio.sleep(max(_LEAST_PAUSE, began + seconds - clock()))


def _log_failure(name: str, error: Exception) -> None:
    expected = isinstance(error, UnavailableError | ConfigError)
    logger.warning("no %s for now: %s", name, error, exc_info=None if expected else error)
