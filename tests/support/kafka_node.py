"""A real Apache Kafka for tests: fetched with Maven once, kept in the cache, run as one node."""

import base64
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from stream_persona.demo.embedded import find_free_port
from tests.support.waiting import patience, wait_until

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
listeners=PLAINTEXT://127.0.0.1:{port},PROXIED://127.0.0.1:{proxied},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},PROXIED://127.0.0.1:{proxy}
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT
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

# A node lives for minutes, and its tests share the cores with it: what pays off for hours is off.
START = """set -e
export CLASSPATH="$1/*" JAVA_TOOL_OPTIONS="-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
java kafka.tools.StorageTool format --standalone --cluster-id "$2" --config server.properties
exec java -Xmx768m kafka.Kafka server.properties
"""


class RealKafka:
    """One KRaft node; it starts in the background, see ``wait_until_ready``.

    The broker sends a client on to where its listener is advertised. Clients of ``brokers`` stay
    there; those that reach the listener on port ``proxied`` are sent to port ``proxy``, where
    a test may put something between (``SlowProxy.of_kafka``).
    """

    kind: Literal["kafka"] = "kafka"
    description = f"Apache Kafka {KAFKA_VERSION} (KRaft, one node)"

    def __init__(self, files: Mapping[str, bytes] | None = None, more: str = "") -> None:
        """Start it, with ``files`` in its folder and ``more`` properties; the last ones count."""
        libraries = kafka_libraries()
        self._directory = tempfile.TemporaryDirectory(prefix="stream-persona-kafka-")
        self.log = Path(self._directory.name) / "server.log"
        names = ("port", "proxied", "proxy", "controller")
        ports = {name: find_free_port() for name in names}
        self.brokers = f"127.0.0.1:{ports['port']}"
        self.proxied, self.proxy = ports["proxied"], ports["proxy"]
        Path(self._directory.name, "server.properties").write_text(
            (PROPERTIES + more).format(directory=self._directory.name, **ports)
        )
        for name, content in (files or {}).items():
            Path(self._directory.name, name).write_bytes(content)
        identity = "A" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]
        with self.log.open("wb") as log:
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
            raise RuntimeError(f"Kafka ended at start:\n{self.log.read_text()[-2000:]}")

    def close(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._directory.cleanup()


def can_run_kafka() -> bool:
    if shutil.which("java") is None or not (kafka_cache().exists() or shutil.which("mvn")):
        return False
    return int(version("java", "-version").partition(".")[0] or 0) >= JAVA_VERSION


def version(*command: str | None) -> str:
    """Return the first number with a dot in what a program prints about its version."""
    program, *rest = [part for part in command if part]
    printed = subprocess.run(
        [program, *(rest or ["--version"])], capture_output=True, text=True, check=False
    )
    found = re.search(r"\d+\.[\d.]*\d", printed.stdout + printed.stderr)
    return found[0] if found else ""


def cache_folder() -> Path:
    """Where what was fetched for tests is kept."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "stream-persona"


def kafka_cache() -> Path:
    return cache_folder() / f"kafka-{KAFKA_VERSION}"


def kafka_libraries() -> Path:
    """The folder of Kafka's jars, fetched with Maven the first time, whole or not at all."""
    cache = kafka_cache()
    if not cache.exists():
        print(f"Fetching Apache Kafka {KAFKA_VERSION} with Maven, once ...", file=sys.__stderr__)
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
        AdminClient({"bootstrap.servers": brokers, "log_level": 0}).list_topics(
            timeout=patience(1.0)
        )
    except KafkaException:
        return False
    return True
