"""Files on their way to topics whose broker falls silent."""

import asyncio
from collections.abc import Iterator

import pytest

from stream_persona.errors import UnavailableError
from stream_persona.kafka.sender import FileSender, Outgoing, Pace, SendCounts
from stream_persona.settings import Settings
from stream_persona.worker.startup import prepare
from tests.chaos.machines import Broker
from tests.support.kafka_node import can_run_kafka
from tests.support.servers import Redis, client_of, require_no_real, settings_for
from tests.support.shop import Shop
from tests.support.slow_proxy import SlowProxy
from tests.support.waiting import patience

pytestmark = pytest.mark.faults


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    if not can_run_kafka():
        require_no_real("Kafka of its own: Java 17 and Maven")
        pytest.skip("needs a Kafka that announces a proxy to its clients")
    broker = Broker()
    broker.wait_until_ready()
    yield broker
    broker.close()


@pytest.fixture
async def settings(broker: Broker, redis_server: Redis) -> Settings:
    own = settings_for(broker, redis_server.url)
    await prepare(own)
    return own


def messages(settings: Settings, first: int, count: int) -> list[Outgoing]:
    rows = range(first, first + count)
    return [Outgoing(settings.topic_browses, f"c{n % 3}", b"%d" % n, n) for n in rows]


async def arrived(settings: Settings) -> list[int]:
    """The numbers in the topic, customer by customer."""
    async with client_of(settings.redis_url) as redis:
        found = await Shop(settings, redis).read(settings.topic_browses)
    return [int(each.value) for name in (b"c0", b"c1", b"c2") for each in found if each.key == name]


def numbers(count: int) -> list[int]:
    return [n for customer in range(3) for n in range(1, count + 1) if n % 3 == customer]


async def test_a_broker_that_is_away_for_a_moment_gets_each_message_once_and_in_order(
    broker: Broker, settings: Settings
) -> None:
    receipt = SendCounts()
    async with SlowProxy.of_kafka(broker) as proxy:
        behind = settings.model_copy(update={"brokers": proxy.address})
        async with FileSender(behind, Pace(0)) as sender:
            await sender.send(messages(settings, 1, 30), receipt)
            proxy.freeze()
            sending = asyncio.create_task(sender.send(messages(settings, 31, 600), receipt))
            await asyncio.wait([sending], timeout=patience(1.0))
            assert not sending.done()
            proxy.cut()
            proxy.unfreeze()
            await sending
    assert receipt == SendCounts(630, 630, 630)
    assert await arrived(settings) == numbers(630)


async def test_a_broker_that_stays_away_ends_it_with_the_last_line_that_was_confirmed(
    broker: Broker, settings: Settings
) -> None:
    receipt = SendCounts()
    async with SlowProxy.of_kafka(broker) as proxy:
        behind = settings.model_copy(update={"brokers": proxy.address, "retry_seconds": 2.0})
        async with FileSender(behind, Pace(0)) as sender:
            await sender.send(messages(settings, 1, 30), receipt)
            proxy.freeze()
            with pytest.raises(UnavailableError, match=r"did not confirm 30 messages in 2 s"):
                await sender.send(messages(settings, 31, 30), receipt)
    assert receipt == SendCounts(60, 30, 30)
    assert await arrived(settings) == numbers(30)
