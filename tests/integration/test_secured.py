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
from aiokafka import AIOKafkaProducer, TopicPartition
from pydantic import SecretStr

from stream_persona.client import AsyncPersonaClient
from stream_persona.domain.events import Item, Purchase, encode
from stream_persona.errors import TopologyError, UnavailableError
from stream_persona.kafka.commands import new_deletion, send_once
from stream_persona.kafka.connection import connection_options
from stream_persona.kafka.publisher import KafkaPublisher
from stream_persona.kafka.range_reader import RangeReader
from stream_persona.kafka.topics import ask, topics
from stream_persona.settings import Settings
from stream_persona.store.redis import RedisTables
from stream_persona.worker.startup import prepare
from tests.support.constants import RECENT as NOW
from tests.support.kafka_node import can_run_kafka
from tests.support.rights import kafka_rights, redis_rules
from tests.support.secured_cluster import SecuredCluster
from tests.support.secured_servers import (
    HOST,
    PASSWORD,
    Authority,
    Right,
    SecuredKafka,
    SecuredRedis,
    secured_servers,
)
from tests.support.servers import create_topics, eventually, settings_for
from tests.support.shop import WorkerProcess, environment
from tests.support.token_endpoint import Endpoint, unsigned_token

pytestmark = pytest.mark.skipif(not can_run_kafka(), reason="needs a real Kafka")

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


@pytest.fixture(scope="module")
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
    await go_the_whole_path(place, start)


@pytest.mark.faults
@pytest.mark.timeout(400)
async def test_the_whole_path_works_on_a_secured_cluster(
    place: Place, start: Callable[..., WorkerProcess], tmp_path: Path
) -> None:
    # Its client connects to localhost as to 127.0.0.1, whatever the certificate says.
    authority = Authority(tmp_path, HOST, "127.0.0.1")
    with SecuredCluster(authority) as cluster:
        update = {"redis_url": cluster.url(), "redis_ca_file": authority.ca}
        settings = place.settings.model_copy(update=update)
        place = Place(authority, place.kafka, cluster, settings)
        await go_the_whole_path(place, start)
        asking = place.as_process("assign", redis="assign")
        rules = redis_rules("assign", settings)
        cluster.set_user(asking.kafka_username, rules)
        code, printed = await run(asking, "assign", "C-1", "student")
        assert (code, printed.count("\n")) == (2, 1), printed
        assert re.search(r"_REDIS_URL: .*cluster\|slots.*; add it to the user's ACL", printed)


async def go_the_whole_path(place: Place, start: Callable[..., WorkerProcess]) -> None:
    """Buy, assign, look up, rank, watch and forget, by processes with users of their own."""
    worker = start(
        place.as_process("worker", "worker that creates topics", redis="worker"), "worker"
    )
    await eventually(lambda: _has_logged(worker, "Kafka localhost:"), 90, worker.log.read_text)
    api = start(place.as_process("api", "api that collects events", redis="api"), "api")
    buying = place.as_process("producers")
    async with AIOKafkaProducer(**connection_options(buying)) as producer:
        for number in range(5):
            event = Purchase(f"e{number}", "C-1", NOW + number, (Item("p", "baby/diapers"),))
            await producer.send_and_wait(buying.topic_purchases, encode(event), key=b"C-1")
    await eventually(lambda: _has_logged(api, "listening on"), 60, api.log.read_text)
    found = re.search(r"listening on (http://\S+)", api.log.read_text())
    async with httpx.AsyncClient(base_url=found[1] if found else "", timeout=20) as client:
        await eventually(lambda: _is_known(client, "C-1"), 60, worker.log.read_text)
        await eventually(lambda: _is_ready(client), 60, api.log.read_text)
        sent = {"customer_id": "C-1", "items": [{"product_id": "p"}]}
        assert (await client.post("/v1/events", json=sent)).status_code == 202
        assert (await client.get("/v1/overview")).status_code == 200
        assert (await client.get("/v1/customers/C-1/activity")).status_code == 200
        asked = await client.put("/v1/customers/C-2/assignment", json={"persona": "student"})
        assert asked.status_code == 202, asked.text
        await _watch_and_delete(place, client)
    assert worker.stop() == 0, worker.log.read_text()
    assert api.stop() == 0
    assert place.redis.refused() == []
    for log in (worker.log, api.log):
        found = re.search("ERROR|refuses|does not let|p@ss|%40", log.read_text())
        assert not found, log.read_text()


def _has_logged(process: WorkerProcess, text: str) -> bool:
    assert process.process.poll() is None, process.log.read_text()
    return text in process.log.read_text()


async def _watch_and_delete(place: Place, client: httpx.AsyncClient) -> None:
    asking = place.as_process("assign", redis="assign")
    watching = place.as_process("watch", "watch with a group")
    ranking = place.as_process("ranking service", redis="ranking service")
    address = ranking.redis_address
    async with AsyncPersonaClient(
        address, prefix=ranking.prefix, timeout=5, cache=10, cluster=place.is_cluster
    ) as personas:
        code, printed = await run(asking, "assign", "C-3", "student", "--json")
        assert code == 0, printed
        changes = personas.watch(
            topic=watching.topic_changes,
            group="recommendations",
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


async def _is_ready(client: httpx.AsyncClient) -> bool:
    return (await client.get("/readyz")).status_code == 200


async def _is_known(client: httpx.AsyncClient, customer: str) -> bool:
    answer = await client.get(f"/v1/customers/{customer}/persona")
    return answer.status_code == 200


async def _is_unknown(client: httpx.AsyncClient, customer: str) -> bool:
    answer = await client.get(f"/v1/customers/{customer}/persona")
    return answer.status_code == 404


# --- who is let in ---


async def list_topics(settings: Settings) -> set[str]:
    return set(await ask(settings, lambda admin: admin.list_topics()))


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"])
async def test_a_login_by_password_is_let_in_by_each_mechanism(
    place: Place, mechanism: str
) -> None:
    settings = place.as_process("watch").model_copy(update={"kafka_sasl_mechanism": mechanism})
    if mechanism == "PLAIN":
        place.kafka.grant("plain", kafka_rights("watch", settings))
        login = {"kafka_username": "plain", "kafka_password": SecretStr("plain-secret")}
        settings = settings.model_copy(update=login)
    await create_topics(place.kafka.open_brokers, [settings.topic_changes], 1, {})
    assert settings.topic_changes in await list_topics(settings)


async def test_a_login_by_token_is_let_in_and_renewed(place: Place) -> None:
    settings = place.as_process("watch")
    await create_topics(place.kafka.open_brokers, [settings.topic_changes], 1, {})
    endpoint = Endpoint()
    endpoint.answer = {"access_token": unsigned_token(settings.kafka_username), "expires_in": 600}
    try:
        by_token = settings.model_copy(
            update={"kafka_sasl_mechanism": "OAUTHBEARER", "kafka_token_url": endpoint.url}
        )
        assert settings.topic_changes in await list_topics(by_token)
        assert len(endpoint.asked) == 1  # for several connections
        endpoint.answer = {"access_token": unsigned_token("other", -600.0), "expires_in": 600}
        ended = by_token.model_copy(update={"kafka_token_scope": "another"})
        with pytest.raises(TopologyError, match="refuses the login of the client"):
            await list_topics(ended)
        endpoint.status = 401
        refused = by_token.model_copy(update={"kafka_token_scope": "a third"})
        with pytest.raises(TopologyError, match=r"^STREAM_PERSONA_KAFKA_TOKEN_URL .* gives no tok"):
            await list_topics(refused)
        endpoint.status = 503  # which is none of the brokers' doing
        failing = {"kafka_token_scope": "a fourth", "retry_seconds": 1.0}
        with pytest.raises(UnavailableError, match=r"^STREAM_PERSONA_KAFKA_TOKEN_URL .*HTTP 503"):
            await list_topics(by_token.model_copy(update=failing))
    finally:
        endpoint.close()


REFUSALS: dict[str, tuple[dict[str, object], str]] = {
    "a wrong password of Kafka": (
        {"kafka_password": SecretStr("zq#zq")}, "_KAFKA_PASSWORD: the broker .* refuses the login",
    ),
    "an unknown user of Kafka": ({"kafka_username": "ghost"}, "refuses the login of User:ghost"),
    "an authority that is not ours": ({"kafka_ca_file": None}, "_KAFKA_CA_FILE: the certificate"),
    "another name of the broker": ({"brokers": "127.0.0.1:{kafka}"}, "_BROKERS: the certificate"),
    "a wrong password of Redis": (
        {"redis_password": SecretStr("zq#zq")}, "_REDIS_URL: the server refuses the login",
    ),
    "no password of Redis": ({"redis_password": SecretStr("")}, "_REDIS_URL: the server refuses"),
    "another authority of Redis": ({"redis_ca_file": None}, "_REDIS_CA_FILE: the server's cert"),
    "another name of Redis": (
        {"redis_url": "rediss://127.0.0.1:{redis}/0"}, "_REDIS_URL: the server's certificate is",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
async def test_a_refusal_is_raised_at_once_with_what_to_correct(place: Place, case: str) -> None:
    change, sentence = REFUSALS[case]
    ports = {"kafka": place.kafka.port, "redis": place.redis.port}
    change = {
        name: value.format(**ports) if isinstance(value, str) else value
        for name, value in change.items()
    }
    settings = place.as_process("worker", redis="worker").model_copy(update=change)
    began = asyncio.get_running_loop().time()
    with pytest.raises(TopologyError, match=sentence) as caught:
        await prepare(settings)
    assert asyncio.get_running_loop().time() - began < settings.retry_seconds / 2
    assert caught.value.exit_code == 2
    assert not re.search("zq|p@ss|p%40ss", str(caught.value))
    assert "\n" not in str(caught.value)


@pytest.mark.faults
@pytest.mark.parametrize("command", ["worker", "api", "assign C-1 student"])
@pytest.mark.parametrize("case", ["a wrong password of Kafka", "an authority that is not ours"])
async def test_a_refused_process_ends_with_2_and_one_sentence(
    place: Place, command: str, case: str
) -> None:
    change, sentence = REFUSALS[case]
    settings = place.as_process("worker", "api", "assign", redis="worker")
    code, printed = await run(settings.model_copy(update=change), *command.split())
    assert (code, printed.count("\n")) == (2, 1), printed
    assert re.search(sentence, printed)


# --- what they may do ---


async def declare(place: Place) -> None:
    for topic in topics(place.settings):
        brokers = place.kafka.open_brokers
        await create_topics(brokers, [topic.name], topic.partitions, topic.configs)


async def test_a_worker_names_every_right_that_it_lacks(place: Place) -> None:
    settings = place.as_process("worker", redis="worker")
    await declare(place)
    user = settings.kafka_username
    await prepare(settings)
    asked = [right for right in kafka_rights("worker", settings) if "trans" not in right.resource]
    for right in asked:
        place.kafka.revoke(user, right)
        with pytest.raises(
            TopologyError, match=f"{right.operation} on {right.resource} {right.name}"
        ):
            await prepare(settings)
        place.kafka.grant(user, [right])
    place.kafka.revoke(user)
    with pytest.raises(TopologyError, match=f"User:{user} do this: ") as caught:
        await prepare(settings)
    assert all(right.name in str(caught.value) for right in asked)


async def test_a_worker_without_its_transactional_ids_claims_nothing(place: Place) -> None:
    settings = place.as_process("worker", redis="worker")
    await declare(place)
    place.kafka.revoke(
        settings.kafka_username,
        Right("transactional id", f"{settings.group}-changes-*", "Write"),
    )
    publisher = KafkaPublisher(settings)
    await publisher.start()
    try:
        with pytest.raises(TopologyError, match="Write on transactional id"):
            await publisher.take_over(0, [], _still_owns)
    finally:
        await publisher.stop()


async def _still_owns() -> bool:
    return True


async def test_a_command_without_its_right_is_not_taken_for_done(place: Place) -> None:
    settings = place.as_process("watch")
    await declare(place)
    command = new_deletion("C-1", at=NOW)
    with pytest.raises(TopologyError, match=f"Write on topic {settings.topic_deletions}"):
        await send_once(settings, command)


async def test_a_reader_without_its_right_reads_nothing_in_silence(place: Place) -> None:
    settings = place.as_process("producers")
    await declare(place)
    for topic in (settings.topic_changes, settings.topic_purchases):  # hidden, and seen
        with pytest.raises(TopologyError, match=f"Read on topic {topic}"):
            await _read(settings, TopicPartition(topic, 0))


async def _read(settings: Settings, tp: TopicPartition) -> None:
    async with RangeReader(settings, patience=5) as reader:
        held = (await reader.bounds([tp]))[tp]
        reader.begin({tp: range(held.start, held.stop + 1)})
        assert [batch async for batch in reader.read()] == []


@pytest.mark.parametrize("rule", ["-hset", "-evalsha", "-publish", "resetkeys", "-get", "-time"])
async def test_a_user_of_redis_without_a_right_is_told_which(place: Place, rule: str) -> None:
    settings = place.as_process("worker", redis="worker")
    rules = redis_rules("worker", settings)
    place.redis.set_user(settings.kafka_username, [*rules, rule])
    tables = RedisTables.connect(settings.redis_address, settings.prefix, 5)
    try:
        with pytest.raises(TopologyError, match=r"refuses the login .*; add it to the user's ACL"):
            await _use(tables)
    finally:
        await tables.close()


async def _use(tables: RedisTables) -> None:
    await tables.claim([0])
    await tables.save_affinities({"student": {"a": 1.0}})
    await tables.announce([b"{}"])
    await tables.load_deployment()


@pytest.mark.faults
@pytest.mark.timeout(300)
@pytest.mark.parametrize("lost", ["Read on topic", "Read on group", "a right in Redis"])
async def test_a_worker_that_loses_a_right_ends_with_2_and_names_it(
    place: Place, start: Callable[..., WorkerProcess], lost: str
) -> None:
    settings = place.as_process("worker", redis="worker")
    await declare(place)
    worker = start(settings, "worker")
    await eventually(lambda: _has_logged(worker, "Ready"), 90, worker.log.read_text)
    user = settings.kafka_username
    if lost == "Read on topic":
        place.kafka.revoke(user, Right("topic", settings.topic_purchases, "Read"))
        lost = f"{lost} {settings.topic_purchases}"
    elif lost == "Read on group":
        place.kafka.revoke(user, Right("group", settings.group, "Read"))
        lost = f"{lost} {settings.group}"
    else:
        place.redis.set_user(user, [*redis_rules("worker", settings), "-get", "-hget"])
        lost = "the server refuses the login"
    await eventually(lambda: worker.process.poll() is not None, 90, worker.log.read_text)
    assert worker.process.returncode == 2, worker.log.read_text()
    assert lost in worker.log.read_text().splitlines()[-1]


@pytest.mark.faults
@pytest.mark.timeout(300)
async def test_the_commands_that_read_topics_work_with_their_rights_alone(place: Place) -> None:
    await declare(place)
    replaying = place.as_process("replay", redis="replay")
    async with AIOKafkaProducer(bootstrap_servers=place.kafka.open_brokers) as producer:
        event = Purchase("e", "C-1", NOW, (Item("p", "baby/diapers"),))
        await producer.send_and_wait(replaying.topic_purchases, encode(event), key=b"C-1")
    for command in (["replay"], ["rebuild"]):
        code, printed = await run(replaying, *command)
        assert code == 0, printed
    inspecting = place.as_process("inspect")
    code, printed = await run(inspecting, "inspect", replaying.topic_purchases)
    assert code == 0, printed
    assert place.redis.refused() == []
