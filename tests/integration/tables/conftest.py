"""Tables in memory, in a Redis and in a Redis Cluster: each test runs on all three."""

import time
from collections.abc import AsyncIterator

import pytest

from stream_persona.store.memory import MemoryTables
from stream_persona.store.redis import RedisTables
from stream_persona.store.tables import Tables
from tests.support.table_servers import Make, server_of


@pytest.fixture(params=["memory", "redis", "cluster"])
async def make(request: pytest.FixtureRequest) -> AsyncIterator[Make]:
    """Tables of a deployment of this name; the same name, the same contents."""
    made: dict[str, Tables] = {}
    prefix = f"{request.node.name}-{time.time_ns()}:"

    def of(name: str) -> Tables:
        if name not in made:
            made[name] = connected(request, prefix + name)
        return made[name]

    yield of
    for tables in made.values():
        if isinstance(tables, RedisTables):
            await tables.close()


def connected(request: pytest.FixtureRequest, prefix: str) -> Tables:
    if request.param == "memory":
        return MemoryTables()
    return RedisTables.connect(server_of(request, request.param), prefix, retry_seconds=5)


@pytest.fixture
def tables(make: Make) -> Tables:
    return make("shop:")
