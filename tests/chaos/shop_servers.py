"""The servers of a trial, as large as it needs them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from redis.asyncio import Redis

from stream_persona.settings import Settings
from stream_persona.worker.startup import prepare
from tests.chaos.bundles import PARTITIONS, sources_of, topic_of
from tests.chaos.machines import Broker, Store
from tests.chaos.schedule import Plan
from tests.support.servers import create_topics, settings_for
from tests.support.shop import Shop


@dataclass(frozen=True)
class Size:
    """How large a trial is: events of how many customers, seconds of a session.

    With ``sources``, a part of the events comes through another tool's topic (``bundles``).
    """

    events: int
    customers: int
    session: float = 6.0
    sources: bool = False


@asynccontextmanager
async def servers(
    plan: Plan, size: Size, directory: Path
) -> AsyncIterator[tuple[Broker, Store, Shop]]:
    """Yield a broker, a Redis, and a shop on them with its topics."""
    broker = Broker()
    try:
        store = Store()
        try:
            await asyncio.to_thread(broker.wait_until_ready)
            settings = settings_for(broker, store.url, session_timeout=size.session, tastes=True)
            if size.sources:
                settings = await add_source(settings, plan.seed, directory)
            await declare(settings, plan.seed)
            async with Redis.from_url(settings.redis_url) as redis:
                yield broker, store, Shop(settings, redis)
        finally:
            store.close()
    finally:
        broker.close()


async def add_source(settings: Settings, seed: int, directory: Path) -> Settings:
    """Make a source's topic; every second seed knows nothing of arrivals there."""
    path = directory / "sources.toml"
    path.write_text(sources_of(settings))
    times = {"message.timestamp.type": "LogAppendTime" if seed % 2 else "CreateTime"}
    await create_topics(settings.brokers, [topic_of(settings)], PARTITIONS, times)
    return settings.model_copy(update={"sources": path})


async def declare(settings: Settings, seed: int) -> None:
    """Make the topics; no change may be compacted away before it was checked.

    Every second seed has no arrivals of browses and deletions.
    """
    if seed % 2 == 0:
        times = {"message.timestamp.type": "CreateTime"}
        undated = [settings.topic_browses, settings.topic_deletions]
        await create_topics(settings.brokers, undated, settings.partitions, times)
    kept = {"cleanup.policy": "compact", "min.compaction.lag.ms": str(86_400_000)}
    await create_topics(settings.brokers, [settings.topic_changes], settings.partitions, kept)
    await prepare(settings)
