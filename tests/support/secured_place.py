"""A deployment on servers that let in who they know alone, and its processes."""

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path

from stream_persona.kafka.topics import list_topics
from stream_persona.settings import Settings
from tests.support.rights import kafka_rights, redis_rules
from tests.support.secured_cluster import SecuredCluster
from tests.support.secured_servers import (
    Authority,
    SecuredKafka,
    SecuredRedis,
)
from tests.support.servers import create_topics
from tests.support.shop import WorkerProcess, environment
from tests.support.waiting import patience

ROOT = Path(__file__).parents[2]


@dataclass
class Place:
    """A deployment on the servers, whose users are made as they are asked for."""

    authority: Authority
    kafka: SecuredKafka
    redis: SecuredRedis | SecuredCluster
    settings: Settings

    @property
    def is_cluster(self) -> bool:
        return isinstance(self.redis, SecuredCluster)

    def as_process(self, *names: str, redis: str | None = None) -> Settings:
        """The settings of a process whose user has the rights of ``names``, and no others."""
        user = f"{names[0]}-{self.settings.group}".replace(" ", "-")
        self.kafka.add_user(user)
        for name in names:
            self.kafka.grant(user, kafka_rights(name, self.settings))
        rules = redis_rules(redis or "ranking service", self.settings)
        rules += redis_rules("each of these on a Cluster", self.settings) if self.is_cluster else []
        self.redis.set_user(user, rules)
        return self.settings.model_copy(
            update={"kafka_username": user, "redis_url": self.redis.url(user)}
        )


async def run(settings: Settings, *arguments: str) -> tuple[int | None, str]:
    """Run a command; return its exit code and what it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "stream_persona", *arguments,
        env=environment(settings) | {"PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        printed, _ = await asyncio.wait_for(process.communicate(), patience(90))
    except TimeoutError:
        process.kill()
        raise
    return process.returncode, printed.decode()


def has_logged(process: WorkerProcess, text: str) -> bool:
    assert process.process.poll() is None, process.log.read_text()
    return text in process.log.read_text()


async def declare(place: Place) -> None:
    for topic in list_topics(place.settings):
        brokers = place.kafka.open_brokers
        await create_topics(brokers, [topic.name], topic.partitions, topic.configs)
