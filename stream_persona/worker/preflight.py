"""Checks what would end or mislead a worker later: its own settings, and the Redis it writes to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream_persona.model.river_trial import check_models
from stream_persona.store.redis import RedisTables
from stream_persona.store.redis_health import look_at_redis, refuse_eviction
from stream_persona.store.stored_check import check_store
from stream_persona.worker.metrics_server import try_host

if TYPE_CHECKING:
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.settings import Settings


async def check(settings: Settings, taxonomy: Taxonomy) -> None:
    """Try the settings that take no server; then look at Redis, and at what is stored there.

    Raises:
        ConfigError: one of them is not as it must be; the sentence says what to do.
        UnavailableError: Redis did not answer in ``settings.retry_seconds``.
    """
    try_host(settings.metrics_host)
    check_models(settings.model, settings.challengers, taxonomy.names)
    await check_redis(settings, taxonomy)


async def check_redis(settings: Settings, taxonomy: Taxonomy) -> None:
    """Look at Redis, and at what is stored there; raise as ``check`` does."""
    tables = RedisTables.connect(settings.redis_address, settings.prefix, settings.retry_seconds)
    try:
        refuse_eviction(await look_at_redis(tables))
        await check_store(settings, taxonomy, tables)
    finally:
        await tables.close()
