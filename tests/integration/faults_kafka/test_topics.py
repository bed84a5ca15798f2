"""Topics, a log or a session fail while events come in: nothing is lost or counted twice."""

import re
import signal
from pathlib import Path

import httpx
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from stream_persona.domain.events import Browse, Item
from stream_persona.kafka.partitioner import find_home_partition
from stream_persona.settings import Settings
from tests.chaos.machines import Broker
from tests.support.constants import RECENT as NOW
from tests.support.faulty_deployment import Deploy, FaultyDeployment
from tests.support.kafka_admin import SHORT, admin_of, create, delete
from tests.support.servers import Redis
from tests.support.slow_proxy import SlowProxy

pytestmark = pytest.mark.faults


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
    elsewhere = (find_home_partition("c1", shop.settings.partitions) + 1) % shop.settings.partitions
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
