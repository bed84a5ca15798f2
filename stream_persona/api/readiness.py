"""Whether Redis and Kafka answer just now: asked anew for each probe, or nearly so.

However many probes there are, each server is asked twice a second at most, both at the same time,
and one that is silent is given up: a probe is answered, and right again, within two seconds.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from stream_persona.errors import ConfigError, UnavailableError
from stream_persona.kafka.broker_probe import any_broker_answers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from stream_persona.settings import Settings
    from stream_persona.store.redis import RedisTables

#: Seconds that a server may take to answer, and those for which its answer counts.
PATIENCE: Final = 1.0
KEPT_SECONDS: Final = 0.5


class SharedCheck:
    """A check that all who ask at a time share; its result counts for ``KEPT_SECONDS``.

    ``clock`` gives seconds that never go back.
    """

    def __init__(
        self, check: Callable[[], Awaitable[bool]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._check = check
        self._clock = clock
        self._running: asyncio.Task[bool] | None = None
        self._ended = 0.0

    async def passes(self) -> bool:
        """Return whether it passes."""
        task = self._running
        if task is None or (task.done() and self._clock() - self._ended >= KEPT_SECONDS):
            self._running = task = asyncio.create_task(self._run())
        return await asyncio.shield(task)  # one caller's cancellation must not end it for others

    async def close(self) -> None:
        """Give up a check that is under way."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])

    async def _run(self) -> bool:
        try:
            return await self._check()
        finally:
            self._ended = self._clock()


class Readiness:
    """The checks of the servers that requests need."""

    def __init__(self, settings: Settings, tables: RedisTables) -> None:
        self._settings = settings
        self._tables = tables
        self._checks = {
            "redis": SharedCheck(self._redis_answers),
            "kafka": SharedCheck(self._kafka_answers),
        }

    async def check(self) -> dict[str, bool]:
        """Return whether each server answers."""
        results = await asyncio.gather(*(check.passes() for check in self._checks.values()))
        return dict(zip(self._checks, results, strict=True))

    async def close(self) -> None:
        """Give up what is under way."""
        for check in self._checks.values():
            await check.close()

    async def _redis_answers(self) -> bool:
        try:
            async with asyncio.timeout(PATIENCE):
                await self._tables.ping()
        except (UnavailableError, ConfigError, TimeoutError):
            return False
        return True

    async def _kafka_answers(self) -> bool:
        return await any_broker_answers(self._settings, PATIENCE)
