"""A second broker of a test's cluster, and who leads what."""

import os
import re
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from stream_persona.demo.embedded import find_free_port
from stream_persona.settings import Settings
from tests.chaos.machines import Broker
from tests.support.kafka_admin import admin_of
from tests.support.kafka_node import START, kafka_libraries
from tests.support.waiting import eventually


class SecondBroker:
    """Another broker of the same cluster, without a vote."""

    def __init__(self, first: Broker, directory: Path) -> None:
        known = (Path(first._directory.name) / "server.properties").read_text()
        meta = (Path(first._directory.name) / "logs" / "meta.properties").read_text()
        cluster = re.findall(r"cluster.id=(.+)", meta)[0].strip()
        port = find_free_port()
        own = {
            "process.roles": "broker",
            "node.id": "2",
            "listeners": f"PLAINTEXT://127.0.0.1:{port}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
            "log.dirs": f"{directory}/logs",
        }
        kept = [line for line in known.splitlines() if line.partition("=")[0] not in own]
        lines = [*kept, *(f"{name}={value}" for name, value in own.items())]
        (directory / "server.properties").write_text("\n".join(lines))
        start = START.replace("--standalone", "--no-initial-controllers")
        with (directory / "server.log").open("wb") as log:
            self._process = subprocess.Popen(
                ["sh", "-c", start, "sh", str(kafka_libraries()), cluster],
                cwd=directory, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        self.address = f"127.0.0.1:{port}"

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


async def group_of(settings: Settings, broker: int) -> str:
    """Return a name of a group whose offsets this broker keeps."""
    leaders: list[int] = []
    async with admin_of(settings) as admin:

        async def known() -> bool:
            (topic,) = await admin.describe_topics(["__consumer_offsets"])
            found = {each["partition"]: each["leader"] for each in topic["partitions"]}
            leaders[:] = [found[partition] for partition in sorted(found)]
            return broker in leaders

        await eventually(known, 30, "the broker leads none of __consumer_offsets")
    names = (f"{settings.group}-{number}" for number in range(1_000))
    return next(name for name in names if leaders[java_hash(name) % len(leaders)] == broker)


def java_hash(text: str) -> int:
    """``Math.abs(text.hashCode())``, by which Kafka chooses a group's partition."""
    found = 0
    for character in text.encode("utf-16-be")[1::2]:
        found = (31 * found + character) & 0xFFFFFFFF
    return min(found, (1 << 32) - found)


async def make_internal_topics(broker: Broker) -> None:
    """Make them while there is one broker: the second must not take their only replica."""
    writer = AIOKafkaProducer(bootstrap_servers=broker.brokers, transactional_id="first")
    reader = AIOKafkaConsumer(bootstrap_servers=broker.brokers, group_id="first")
    for client in (writer, reader):
        await client.start()
    await reader.committed(TopicPartition("any", 0))
    for client in (writer, reader):
        await client.stop()


async def leaders(settings: Settings) -> set[int]:
    """Return the brokers that lead any partition of the changes or of an input."""
    async with admin_of(settings) as admin:
        topics = await admin.describe_topics([*settings.input_topics, settings.topic_changes])
    return {partition["leader"] for topic in topics for partition in topic["partitions"]}
