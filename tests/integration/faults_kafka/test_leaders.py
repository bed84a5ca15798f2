"""A broker of two dies while events come in: nothing is lost or counted twice."""

import asyncio
from functools import partial
from pathlib import Path

import pytest

from tests.chaos.machines import Broker
from tests.support.faulty_deployment import Deploy, faulty_deployment
from tests.support.kafka_node import answers
from tests.support.second_broker import SecondBroker, group_of, leaders, make_internal_topics
from tests.support.servers import Redis, client_of, settings_for
from tests.support.waiting import wait_until

pytestmark = pytest.mark.faults


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
