"""Follows what the workers report of themselves: their crew, and the figures of all models."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

import msgspec

from stream_persona.api.crew import Crew
from stream_persona.errors import ConfigError, UnavailableError
from stream_persona.store import worker_status

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stream_persona.store.tables import Tables
    from stream_persona.store.worker_status import ModelStatus, WorkerStatus

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
