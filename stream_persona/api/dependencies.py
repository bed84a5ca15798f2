"""The objects that routes use: built from settings, connected for as long as the API runs."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from redis.asyncio import Redis

from stream_persona.api.agreement import INTERVAL, Agreement
from stream_persona.api.bounds import Bounds
from stream_persona.api.changes import ChangeFeed
from stream_persona.api.collector.service import Collector
from stream_persona.api.connections import SWEEP_SECONDS, Connections
from stream_persona.api.customer_log import Tail
from stream_persona.api.dashboard.background import run_periodically
from stream_persona.api.dashboard.service import DashboardService
from stream_persona.api.listeners import ListenerSeats
from stream_persona.api.metrics import ApiMetrics
from stream_persona.api.model_reader import ModelReader
from stream_persona.api.rank import Ranker
from stream_persona.api.readiness import Readiness
from stream_persona.api.refill import refill
from stream_persona.api.security import key_file
from stream_persona.api.security.audit import Audit
from stream_persona.api.security.key_file import ApiKeys
from stream_persona.api.shop import catalogue_file
from stream_persona.api.shop.catalogue_file import CatalogueFile
from stream_persona.api.shop.likings import LikingsReader
from stream_persona.api.shop.recommendations import Recommender
from stream_persona.domain.identity import NobodyIds
from stream_persona.errors import UnavailableError
from stream_persona.kafka.commands import Commands
from stream_persona.kafka.event_sender import EventSender
from stream_persona.store.redis import RedisTables
from stream_persona.store.redis_health import RedisWatch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Iterable
    from typing import Any

    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.settings import Settings

logger = logging.getLogger(__name__)

#: Seconds that a lookup waits for Redis, at most.
PATIENCE = 2.0


@dataclass(frozen=True)
class Dependencies:
    """Everything that routes use. ``subscriber`` is the connection that receives changes."""

    settings: Settings
    taxonomy: Taxonomy
    tables: RedisTables
    agreement: Agreement
    reader: ModelReader
    ranker: Ranker
    catalogue: CatalogueFile
    recommender: Recommender
    feed: ChangeFeed
    dashboard: DashboardService
    customer_log: Tail
    commands: Commands
    sender: EventSender
    collector: Collector
    metrics: ApiMetrics
    connections: Connections
    seats: ListenerSeats
    subscriber: Redis
    readiness: Readiness
    nobody: NobodyIds
    keys: ApiKeys
    audit: Audit

    @classmethod
    def build(cls, settings: Settings, taxonomy: Taxonomy) -> Self:
        """Build them, not yet connected to anything.

        Raises:
            TopologyError: an address in the settings is malformed.
            SettingsError: the file of keys, or that of the catalogue, can't be used.
        """
        bounds = Bounds.of_process()
        tables = RedisTables.connect(settings.redis_address, settings.prefix, PATIENCE)
        reader = ModelReader(settings, taxonomy, tables)
        agreement = Agreement(settings, taxonomy, tables)
        watch = RedisWatch(tables)
        keys, metrics = ApiKeys(settings), ApiMetrics()
        catalogue = CatalogueFile(settings.catalogue, taxonomy.features.category_separator)
        ranker = Ranker(settings, taxonomy, tables, reader)
        dashboard = DashboardService(settings, taxonomy, tables, reader, agreement, watch)
        sender = EventSender(settings)
        subscriber = Redis.from_url(settings.redis_address, socket_connect_timeout=PATIENCE)
        feed = ChangeFeed(subscriber, tables.channel, dashboard.receive)
        keys.changed = feed.ring.wake  # listeners ask whether their keys are valid still
        return cls(
            settings=settings, taxonomy=taxonomy, tables=tables, agreement=agreement,
            reader=reader, ranker=ranker, catalogue=catalogue, feed=feed, dashboard=dashboard,
            sender=sender, metrics=metrics, subscriber=subscriber, keys=keys,
            recommender=Recommender(catalogue, ranker, LikingsReader(ranker, reader)),
            customer_log=Tail(settings),
            commands=Commands(settings, taxonomy),
            collector=Collector(settings, sender, metrics.collected),
            connections=Connections(bounds, metrics, time.monotonic, settings.api_max_body_bytes),
            seats=ListenerSeats(bounds),
            readiness=Readiness(settings, tables),
            nobody=NobodyIds(settings.nobody),
            audit=Audit(metrics.refusals),
        )  # fmt: skip

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Connect, and run the background tasks for as long as the block lasts."""
        tasks = [
            asyncio.create_task(work, name=name)
            for name, work in self._make_background_work().items()
        ]
        for task in tasks:
            task.add_done_callback(_log_failure)
        try:
            yield
        finally:
            self.feed.close()
            await _cancel_all(tasks)
            await self.readiness.close()
            await self.dashboard.close()
            await self.customer_log.close()
            await self.commands.close()
            await self.sender.close()
            await self.tables.close()
            await self.subscriber.aclose()
            self.audit.close()

    def _make_background_work(self) -> dict[str, Coroutine[Any, Any, None]]:
        return {
            "model": self.reader.follow(),
            "deployment": run_periodically(INTERVAL, "deployment", self.agreement.refresh),
            "changes": self.feed.follow(),
            "connections": run_periodically(
                SWEEP_SECONDS, "look at connections", self.connections.sweep
            ),
            "changes of before": refill(self.settings, self.feed),
            "kafka": self.commands.connect(),
            "collector": self.sender.connect(),
            "keys": run_periodically(key_file.INTERVAL, "keys", self._look_after_keys),
            "catalogue": run_periodically(
                catalogue_file.INTERVAL, "catalogue", self._look_after_catalogue
            ),
            **self.dashboard.make_background_work(lambda: self.feed.ready),
        }

    async def _look_after_keys(self) -> None:
        await self.keys.refresh()
        self.metrics.keys_broken.set(bool(self.keys.troubles))
        self.audit.flush()

    async def _look_after_catalogue(self) -> None:
        await self.catalogue.refresh()
        self.metrics.show_catalogue(self.catalogue.facts, is_broken=bool(self.catalogue.troubles))

    async def find_missing(self) -> list[str]:
        """Name what requests need and is not there, and set the ``ready`` gauge to the same."""
        answers = await self.readiness.check()
        ready = {
            "redis": answers["redis"],
            "model": self.reader.ready,
            "changes": self.feed.ready,
            "kafka": answers["kafka"] and self.commands.ready and self.sender.ready,
            "deployment": await self._agrees(),
        }
        for name, is_ready in ready.items():
            self.metrics.ready.labels(name).set(is_ready)
        return [name for name, is_ready in ready.items() if not is_ready]

    async def _agrees(self) -> bool:
        try:
            return await self.agreement.find_fault() is None
        except UnavailableError:  # it is Redis then that is missing
            return True


async def _cancel_all(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel until all have ended: a client that is just connecting may lose a cancellation."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=0.5)


def _log_failure(task: asyncio.Task[None]) -> None:
    """Log why a background task has ended by itself: none should, and ``/readyz`` depends on it."""
    if not task.cancelled() and (error := task.exception()):
        logger.error("following %s has ended", task.get_name(), exc_info=error)
