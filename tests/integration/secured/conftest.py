"""One Kafka and one Redis with logins and rights, and a deployment on them for each test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stream_persona.settings import Settings
from tests.support.secured_place import Place
from tests.support.secured_servers import (
    PASSWORD,
    Authority,
    SecuredKafka,
    SecuredRedis,
    secured_servers,
)
from tests.support.servers import settings_for
from tests.support.shop import WorkerProcess


@pytest.fixture(scope="session")
def servers(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Authority, SecuredKafka, SecuredRedis]]:
    with secured_servers(tmp_path_factory.mktemp("certificates")) as started:
        yield started


@pytest.fixture
def place(servers: tuple[Authority, SecuredKafka, SecuredRedis]) -> Place:
    authority, kafka, redis = servers
    redis.refused()  # what others were refused
    settings = settings_for(
        kafka,
        redis.url(),
        partitions=2,
        kafka_security="SASL_SSL",
        kafka_sasl_mechanism="SCRAM-SHA-512",
        kafka_username="nobody",
        kafka_password=PASSWORD,
        kafka_ca_file=authority.ca,
        redis_password=PASSWORD,
        redis_ca_file=authority.ca,
        retry_seconds=20.0,
        session_timeout=20.0,
    )
    return Place(authority, kafka, redis, settings)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., WorkerProcess]]:
    """Starts a command with some settings, which ends with the test."""
    started: list[WorkerProcess] = []

    def start(settings: Settings, command: str) -> WorkerProcess:
        log = tmp_path / f"{command}.log"
        started.append(WorkerProcess(settings, log, ("-m", "stream_persona", command)))
        return started[-1]

    yield start
    for process in started:
        process.process.kill()
        process.process.wait()
