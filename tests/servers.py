"""The Kafka and the Redis that tests run against, real ones wherever that is possible.

Kafka: the one that ``STREAM_PERSONA_TEST_BROKERS`` names; else, where Java and Maven are, a real
Apache Kafka, fetched once and kept in the cache folder; else the embedded broker.
Redis: the one that ``STREAM_PERSONA_TEST_REDIS_URL`` names; else ``redis-server`` on the PATH;
else the embedded server. With ``STREAM_PERSONA_TEST_REQUIRE_REAL=1`` an embedded one is an error.
"""

import asyncio
import base64
import inspect
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal, Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from stream_persona.embedded import PARTITIONS, EmbeddedBroker, EmbeddedRedis, free_port
from stream_persona.settings import Settings

KAFKA_VERSION = "4.2.0"
JAVA_VERSION = 17
START_SECONDS = 60.0

POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>tests</groupId><artifactId>kafka</artifactId><version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId>
      <version>{KAFKA_VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId>
      <version>{KAFKA_VERSION}</version>
    </dependency>
  </dependencies>
</project>
"""

# Small internal topics and quick group and cleaner timings: a test waits for all of them.
PROPERTIES = """process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={directory}/logs
auto.create.topics.enable=false
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.num.partitions=4
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
log.cleaner.backoff.ms=200
"""

START = """set -e
export CLASSPATH="$1/*"
java kafka.tools.StorageTool format --standalone --cluster-id "$2" --config server.properties
exec java -Xmx768m kafka.Kafka server.properties
"""


class Kafka(Protocol):
    """A broker that is there until ``close``."""

    kind: Literal["kafka", "named", "embedded"]
    brokers: str
    description: str

    def wait_until_ready(self) -> None: ...

    def close(self) -> None: ...


class Redis(Protocol):
    """A Redis server that is there until ``close``."""

    kind: Literal["redis", "named", "embedded"]
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


class RealKafka:
    """One KRaft node; its start goes on in the background until somebody waits for it."""

    kind: Literal["kafka"] = "kafka"
    description = f"Apache Kafka {KAFKA_VERSION} (KRaft, one node)"

    def __init__(self) -> None:
        libraries = kafka_libraries()
        self._directory = tempfile.TemporaryDirectory(prefix="stream-persona-kafka-")
        self._log = Path(self._directory.name) / "server.log"
        port = free_port()
        self.brokers = f"127.0.0.1:{port}"
        Path(self._directory.name, "server.properties").write_text(
            PROPERTIES.format(port=port, controller=free_port(), directory=self._directory.name)
        )
        identity = "A" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                ["sh", "-c", START, "sh", str(libraries), identity],
                cwd=self._directory.name,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_until_ready(self) -> None:
        def ready_or_dead() -> bool:
            return self._process.poll() is not None or answers(self.brokers)

        wait_until(ready_or_dead, START_SECONDS, "Kafka did not start")
        if self._process.poll() is not None:
            raise RuntimeError(f"Kafka ended at start:\n{self._log.read_text()[-2000:]}")

    def close(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._directory.cleanup()


class NamedRedis:
    kind: Literal["named"] = "named"

    def __init__(self, url: str) -> None:
        self.url = url
        self.description = f"the Redis at {url.rpartition('@')[2]}"

    def close(self) -> None:
        """It is not ours to end."""


class LocalRedis:
    def __init__(self, binary: str | None) -> None:
        self._server = EmbeddedRedis(binary, ["--appendonly", "yes"] if binary else [])
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
        return RealKafka()
    require_no_real("Kafka: it takes Java 17 and Maven, or STREAM_PERSONA_TEST_BROKERS")
    return EmbeddedKafka()


def start_redis() -> Redis:
    """The best Redis that this machine can have, ready."""
    if url := os.environ.get("STREAM_PERSONA_TEST_REDIS_URL"):
        return NamedRedis(url)
    binary = shutil.which("redis-server")
    if binary is None:
        require_no_real("Redis: it takes redis-server, or STREAM_PERSONA_TEST_REDIS_URL")
    return LocalRedis(binary)


def require_no_real(what: str) -> None:
    if os.environ.get("STREAM_PERSONA_TEST_REQUIRE_REAL") == "1":
        raise RuntimeError(f"STREAM_PERSONA_TEST_REQUIRE_REAL=1, but there is no real {what}")


def can_run_kafka() -> bool:
    if shutil.which("java") is None or not (kafka_cache().exists() or shutil.which("mvn")):
        return False
    return int(version("java", "-version").partition(".")[0] or 0) >= JAVA_VERSION


def version(*command: str | None) -> str:
    """The first number with a dot in what a program says of itself."""
    program, *rest = [part for part in command if part]
    said = subprocess.run(
        [program, *(rest or ["--version"])], capture_output=True, text=True, check=False
    )
    found = re.search(r"\d+\.[\d.]*\d", said.stdout + said.stderr)
    return found[0] if found else ""


def kafka_cache() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "stream-persona" / f"kafka-{KAFKA_VERSION}"


def kafka_libraries() -> Path:
    """The folder of Kafka's jars, fetched with Maven the first time, whole or not at all."""
    cache = kafka_cache()
    if not cache.exists():
        cache.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache.parent) as unfinished:
            pom = Path(unfinished, "pom.xml")
            pom.write_text(POM)
            target = Path(unfinished, "libraries")
            goal = ["dependency:copy-dependencies", f"-DoutputDirectory={target}"]
            subprocess.run(["mvn", "-q", "-B", "-f", str(pom), *goal], check=True)
            with suppress(OSError):  # another run was quicker
                target.rename(cache)
    return cache


def answers(brokers: str) -> bool:
    try:
        AdminClient({"bootstrap.servers": brokers, "log_level": 0}).list_topics(timeout=1.0)
    except KafkaException:
        return False
    return True


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


def wait_until(condition: Callable[[], object], seconds: float, message: str = "") -> None:
    """Return as soon as ``condition()`` holds; fail with ``message`` after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(message or f"not within {seconds} s")
        time.sleep(0.02)


async def eventually(
    condition: Callable[[], object | Awaitable[object]], seconds: float, message: str = ""
) -> None:
    """``wait_until`` for a running event loop; the condition may be a coroutine function."""
    deadline = time.monotonic() + seconds
    while True:
        holds = condition()
        if await holds if inspect.isawaitable(holds) else holds:
            return
        if time.monotonic() > deadline:
            raise AssertionError(message or f"not within {seconds} s")
        await asyncio.sleep(0.02)
