"""The parts that answer requests, put together from settings, and their life."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from redis.asyncio import Redis

from stream_persona.api.changes import Feed
from stream_persona.api.customer_log import Tail
from stream_persona.api.dashboard.service import Watch
from stream_persona.api.metrics import Figures
from stream_persona.api.model_reader import Reader
from stream_persona.api.rank import Ranker
from stream_persona.api.refill import refill
from stream_persona.errors import ConfigError, UnavailableError
from stream_persona.kafka.commands import Commands
from stream_persona.store.redis import RedisTables

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.settings import Settings

logger = logging.getLogger(__name__)

#: Seconds that a lookup waits for Redis, at most.
PATIENCE = 2.0


@dataclass(frozen=True)
class Parts:
    """Everything that routes use."""

    settings: Settings
    taxonomy: Taxonomy
    tables: RedisTables
    reader: Reader
    ranker: Ranker
    feed: Feed
    watch: Watch
    tail: Tail
    commands: Commands
    figures: Figures
    listening: Redis

    @classmethod
    def build(cls, settings: Settings, taxonomy: Taxonomy) -> Self:
        """The parts, not yet connected to anything.

        Raises:
            TopologyError: an address in the settings is malformed.
        """
        tables = RedisTables.connect(settings.redis_url, settings.prefix, PATIENCE)
        reader = Reader(settings, taxonomy, tables)
        watch = Watch(settings, taxonomy, tables, reader)
        listening = Redis.from_url(settings.redis_url, socket_connect_timeout=PATIENCE)
        return cls(
            settings=settings,
            taxonomy=taxonomy,
            tables=tables,
            reader=reader,
            ranker=Ranker(settings, taxonomy, tables, reader),
            feed=Feed(listening, tables.channel, watch.notice),
            watch=watch,
            tail=Tail(settings),
            commands=Commands(settings, taxonomy),
            figures=Figures(),
            listening=listening,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Follow Redis and connect to Kafka for as long as the block lasts."""
        works = {
            "model": self.reader.follow(),
            "changes": self.feed.follow(),
            "changes of before": refill(self.settings, self.feed),
            "kafka": self.commands.connect(),
            **self.watch.followers(lambda: self.feed.ready),
        }
        followers = [asyncio.create_task(work, name=name) for name, work in works.items()]
        for follower in followers:
            follower.add_done_callback(_tell)
        try:
            yield
        finally:
            self.feed.close()
            await _end(followers)
            await self.watch.close()
            await self.tail.close()
            await self.commands.close()
            await self.tables.close()
            await self.listening.aclose()

    async def missing(self) -> list[str]:
        """What must be there before requests can be answered, and is not."""
        ready = {
            "redis": await self._redis_answers(),
            "model": self.reader.ready,
            "changes": self.feed.ready,
            "kafka": self.commands.ready,
        }
        for part, there in ready.items():
            self.figures.ready.labels(part).set(there)
        return [part for part, there in ready.items() if not there]

    async def _redis_answers(self) -> bool:
        try:
            await self.tables.ping()
        except (UnavailableError, ConfigError):
            return False
        return True


async def _end(followers: Iterable[asyncio.Task[None]]) -> None:
    """Cancel until it helps: a client that is just connecting may lose a cancellation."""
    pending = set(followers)
    while pending:
        for follower in pending:
            follower.cancel()
        _, pending = await asyncio.wait(pending, timeout=0.5)


def _tell(follower: asyncio.Task[None]) -> None:
    """A follower that ends by a mistake must not do so silently; ``/readyz`` then misses it."""
    if not follower.cancelled() and (error := follower.exception()):
        logger.error("following %s has ended", follower.get_name(), exc_info=error)
