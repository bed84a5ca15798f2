"""The broker or its topics fail while events come in: nothing is lost or counted twice.

All tests share one broker that may die, and each has a deployment of its own on it. A broker that
is silent is one behind a proxy (``tests/support/slow_proxy.py``) that passes nothing on.
"""

import asyncio
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import httpx
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from stream_persona.demo.embedded import find_free_port
from stream_persona.domain.events import Browse, Item
from stream_persona.kafka.partitioner import home_partition
from stream_persona.settings import Settings
from tests.chaos.machines import Broker
from tests.support.constants import RECENT as NOW
from tests.support.faulty_deployment import FaultyDeployment, faulty_deployment
from tests.support.kafka_node import START, answers, can_run_kafka, kafka_libraries
from tests.support.servers import Redis, client_of, require_no_real, settings_for
from tests.support.slow_proxy import SlowProxy
from tests.support.waiting import eventually, wait_until

pytestmark = pytest.mark.faults

#: Seconds that a broker may take to come back, and those for which one stays away.
LONG, SHORT = 40.0, 3.0


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    if not can_run_kafka():
        require_no_real("Kafka that may be restarted: Java 17 and Maven")
        pytest.skip("needs a Kafka that it may restart")
    broker = Broker()
    broker.wait_until_ready()
    yield broker
    broker.close()


Deploy = Callable[..., AbstractAsyncContextManager[FaultyDeployment]]


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


@asynccontextmanager
async def admin_of(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.brokers)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


@asynccontextmanager
async def dead(broker: Broker) -> AsyncIterator[None]:
    await asyncio.to_thread(broker.end, signal.SIGKILL)
    try:
        yield
    finally:
        await asyncio.to_thread(broker.start_again)


async def delete(settings: Settings, topic: str) -> None:
    async with admin_of(settings) as admin:
        await admin.delete_topics([topic])

        async def gone() -> bool:
            return topic not in await admin.list_topics()

        await eventually(gone, 20, "the topic is still there")


async def create(settings: Settings, topic: str) -> None:
    async with admin_of(settings) as admin:
        await admin.create_topics([NewTopic(topic, settings.partitions, 1)])


# --- the broker ---


async def test_a_broker_that_dies_and_comes_back_is_waited_for(
    shop: FaultyDeployment, broker: Broker
) -> None:
    worker = await shop.worker()
    async with shop.flowing():
        async with dead(broker):
            await shop.more(100)
        await shop.more(100)
    await shop.check()
    assert worker.is_running()


async def test_a_broker_that_stays_away_ends_the_worker_and_the_next_one_goes_on(
    shop: FaultyDeployment, broker: Broker
) -> None:
    worker = await shop.worker(retry_seconds=SHORT)
    async with shop.flowing():
        async with dead(broker):
            await worker.ends("Kafka")
        shop.start()
        await shop.more(100)
    await shop.check()


async def test_a_silent_broker_is_waited_for_and_in_the_end_ends_even_an_idle_worker(
    shop: FaultyDeployment, broker: Broker
) -> None:
    async with SlowProxy.of_kafka(broker) as proxy:
        worker = await shop.worker(brokers=proxy.address, retry_seconds=6.0)
        async with shop.flowing():
            proxy.freeze()
            await shop.more(300)
            proxy.unfreeze()
        await shop.check()
        assert worker.is_running()
        proxy.freeze()
        await worker.ends("no Kafka broker answered for 6 s")
        proxy.unfreeze()


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


async def test_partitions_whose_leader_dies_go_on_with_another(
    deployed: Deploy, broker: Broker, tmp_path: Path
) -> None:
    await make_internal_topics(broker)
    second = SecondBroker(broker, tmp_path)
    try:
        ready = partial(answers, second.address)
        await asyncio.to_thread(wait_until, ready, 60, "the second broker does not answer")
        async with deployed(replication=2) as shop:
            worker = await shop.worker()
            async with shop.flowing():
                await shop.more(50)
                assert {1, 2} <= await leaders(shop.settings)
                second.kill()
                await shop.more(100)
            await shop.check()
            assert await leaders(shop.settings) == {1}
            assert worker.is_running()
    finally:
        second.kill()


async def test_a_group_whose_offsets_no_broker_leads_ends_the_worker(
    redis_server: Redis, tmp_path: Path
) -> None:
    first = Broker()
    try:
        await asyncio.to_thread(first.wait_until_ready)
        second = SecondBroker(first, tmp_path)
        try:
            ready = partial(answers, second.address)
            await asyncio.to_thread(wait_until, ready, 60, "the second broker does not answer")
            await make_internal_topics(first)
            # Long enough for all other partitions to have another leader by then.
            settings = settings_for(first, redis_server.url, retry_seconds=25.0)
            group = await group_of(settings, 2)
            settings = settings.model_copy(update={"group": group, "replication": 2})
            async with (
                client_of(settings.redis_url) as redis,
                faulty_deployment(settings, redis, tmp_path) as shop,
            ):
                worker = await shop.worker()
                second.kill()
                await worker.ends("see that __consumer_offsets has leaders", seconds=90)
        finally:
            second.kill()
    finally:
        first.close()


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


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 MB."""
    small = tmp_path / "small"
    small.mkdir()
    if (
        os.geteuid()
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", small], check=False
        ).returncode
    ):
        pytest.skip("needs the right to mount a small file system")
    yield small
    subprocess.run(["umount", "--lazy", small], check=True)


async def test_a_broker_whose_disk_is_full_is_treated_as_one_that_is_away(
    small_disk: Path, redis_server: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(small_disk))
    full = Broker()
    monkeypatch.undo()
    try:
        await asyncio.to_thread(full.wait_until_ready)
        settings = settings_for(full, redis_server.url, retry_seconds=5.0)
        async with (
            client_of(settings.redis_url) as redis,
            faulty_deployment(settings, redis, tmp_path) as shop,
        ):
            worker = await shop.worker()
            async with shop.flowing():
                fill(small_disk / "ballast")
                await worker.ends("Kafka", seconds=40)
                assert shutil.disk_usage(small_disk).free == 0
                assert full._process.poll() is not None
                (small_disk / "ballast").unlink()
                await asyncio.to_thread(full.end, signal.SIGKILL)
                await asyncio.to_thread(full.start_again)
                shop.start()
            await shop.check()
    finally:
        full.close()


def fill(ballast: Path) -> None:
    """Write until the disk is full."""
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12):
            with suppress(OSError):
                while file.write(bytes(size)):
                    pass


# --- topics ---


async def test_a_topic_that_is_deleted_ends_the_worker(shop: FaultyDeployment) -> None:
    worker = await shop.worker(retry_seconds=SHORT)
    await delete(shop.settings, shop.settings.topic_browses)
    await worker.ends(f"topic {shop.settings.topic_browses} does not exist any more", code=2)


@pytest.mark.parametrize("running", [True, False])
async def test_a_topic_made_anew_is_not_taken_for_the_old_one(
    shop: FaultyDeployment, running: bool
) -> None:
    await shop.send(300)
    worker = await shop.worker(retry_seconds=SHORT)
    if not running:
        await shop.stop()
    await delete(shop.settings, shop.settings.topic_browses)
    await create(shop.settings, shop.settings.topic_browses)
    if not running:
        worker = shop.start()
    await worker.ends("go on without its past under a new STREAM_PERSONA_PREFIX", code=2)
    await shop.send(300)
    worker = shop.start()
    await worker.ends("is not the one that records hold positions of", code=2)

    shop.rename()
    await shop.worker()
    await shop.check_records()


async def test_a_log_that_ends_before_what_was_read_of_it_ends_the_worker(
    shop: FaultyDeployment,
) -> None:
    await shop.worker()
    await shop.stop()
    browses = shop.settings.topic_browses
    await commit(shop.settings, {TopicPartition(browses, 3): 1_000})
    worker = shop.start()
    await worker.ends(f"topic {browses} was deleted and made anew, or has lost events", code=2)


async def commit(settings: Settings, offsets: dict[TopicPartition, int]) -> None:
    """Commit offsets, as if the group had read so far."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.brokers, group_id=settings.group, enable_auto_commit=False
    )
    await consumer.start()
    consumer.assign(list(offsets))
    await consumer.commit(offsets)
    await consumer.stop()


async def test_events_that_retention_dropped_unread_are_counted_and_logged(
    shop: FaultyDeployment,
) -> None:
    await shop.worker()
    await shop.stop()
    await shop.send(400)
    topic, partition = shop.settings.topic_browses, 3
    tp = TopicPartition(topic, partition)
    async with admin_of(shop.settings) as admin:
        committed = (await admin.list_consumer_group_offsets(shop.settings.group))[tp].offset
        await admin.delete_records({tp: RecordsToDelete(before_offset=committed + 7)})
    worker = shop.start()
    await worker.logs(f"{topic}/{partition}: 7 events were dropped by retention before they were")
    await worker.logs(f"going on at {committed + 7}")
    await shop.shop.at_rest()
    address = re.findall(r"metrics on (\S+)", worker.log.read_text())[0]
    async with httpx.AsyncClient() as client:
        assert "stream_persona_expired_events_total 7.0" in (await client.get(address)).text


async def test_a_reroute_that_its_topic_does_not_take_is_not_skipped(
    shop: FaultyDeployment,
) -> None:
    await limit(shop.settings, shop.settings.topic_reroutes, 600)
    worker = await shop.worker()
    elsewhere = (home_partition("c1", shop.settings.partitions) + 1) % shop.settings.partitions
    item = Item("p1", "books", brand="b" * 700)
    await shop.shop.produce(Browse("big", "c1", NOW, "view", item), partition=elsewhere)
    await worker.ends(
        f"messages are larger than max.message.bytes of {shop.settings.topic_reroutes}"
    )
    await limit(shop.settings, shop.settings.topic_reroutes, 1_000_000)
    await shop.worker()
    await shop.check()


async def limit(settings: Settings, topic: str, size: int) -> None:
    configs = {"max.message.bytes": str(size)}
    async with admin_of(settings) as admin:
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs)])


# --- time ---


async def test_a_batch_that_takes_longer_than_the_session_keeps_its_partitions(
    deployed: Deploy, redis_server: Redis, broker: Broker
) -> None:
    host, port = redis_server.url.removeprefix("redis://").partition("/")[0].split(":")
    async with SlowProxy(host, int(port)) as proxy, deployed(session_timeout=2.0) as shop:
        worker = await shop.worker(redis_url=f"redis://{proxy.address}/0")
        async with shop.flowing():
            proxy.freeze()
            await shop.more(600)
            proxy.unfreeze()
        await shop.check()
        assert worker.is_running()
        assert "own partition" not in worker.new_log()


async def test_a_worker_that_sleeps_through_its_session_is_refused_and_nothing_counts_twice(
    deployed: Deploy,
) -> None:
    async with deployed(session_timeout=2.0) as shop:
        sleeper = await shop.worker()
        async with shop.flowing():
            await shop.more(50)
            sleeper.process.send_signal(signal.SIGSTOP)
            heir = shop.start()
            await heir.logs("own partition 7")
            await shop.more(100)
            sleeper.process.send_signal(signal.SIGCONT)
            await shop.more(100)
        await shop.check()


async def test_workers_whose_clocks_disagree_by_days_leave_the_same_records(
    shop: FaultyDeployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each worker's own clock is off: two days ahead, then three days behind, then right."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os, time\n"
        "off, clock, nano = int(os.environ['CLOCK_OFF']), time.time, time.time_ns\n"
        "time.time = lambda: clock() + off\n"
        "time.time_ns = lambda: nano() + off * 10**9\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    for days in (2, -3, 0):
        monkeypatch.setenv("CLOCK_OFF", str(days * 86_400))
        async with shop.flowing():
            shop.start()
            await shop.more(150)
        await shop.shop.at_rest()
        await shop.stop()
    await shop.check()
