import asyncio
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import redis
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import TopicPartition

from stream_persona.demo.embedded import PARTITIONS, EmbeddedBroker, EmbeddedRedis
from stream_persona.errors import UnavailableError
from stream_persona.kafka.group import GroupState
from tests.support.deployments import THEIRS
from tests.support.groups import commit_with, group_of
from tests.support.servers import EmbeddedKafka, declare_topics, settings_for, topics_of
from tests.support.waiting import patience

LEAVE_WITHOUT_CLOSING = """
from stream_persona.demo.embedded import EmbeddedRedis
print(EmbeddedRedis().url)
"""


async def test_the_broker_makes_topics_on_first_use_and_keeps_their_records() -> None:
    with EmbeddedBroker() as broker:
        async with AIOKafkaProducer(bootstrap_servers=broker.address) as producer:
            assert await producer.partitions_for("purchases") == set(range(PARTITIONS))
            for number in range(8):
                await producer.send_and_wait("purchases", b"%d" % number, partition=number % 4)
        options = {"bootstrap_servers": broker.address, "auto_offset_reset": "earliest"}
        async with AIOKafkaConsumer("purchases", **options) as consumer:
            records = [await asyncio.wait_for(consumer.getone(), patience(10)) for _ in range(8)]
        assert sorted(record.value for record in records) == [b"%d" % n for n in range(8)]


async def test_the_broker_keeps_what_a_group_committed() -> None:
    first = TopicPartition("purchases", 0)
    with EmbeddedBroker() as broker:
        async with AIOKafkaProducer(bootstrap_servers=broker.address) as producer:
            await producer.send_and_wait("purchases", b"1", partition=0)
        options = {
            "bootstrap_servers": broker.address,
            "group_id": "g",
            "enable_auto_commit": False,
        }
        async with AIOKafkaConsumer(**options) as one:
            one.assign([first])
            await one.commit({first: 1})
        async with AIOKafkaConsumer(**options) as other:
            other.assign([first])
            assert await other.committed(first) == 1


def test_two_brokers_are_separate() -> None:
    with EmbeddedBroker() as one, EmbeddedBroker() as other:
        assert one.address != other.address


def test_redis_answers_until_it_is_closed() -> None:
    with EmbeddedRedis() as server, redis.Redis.from_url(server.url) as client:
        assert client.set("key", "value")
        assert client.get("key") == b"value"
        assert client.config_get("save") == {"save": ""}
    with redis.Redis.from_url(server.url) as client, pytest.raises(redis.ConnectionError):
        client.ping()


def test_redis_ends_with_the_process_that_made_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LEAVE_WITHOUT_CLOSING], capture_output=True, text=True, check=True
    )
    with redis.Redis.from_url(done.stdout.strip()) as client, pytest.raises(redis.ConnectionError):
        client.ping()


def test_a_server_and_a_broker_may_be_closed_twice() -> None:
    server, broker = EmbeddedRedis(), EmbeddedBroker()
    for embedded in (server, broker, server, broker):
        embedded.close()


def test_a_server_that_does_not_start_is_an_error_with_its_last_lines(tmp_path: Path) -> None:
    broken = tmp_path / "broken-server"
    broken.write_text("#!/bin/sh\necho out of luck\nexit 1\n")
    broken.chmod(0o755)
    with pytest.raises(UnavailableError, match=r"broken-server did not start: out of luck"):
        EmbeddedRedis(broken)


async def test_the_broker_says_whose_a_groups_commits_are_and_lists_no_members() -> None:
    with closing(EmbeddedKafka()) as broker:
        settings = settings_for(broker, "redis://unused:1/0")
        await declare_topics(broker, topics_of(settings), PARTITIONS)
        assert await group_of(settings) == GroupState(False, frozenset(), 0)
        await commit_with(settings, THEIRS)
        assert await group_of(settings) == GroupState(True, frozenset({THEIRS}), 0)
