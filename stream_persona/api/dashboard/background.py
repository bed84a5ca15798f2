"""Work that goes on beside requests: what fails is told once, and tried again."""

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


async def every(seconds: float, name: str, work: Callable[[], Awaitable[object]]) -> None:
    """Do the work for ever, from one beginning to the next so many seconds, where it is that quick.

    Dashboards may miss what it finds; nobody's request may fail of it.
    """
    failing = False
    while True:
        began = time.monotonic()
        try:
            await work()
            failing = False
        except Exception as error:  # noqa: BLE001 - also a mistake of ours ends neither API nor work
            if not failing:
                _tell(name, error)
            failing = True
        await asyncio.sleep(max(_LEAST_PAUSE, began + seconds - time.monotonic()))


def _tell(name: str, error: Exception) -> None:
    expected = isinstance(error, UnavailableError | ConfigError)
    logger.warning("no %s for now: %s", name, error, exc_info=None if expected else error)
