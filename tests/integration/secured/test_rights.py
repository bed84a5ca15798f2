"""What processes may do on secured servers: a right that is missing is named."""

from collections.abc import Callable

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition

from stream_persona.domain.events import Item, Purchase, encode
from stream_persona.errors import TopologyError
from stream_persona.kafka.commands import make_deletion, send_once
from stream_persona.kafka.publisher import KafkaPublisher
from stream_persona.kafka.range_reader import RangeReader
from stream_persona.settings import Settings
from stream_persona.store.redis import RedisTables
from stream_persona.worker.startup import prepare
from tests.support.constants import RECENT as NOW
from tests.support.kafka_node import can_run_kafka
from tests.support.rights import kafka_rights, redis_rules
from tests.support.secured_place import Place, declare, has_logged, run
from tests.support.secured_servers import (
    Right,
)
from tests.support.servers import eventually
from tests.support.shop import WorkerProcess
from tests.support.waiting import patience

pytestmark = pytest.mark.skipif(not can_run_kafka(), reason="needs a real Kafka")


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
    command = make_deletion("C-1", at=NOW)
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
        held = (await reader.load_bounds([tp]))[tp]
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
@pytest.mark.timeout(patience(300))
@pytest.mark.parametrize("lost", ["Read on topic", "Read on group", "a right in Redis"])
async def test_a_worker_that_loses_a_right_ends_with_2_and_names_it(
    place: Place, start: Callable[..., WorkerProcess], lost: str
) -> None:
    settings = place.as_process("worker", redis="worker")
    await declare(place)
    worker = start(settings, "worker")
    await eventually(lambda: has_logged(worker, "Ready"), 90, worker.log.read_text)
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
@pytest.mark.timeout(patience(300))
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
