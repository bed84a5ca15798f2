"""The Kafka and the Redis that tests run against, real ones wherever that is possible.

Kafka: the one that ``STREAM_PERSONA_TEST_BROKERS`` names; else, where Java and Maven are, a real
Apache Kafka, fetched once and kept in the cache folder; else the embedded broker.
Redis: the one that ``STREAM_PERSONA_TEST_REDIS_URL`` names; else ``redis-server`` on the PATH, or
a Cluster of three of it with ``STREAM_PERSONA_TEST_REDIS=cluster``; else the embedded server. With
``STREAM_PERSONA_TEST_REQUIRE_REAL=1`` an embedded one is an error.
"""

import os
import shutil
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Literal, Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError
from redis import Redis as SyncRedis
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio import RedisCluster as AsyncRedisCluster

from stream_persona.demo.embedded import PARTITIONS, EmbeddedBroker, EmbeddedRedis
from stream_persona.settings import Settings
from tests.support.kafka_node import START_SECONDS, RealKafka, answers, can_run_kafka, version
from tests.support.redis_cluster import RedisCluster
from tests.support.waiting import eventually as eventually  # noqa: PLC0414  # tests take it from here
from tests.support.waiting import wait_until


class Kafka(Protocol):
    """A broker that is there until ``close``."""

    @property
    def kind(self) -> Literal["kafka", "named", "embedded"]: ...

    brokers: str
    description: str

    def wait_until_ready(self) -> None: ...

    def close(self) -> None: ...


class Redis(Protocol):
    """A Redis server that is there until ``close``."""

    @property
    def kind(self) -> Literal["redis", "cluster", "named", "embedded"]: ...

    url: str
    description: str

    def close(self) -> None: ...


class NamedKafka:
    kind: Literal["named"] = "named"

    def __init__(self, brokers: str) -> None:
        self.brokers = brokers
        self.description = f"the Kafka at {brokers}"

    def wait_until_ready(self) -> None:
        wait_until(lambda: answers(self.brokers), START_SECONDS, f"no Kafka at {self.brokers}")

    def close(self) -> None:
        """It is not ours to end."""


class EmbeddedKafka:
    kind: Literal["embedded"] = "embedded"

    def __init__(self) -> None:
        self._broker = EmbeddedBroker()
        self.brokers = self._broker.address
        self.description = "librdkafka's mock cluster (tests that need a real Kafka are skipped)"

    def wait_until_ready(self) -> None:
        """It is, since it was made."""

    def close(self) -> None:
        self._broker.close()


class NamedRedis:
    kind: Literal["named"] = "named"

    def __init__(self, url: str) -> None:
        self.url = url
        self.description = f"the Redis at {url.rpartition('@')[2]}"

    def close(self) -> None:
        """It is not ours to end."""


class LocalRedis:
    def __init__(self, binary: str | None) -> None:
        self._server = EmbeddedRedis(binary, ["--appendonly", "yes"])
        self.kind: Literal["redis", "embedded"] = "redis" if binary else "embedded"
        self.url = self._server.url
        self.description = f"redis-server {version(binary)}" if binary else "the embedded server"

    def close(self) -> None:
        self._server.close()


def start_kafka() -> Kafka:
    """The best Kafka that this machine can have; it may still be starting."""
    if brokers := os.environ.get("STREAM_PERSONA_TEST_BROKERS"):
        return NamedKafka(brokers)
    if can_run_kafka():
        with suppress(subprocess.CalledProcessError):  # Maven has printed why it cannot fetch it
            return RealKafka()
    require_no_real("Kafka: it takes Java 17 and Maven, or STREAM_PERSONA_TEST_BROKERS")
    return EmbeddedKafka()


def start_redis() -> Redis:
    """The best Redis that this machine can have, ready."""
    if url := os.environ.get("STREAM_PERSONA_TEST_REDIS_URL"):
        return NamedRedis(url)
    if os.environ.get("STREAM_PERSONA_TEST_REDIS") == "cluster":
        return start_cluster()
    binary = shutil.which("redis-server")
    if binary is None:
        require_no_real("Redis: it takes redis-server, or STREAM_PERSONA_TEST_REDIS_URL")
    return LocalRedis(binary)


def start_cluster(replicas: int = 0) -> RedisCluster:
    """A Redis Cluster of three masters, ready; of ``redis-server``, else of the embedded one."""
    return RedisCluster(shutil.which("redis-server"), replicas=replicas)


class ClusterClient(AsyncRedisCluster):
    """A client of a Cluster that reads keys of many slots as that of one server does."""

    async def mget(self, keys: Sequence[str]) -> list[bytes | None]:
        return await self.mget_nonatomic(keys)


def client_of(url: str) -> AsyncRedis | ClusterClient:
    """A client of a server or a Cluster, for looking at what was written."""
    with SyncRedis.from_url(url) as server:
        clustered = server.info("cluster").get("cluster_enabled")
    return ClusterClient.from_url(url) if clustered else AsyncRedis.from_url(url)


def require_no_real(what: str) -> None:
    if os.environ.get("STREAM_PERSONA_TEST_REQUIRE_REAL") == "1":
        raise RuntimeError(f"STREAM_PERSONA_TEST_REQUIRE_REAL=1, but there is no real {what}")


async def declare_topics(
    kafka: Kafka,
    names: Sequence[str],
    partitions: int,
    config: Mapping[str, str] | None = None,
) -> None:
    """Make topics, and wait until they can be used; the embedded broker knows only its own way."""
    if kafka.kind == "embedded":
        assert partitions == PARTITIONS
    else:
        await create_topics(kafka.brokers, names, partitions, config or {})
    async with AIOKafkaProducer(bootstrap_servers=kafka.brokers) as producer:
        for name in names:
            await producer.partitions_for(name)


async def create_topics(
    brokers: str, names: Sequence[str], partitions: int, config: Mapping[str, str]
) -> None:
    client = AIOKafkaAdminClient(bootstrap_servers=brokers)
    await client.start()
    try:
        topics = [NewTopic(name, partitions, 1, topic_configs=dict(config)) for name in names]
        with suppress(TopicAlreadyExistsError):
            await client.create_topics(topics)
    finally:
        await client.close()


def settings_for(kafka: Kafka, redis_url: str, **overrides: object) -> Settings:
    """Settings of one test's own; ``overrides`` win."""
    own = uuid.uuid4().hex[:8]
    topics = {
        name: f"{field.default}-{own}"
        for name, field in Settings.model_fields.items()
        if name.startswith("topic_")
    }
    values: dict[str, object] = {
        "brokers": kafka.brokers,
        "redis_url": redis_url,
        "group": f"test-{own}",
        "prefix": f"test-{own}:",
        "partitions": PARTITIONS if kafka.kind == "embedded" else 8,
        "declare_topics": kafka.kind != "embedded",
        "api_port": 0,
        "metrics_port": 0,
        "commit_interval": 0.2,
        "session_timeout": 6.0,
        **topics,
        **overrides,
    }
    return Settings(_env_file=None, **values)


def topics_of(settings: Settings) -> list[str]:
    """Every topic that the settings name."""
    return [getattr(settings, name) for name in Settings.model_fields if name.startswith("topic_")]
