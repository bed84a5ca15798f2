"""A Redis with shoppers in it, for a client of either kind."""

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from stream_persona.settings import Settings
from tests.support.clients import fill
from tests.support.servers import Redis as Server
from tests.support.servers import client_of


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def place(redis_server: Server) -> Settings:
    """A prefix of its own."""
    prefix = f"client-{time.time_ns()}:"
    return Settings(_env_file=None, redis_url=redis_server.url, prefix=prefix)


@pytest.fixture
async def redis(place: Settings) -> AsyncIterator[Redis]:
    async with client_of(place.redis_url) as redis:
        await fill(redis, place.prefix)
        yield redis


@pytest.fixture
def options(place: Settings, redis_server: Server) -> dict[str, Any]:
    return {"prefix": place.prefix, "cluster": redis_server.kind == "cluster", "timeout": 1.0}
