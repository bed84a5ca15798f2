"""What dashboards look at: it follows the workers' reports, Kafka and all records beside requests.

Nothing of it is needed to answer anybody else: where a part of it is away, figures are unknown, and
``troubles`` say so.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import msgspec

from stream_persona.api.dashboard import overview, workers
from stream_persona.api.dashboard.background import every
from stream_persona.api.dashboard.health import Trouble, troubles
from stream_persona.api.dashboard.history import STEP, STEP_MS, bucket_of, chart
from stream_persona.api.dashboard.lag import INTERVAL, Backlog
from stream_persona.api.dashboard.overview import Pulse
from stream_persona.api.dashboard.persona_counts import Change
from stream_persona.api.dashboard.personas import Portraits
from stream_persona.api.dashboard.population_scan import PERIOD, Census, Counting
from stream_persona.api.dashboard.recorder import Recorder, Remembered
from stream_persona.api.dashboard.workers import Reports

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from stream_persona.api.dashboard.history import State
    from stream_persona.api.model_reader import Reader
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.settings import Settings
    from stream_persona.store.tables import Tables


class Watch:
    """All that is watched, and the answers about it."""

    def __init__(
        self, settings: Settings, taxonomy: Taxonomy, tables: Tables, reader: Reader
    ) -> None:
        self._taxonomy = taxonomy
        self._tables = tables
        self._reader = reader
        self._census = Census()
        self._counting = Counting(self._census, tables)
        self._pulse = Pulse()
        self._reports = Reports(tables, taxonomy.names)
        self._backlog = Backlog(settings)
        self._recorder = Recorder(self._state)
        self._remembered = Remembered(tables)
        self._portraits = Portraits(taxonomy, reader)

    def notice(self, message: dict[str, Any]) -> None:
        """Take in a change, or a deletion.

        Raises:
            msgspec.ValidationError: it is neither.
        """
        change = msgspec.convert(message, Change)
        self._census.notice(change)
        if not change.deleted:
            self._pulse.beat()
            self._recorder.notice(change)

    def followers(self, heard: Callable[[], bool]) -> dict[str, Coroutine[Any, Any, None]]:
        """Endless work, by name; ``heard`` says whether changes are being heard."""

        async def record() -> None:
            await self._recorder.remember(self._tables, heard=heard())

        works = (
            (workers.INTERVAL, "workers", self._reports.look),
            (INTERVAL, "backlog", self._backlog.look),
            (PERIOD, "census", self._counting.one_pass),
            (1.0, "history", record),
        )
        return {name: every(seconds, name, work) for seconds, name, work in works}

    async def close(self) -> None:
        """Disconnect."""
        await self._backlog.close()

    def overview(self, *, stream: bool) -> dict[str, Any]:
        """The answer of ``/v1/overview``; ``stream``: whether all that it reads of Redis is new."""
        weights = self._reader.model.weights
        return {
            "at": time.time_ns() // 1_000_000,
            "counted": self._census.counted,
            "changes_per_minute": self._pulse.per_minute,
            **overview.mix(self._census.tally, self._taxonomy.names),
            "labelled": weights.customers,
            "model_version": weights.version,
            "stream": stream,
            "events_per_second": self._reports.events_per_second,
            "lag_events": self._backlog.events,
            "lag_seconds": self._backlog.seconds,
            "change_p99_ms": self._reports.change_p99_ms,
            "workers": len(self._reports.alive),
            "troubles": self._troubles(),
        }

    async def history(self, seconds: int) -> dict[str, Any]:
        """The answer of ``/v1/history``: the last so many seconds, with the bucket that still runs.

        Raises:
            UnavailableError: Redis is away, and nothing was read of it before.
        """
        samples = self._recorder.recent() | await self._remembered.samples()
        now = bucket_of(time.time_ns() // 1_000_000)
        since = now - (seconds // STEP - 1) * STEP_MS
        # Of six hours it takes ten milliseconds: off the event loop.
        return await asyncio.to_thread(chart, samples, since, now, self._taxonomy.names)

    async def portraits(self) -> dict[str, Any]:
        """The answer of ``/v1/portraits``."""
        lifts = await self._portraits.lifts()
        current, model = self._reports.current, self._reader.model
        return overview.portraits(self._taxonomy, model, self._census, current, lifts)

    def model(self) -> dict[str, Any]:
        """The answer of ``/v1/model``."""
        return overview.model(self._taxonomy, self._reader.model, self._reports)

    def queue(self, limit: int) -> dict[str, Any]:
        """The answer of ``/v1/queue``."""
        best = self._census.queue.best(limit)
        return {"counted": self._census.counted, "shoppers": [*map(overview.queued, best)]}

    def _state(self) -> State:
        events, names = self._backlog.events, self._taxonomy.names
        return overview.state(self._census, self._reports, events, names)

    def _troubles(self) -> list[Trouble]:
        return troubles(
            redis_away=bool(self._reports.away),
            kafka_away=bool(self._backlog.away),
            silence=self._reports.silence,
            waiting=self._backlog.events,
            stalled=self._backlog.stalled,
        )
