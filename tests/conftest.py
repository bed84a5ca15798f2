"""Fixtures that all tests share: a Kafka, a Redis, and settings that disturb no other test."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import settings as hypothesis_settings

from stream_persona.settings import Settings
from stream_persona.store.blas import limit_blas_threads
from tests.support.redis_cluster import RedisCluster
from tests.support.servers import (
    Kafka,
    Redis,
    declare_topics,
    settings_for,
    start_cluster,
    start_kafka,
    start_redis,
    topics_of,
)

hypothesis_settings.register_profile("steady", deadline=None, derandomize=True)
hypothesis_settings.load_profile("steady")


@dataclass
class Servers:
    """What was started for this run of pytest, and so must be ended and told."""

    kafka: Kafka | None = None
    redis: Redis | None = None


SERVERS = pytest.StashKey[Servers]()


def pytest_configure(config: pytest.Config) -> None:
    limit_blas_threads()
    config.stash[SERVERS] = Servers()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for kind in {"browser", "integration"} & set(item.path.parts):
            item.add_marker(kind)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start what tests will need while those that need nothing run: no test waits for a start."""
    if session.config.option.collectonly:
        return
    names = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    servers = session.config.stash[SERVERS]
    try:
        servers.kafka = start_kafka() if "kafka" in names else None
        servers.redis = start_redis() if "redis_server" in names else None
    except Exception as error:
        raise pytest.UsageError(f"The servers that tests need did not start: {error}") from error


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    servers = config.stash[SERVERS]
    if servers.kafka:
        terminalreporter.write_line(f"Kafka: {servers.kafka.description}")
    if servers.redis:
        terminalreporter.write_line(f"Redis: {servers.redis.description}")


def pytest_unconfigure(config: pytest.Config) -> None:
    servers = config.stash[SERVERS]
    for server in (servers.kafka, servers.redis):
        if server:
            server.close()


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest) -> Kafka:
    """A broker, ready: ``.brokers``, ``.kind`` ("kafka", "named", "embedded"), ``.description``."""
    server = request.config.stash[SERVERS].kafka
    assert server is not None
    server.wait_until_ready()
    return server


@pytest.fixture
def real_kafka(kafka: Kafka) -> Kafka:
    """A broker that keeps, compacts and creates topics; the test is skipped on an embedded one."""
    if kafka.kind == "embedded":
        pytest.skip("needs a real Kafka")
    return kafka


@pytest.fixture(scope="session")
def redis_server(request: pytest.FixtureRequest) -> Redis:
    """A Redis server, ready: ``.url``, ``.kind`` ("redis", "named", "embedded")."""
    server = request.config.stash[SERVERS].redis
    assert server is not None
    return server


@pytest.fixture(scope="session")
def redis_cluster(request: pytest.FixtureRequest) -> Iterator[RedisCluster]:
    """A Redis Cluster of three masters, ready: ``.url``, ``.nodes``; the run's own if it is one."""
    server = request.config.stash[SERVERS].redis
    if isinstance(server, RedisCluster):
        yield server
        return
    with start_cluster() as cluster:
        yield cluster


@pytest.fixture
def settings(kafka: Kafka, redis_server: Redis) -> Settings:
    """Settings with a group, a prefix and topics that only this test has, on the two servers."""
    return settings_for(kafka, redis_server.url)


@pytest.fixture
async def declared_topics(kafka: Kafka, settings: Settings) -> Settings:
    """The same settings, once all topics that they name exist."""
    await declare_topics(kafka, topics_of(settings), settings.partitions)
    return settings
