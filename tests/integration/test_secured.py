"""The main job through a Kafka with SASL_SSL and ACLs and a Redis with TLS and ACLs.

Each process has the rights that ``deploy/README.md`` lists for it, and no others.
"""

import asyncio
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from aiokafka import AIOKafkaProducer

from stream_persona.client import AsyncPersonaClient
from stream_persona.domain.events import Item, Purchase, encode
from stream_persona.kafka.connection import connection_options
from stream_persona.settings import Settings
from tests.support.constants import RECENT as NOW
from tests.support.kafka_node import can_run_kafka
from tests.support.rights import kafka_rights, redis_rules
from tests.support.secured_servers import (
    PASSWORD,
    Authority,
    SecuredKafka,
    SecuredRedis,
    secured_servers,
)
from tests.support.servers import eventually, settings_for
from tests.support.shop import WorkerProcess, environment

pytestmark = pytest.mark.skipif(not can_run_kafka(), reason="needs a real Kafka")

ROOT = Path(__file__).parents[2]


@dataclass
class Place:
    """A deployment on the servers, whose users are made as they are asked for."""

    authority: Authority
    kafka: SecuredKafka
    redis: SecuredRedis
    settings: Settings

    def as_process(self, *names: str, redis: str | None = None) -> Settings:
        """The settings of a process whose user has the rights of ``names``, and no others."""
        user = f"{names[0]}-{self.settings.group}".replace(" ", "-")
        self.kafka.add_user(user)
        for name in names:
            self.kafka.grant(user, kafka_rights(name, self.settings))
        self.redis.set_user(user, redis_rules(redis or "ranking service", self.settings))
        return self.settings.model_copy(
            update={"kafka_username": user, "redis_url": self.redis.url(user)}
        )


@pytest.fixture(scope="module")
def servers(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Authority, SecuredKafka, SecuredRedis]]:
    with secured_servers(tmp_path_factory.mktemp("certificates")) as started:
        yield started


@pytest.fixture
def place(servers: tuple[Authority, SecuredKafka, SecuredRedis]) -> Place:
    authority, kafka, redis = servers
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


async def run(settings: Settings, *arguments: str) -> tuple[int | None, str]:
    """Run a command; return its exit code and what it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "stream_persona", *arguments,
        env=environment(settings) | {"PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        printed, _ = await asyncio.wait_for(process.communicate(), 90)
    except TimeoutError:
        process.kill()
        raise
    return process.returncode, printed.decode()


@pytest.mark.timeout(240)
async def test_the_whole_path_works_with_the_listed_rights_alone(
    place: Place, start: Callable[..., WorkerProcess]
) -> None:
    worker = start(
        place.as_process("worker", "worker that creates topics", redis="worker"), "worker"
    )
    await eventually(lambda: "Kafka localhost:" in worker.log.read_text(), 90, worker.log.read_text)
    api = start(place.as_process("api", redis="api"), "api")
    buying = place.as_process("producers")
    async with AIOKafkaProducer(**connection_options(buying)) as producer:
        for number in range(5):
            event = Purchase(f"e{number}", "C-1", NOW + number, (Item("p", "baby/diapers"),))
            await producer.send_and_wait(buying.topic_purchases, encode(event), key=b"C-1")
    await eventually(lambda: "listening on" in api.log.read_text(), 60, api.log.read_text)
    found = re.search(r"listening on (http://\S+)", api.log.read_text())
    async with httpx.AsyncClient(base_url=found[1] if found else "", timeout=20) as client:
        await eventually(lambda: _is_known(client, "C-1"), 60, worker.log.read_text)
        assert (await client.get("/readyz")).status_code == 200
        assert (await client.get("/v1/overview")).status_code == 200
        assert (await client.get("/v1/customers/C-1/activity")).status_code == 200
        asked = await client.put("/v1/customers/C-2/assignment", json={"persona": "student"})
        assert asked.status_code == 202, asked.text
        await _watch_and_delete(place, client)
    assert worker.stop() == 0, worker.log.read_text()
    assert api.stop() == 0
    assert place.redis.refused() == []
    for log in (worker.log, api.log):
        assert not re.search("WARNING|ERROR|p@ss|%40", log.read_text()), log.read_text()


async def _watch_and_delete(place: Place, client: httpx.AsyncClient) -> None:
    asking = place.as_process("assign")
    watching = place.as_process("watch")
    ranking = place.as_process("ranking service", redis="ranking service")
    address = ranking.redis_address
    async with AsyncPersonaClient(address, prefix=ranking.prefix, timeout=5, cache=10) as personas:
        code, printed = await run(asking, "assign", "C-3", "student", "--json")
        assert code == 0, printed
        changes = personas.watch(
            topic=watching.topic_changes,
            from_beginning=True,
            connection=connection_options(watching),
        )
        async with asyncio.timeout(60):
            async for change in changes:
                if change.customer_id == "C-3" and change.persona == "student":
                    break
        shopper = await personas.get("C-3")
        assert (shopper.persona, shopper.fallback) == ("student", None)
        assert (await personas.rank([{"category": "books"}], "C-3")).fallback is None
        code, printed = await run(asking, "delete", "C-3", "--yes", "--json")
        assert code == 0, printed
        await eventually(lambda: _is_unknown(client, "C-3"), 60)


async def _is_known(client: httpx.AsyncClient, customer: str) -> bool:
    answer = await client.get(f"/v1/customers/{customer}/persona")
    return answer.status_code == 200


async def _is_unknown(client: httpx.AsyncClient, customer: str) -> bool:
    answer = await client.get(f"/v1/customers/{customer}/persona")
    return answer.status_code == 404
