"""Writes a report of what the worker does to Redis every two seconds, for dashboards.

Nothing waits for a report or depends on one. Where Redis is away or hangs, a report is left out,
and the worker goes on.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
from typing import TYPE_CHECKING, Final

from stream_persona.clocks import MACHINE_CLOCKS, Clocks
from stream_persona.errors import StreamPersonaError
from stream_persona.store.worker_status import WorkerStatus, encode_report
from stream_persona.worker.metrics import read_by_label, read_histogram

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping

    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.store.tables import Tables
    from stream_persona.worker.metrics import Metrics
    from stream_persona.worker.worker import Worker

logger = logging.getLogger(__name__)

#: Seconds between two reports, and those that one may take.
REPORT_SECONDS: Final = 2.0
#: Seconds after which a report that has not changed is taken for that of a crashed worker.
ORPHAN_SECONDS: Final = 60.0
#: Every this many reports, orphans are looked for: it reads the reports of all workers.
_LOOK_EVERY: Final = 5


class Reporter:
    """Reports on one worker process."""

    def __init__(
        self,
        worker: Worker,
        taxonomy: Taxonomy,
        tables: Tables,
        metrics: Metrics,
        clocks: Clocks = MACHINE_CLOCKS,
    ) -> None:
        self.name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        #: Seconds that Redis may take.
        self.patience = REPORT_SECONDS
        self._worker = worker
        self._taxonomy = taxonomy
        self._tables = tables
        self._metrics = metrics
        self._clocks = clocks
        self._orphans = Orphans()
        self._started_at = clocks.epoch_ms()
        self._turn = 0
        self._failing = False

    async def report(self) -> bool:
        """Report what has been done so far; whether that succeeded. Never raises for Redis."""
        return await self._do_in_time(self._report())

    async def retire(self) -> bool:
        """Remove this worker's report; whether that succeeded. Never raises for Redis."""
        return await self._do_in_time(self._tables.remove_reports([self.name]))

    def make_status(self) -> WorkerStatus:
        """Return the report as of now."""
        worker, metrics = self._worker, self._metrics
        bounds, batches = read_histogram(metrics.change_seconds)
        return WorkerStatus(
            worker=self.name,
            at=self._clocks.epoch_ms(),
            started_at=self._started_at,
            partitions=sorted(worker.owned),
            personas=list(self._taxonomy.names),
            events=sum(read_by_label(metrics.events).values()),
            changes=read_by_label(metrics.changes),
            dead_letters=sum(read_by_label(metrics.dead_letters).values()),
            redelivered=sum(read_by_label(metrics.redelivered).values()),
            rerouted=sum(read_by_label(metrics.rerouted).values()),
            change_bounds=bounds,
            change_counts=batches,
            labelled=sum(read_by_label(metrics.labelled).values()),
            threshold=worker.weights.threshold,
            candidate_floor=worker.weights.candidate_floor,
            oldest_record_seconds=worker.age,
            sweeping=worker.sweeping,
            models=worker.challengers.list_statuses(),
            damaged=sum(read_by_label(metrics.damaged).values()),
            incomplete=sum(read_by_label(metrics.incomplete).values()),
            unknown_labels=dict(worker.partitions.unknown_labels),
            last_hour=worker.last_hour.summarize(worker.owned),
        )

    async def _report(self) -> None:
        await self._tables.save_report(self.name, encode_report(self.make_status()))
        if self._turn % _LOOK_EVERY == 0:
            left = self._orphans.find_among(
                await self._tables.load_reports(), self._clocks.monotonic()
            )
            await self._tables.remove_reports(left)
        self._turn += 1

    async def _do_in_time(self, work: Awaitable[None]) -> bool:
        try:
            async with asyncio.timeout(self.patience):
                await work
        except (StreamPersonaError, TimeoutError) as error:
            if not self._failing:
                logger.warning(
                    "no reports to dashboards for now: %s", str(error) or "Redis is slow"
                )
            self._failing = True
            return False
        self._failing = False
        return True


class Orphans:
    """Finds the reports of workers that crashed: those that stay the same.

    The time that a report holds does not count: the clock of its machine may be wrong, and a
    report of another release can't be read.
    """

    def __init__(self) -> None:
        self._seen: dict[str, tuple[bytes, float]] = {}

    def find_among(self, reports: Mapping[str, bytes], now: float) -> list[str]:
        """Find the workers whose reports did not change for ``ORPHAN_SECONDS``, up to ``now``."""
        before, self._seen = self._seen, {}
        for worker, blob in reports.items():
            known, since = before.get(worker, (b"", now))
            self._seen[worker] = (blob, since if known == blob else now)
        return [each for each, (_, at) in self._seen.items() if now - at >= ORPHAN_SECONDS]
