"""The dashboard service: follows workers' reports, Kafka and all records, and answers about them.

No other route needs it. Where a server of it is away, figures are unknown, and the overview's
``troubles`` hold a health finding.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import msgspec

from stream_persona.api.dashboard import last_hour, overview, workers
from stream_persona.api.dashboard.background import run_periodically
from stream_persona.api.dashboard.health import (
    Damage,
    HealthFinding,
    check_health,
    make_findings,
)
from stream_persona.api.dashboard.history import STEP, STEP_MS, build_chart, find_bucket
from stream_persona.api.dashboard.lag import INTERVAL, LagMonitor
from stream_persona.api.dashboard.overview import ChangeRate
from stream_persona.api.dashboard.persona_counts import CountedChange
from stream_persona.api.dashboard.personas import PersonaProfiles
from stream_persona.api.dashboard.population_scan import PERIOD, Population, PopulationScan
from stream_persona.api.dashboard.recorder import SampleRecorder, StoredSamples
from stream_persona.api.dashboard.workers import WorkerReports
from stream_persona.clocks import MACHINE_CLOCKS, Clocks

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from stream_persona.api.agreement import Agreement
    from stream_persona.api.dashboard.history import Snapshot
    from stream_persona.api.model_reader import ModelReader
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.settings import Settings
    from stream_persona.store.redis_health import RedisWatch
    from stream_persona.store.tables import Tables

#: Seconds between two looks at what Redis says of itself.
LOOK_SECONDS: Final = 10.0
#: Milliseconds after which a change is none of now. Workers' clocks may differ by nearly as much.
OLD_MS: Final = 3_600_000


class DashboardService:
    """The state behind the dashboard's routes."""

    def __init__(
        self,
        settings: Settings,
        taxonomy: Taxonomy,
        tables: Tables,
        reader: ModelReader,
        agreement: Agreement,
        redis_watch: RedisWatch,
        clocks: Clocks = MACHINE_CLOCKS,
    ) -> None:
        self._taxonomy = taxonomy
        self._tables = tables
        self._reader = reader
        self._agreement = agreement
        self._redis_watch = redis_watch
        clock, wall_clock = clocks.monotonic, clocks.epoch_ms
        self._clock, self._wall_clock = clock, wall_clock
        self._population = Population()
        self._scan = PopulationScan(self._population, tables, clock)
        self._change_rate = ChangeRate(clock)
        self._reports = WorkerReports(tables, taxonomy.names, clock, wall_clock)
        self._lag = LagMonitor(settings, clock)
        self._recorder = SampleRecorder(self._snapshot, wall_clock)
        self._stored = StoredSamples(tables, clock)
        self._profiles = PersonaProfiles(taxonomy, reader)

    def receive(self, message: dict[str, Any]) -> None:
        """Apply a message of the channel: a change, or a deletion.

        Raises:
            msgspec.ValidationError: it is neither.
        """
        change = msgspec.convert(message, CountedChange)
        self._population.apply(change)
        if not change.deleted and not self._is_old(change):
            self._change_rate.add()
            self._recorder.add(change)

    def _is_old(self, change: CountedChange) -> bool:
        """Whether a change was published long ago: a Redis that was restored announces it again."""
        at = change.published_at
        return at is not None and 1_000 * at.timestamp() < self._wall_clock() - OLD_MS

    def make_background_work(
        self, receiving: Callable[[], bool]
    ) -> dict[str, Coroutine[Any, Any, None]]:
        """Return endless background work, by name.

        ``receiving`` returns whether changes are being received just now.
        """

        async def record() -> None:
            if self._agreement.finding is None:  # all APIs draw what one of them stores
                await self._recorder.store(self._tables, receiving=receiving())

        works = (
            (workers.INTERVAL, "workers", self._reports.refresh),
            (INTERVAL, "lag", self._lag.refresh),
            (LOOK_SECONDS, "look at Redis", self._redis_watch.look),
            (PERIOD, "population scan", self._scan.run_pass),
            (1.0, "history", record),
        )
        return {
            name: run_periodically(seconds, name, work, self._clock)
            for seconds, name, work in works
        }

    async def close(self) -> None:
        """Disconnect."""
        await self._lag.close()

    def answer_overview(self, *, stream: bool, products: int | None = None) -> dict[str, Any]:
        """Answer ``/v1/overview``.

        ``stream``: all that it reads from Redis is up to date. ``products`` are those of the
        catalogue, None without one.
        """
        weights = self._reader.model.weights
        return {
            "at": self._wall_clock(),
            "counted": self._population.counted,
            "changes_per_minute": self._change_rate.per_minute,
            **overview.summarize(self._population.personas, self._taxonomy.names),
            "labelled": weights.customers,
            "model_version": weights.version,
            "stream": stream,
            "events_per_second": self._reports.events_per_second,
            "lag_events": self._waiting,
            "lag_seconds": None if self._waiting is None else self._lag.seconds,
            "change_p99_ms": self._reports.change_p99_ms,
            "workers": len(self._reports.alive),
            "last_hour": last_hour.describe_hour(self._reports.last_hour),
            "unknown_labels": self._reports.unknown_labels,
            "products": products,
            "troubles": self._check_health(),
        }

    async def answer_history(self, seconds: int) -> dict[str, Any]:
        """Answer ``/v1/history`` for the last so many seconds, with the bucket that still runs.

        Raises:
            UnavailableError: Redis is away, and no sample was read before.
        """
        samples = self._recorder.list_recent() | await self._stored.load()
        now = find_bucket(self._wall_clock())
        since = now - (seconds // STEP - 1) * STEP_MS
        # Six hours take ten milliseconds: off the event loop.
        return await asyncio.to_thread(build_chart, samples, since, now, self._taxonomy.names)

    async def answer_portraits(self) -> dict[str, Any]:
        """Answer ``/v1/portraits``."""
        features = await self._profiles.derive_if_stale()
        current, model = self._reports.current, self._reader.model
        return overview.describe_personas(
            self._taxonomy, model, self._population, current, features
        )

    def answer_model(self) -> dict[str, Any]:
        """Answer ``/v1/model``."""
        return overview.describe_model(self._taxonomy, self._reader.model, self._reports)

    def answer_queue(self, limit: int) -> dict[str, Any]:
        """Answer ``/v1/queue``."""
        best = self._population.queue.list_best(limit)
        shoppers = [overview.describe_candidate(candidate) for candidate in best]
        return {"counted": self._population.counted, "shoppers": shoppers}

    def _snapshot(self) -> Snapshot:
        events, names = self._lag.events, self._taxonomy.names
        return overview.take_snapshot(self._population, self._reports, events, names)

    @property
    def _waiting(self) -> int | None:
        """How many events wait for the workers; None if unknown, as with a group of others."""
        return self._lag.events if self._agreement.finding is None else None

    def _check_health(self) -> list[HealthFinding]:
        hour = self._reports.last_hour
        rollbacks = last_hour.describe_rollbacks(hour.rollbacks)
        findings = check_health(
            disagreement=self._agreement.finding,
            redis_away=bool(self._reports.away),
            storage=[*self._redis_watch.sentences, *self._find_damage().describe(), *rollbacks],
            kafka_away=bool(self._lag.away),
            silence=self._reports.silence,
            waiting=self._waiting,
            stalled=None if self._waiting is None else self._lag.stalled,
        )
        labels = last_hour.describe_unknown_labels(self._reports.unknown_labels)
        findings += make_findings("events", last_hour.find_excesses(hour))
        return [*findings, *make_findings("labels", labels)]

    def _find_damage(self) -> Damage:
        return Damage(
            sum(each.damaged for each in self._reports.alive),
            sum(each.incomplete for each in self._reports.alive),
            self._population.damaged,
        )
