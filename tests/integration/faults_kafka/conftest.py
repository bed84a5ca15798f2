"""One broker that may die, and a deployment on it for each test."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.chaos.machines import Broker
from tests.support.faulty_deployment import Deploy, FaultyDeployment, faulty_deployment
from tests.support.kafka_admin import LONG
from tests.support.kafka_node import can_run_kafka
from tests.support.servers import Redis, client_of, require_no_real, settings_for


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    if not can_run_kafka():
        require_no_real("Kafka that may be restarted: Java 17 and Maven")
        pytest.skip("needs a Kafka that it may restart")
    broker = Broker()
    broker.wait_until_ready()
    yield broker
    broker.close()


@pytest.fixture
def deployed(broker: Broker, redis_server: Redis, tmp_path: Path) -> Deploy:
    """Begins a deployment with settings of its own."""

    @asynccontextmanager
    async def begin(**settings: object) -> AsyncIterator[FaultyDeployment]:
        own = settings_for(broker, redis_server.url, **{"retry_seconds": LONG, **settings})
        async with (
            client_of(own.redis_url) as redis,
            faulty_deployment(own, redis, tmp_path) as shop,
        ):
            yield shop

    return begin


@pytest.fixture
async def shop(deployed: Deploy) -> AsyncIterator[FaultyDeployment]:
    async with deployed() as shop:
        yield shop
