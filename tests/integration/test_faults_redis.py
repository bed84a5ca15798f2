"""Redis fails while events come in: a worker waits or ends, and nothing is lost or counted twice.

All tests share one deployment, on a Redis of its own with an append-only file, and a worker that
goes from one fault to the next for as long as none of them ends it.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from stream_persona.domain.events import Assignment
from tests.chaos.machines import Store
from tests.support.constants import GENERIC_PERSONAS
from tests.support.constants import RECENT as NOW
from tests.support.faulty_deployment import api, faulty_deployment
from tests.support.redis_faults import (
    PASSING,
    RETRY,
    Fault,
    Place,
    away,
    broken_by,
    is_loading,
    locked,
    port_of,
    promote,
    silent,
    used_by_others,
    without_rights,
)
from tests.support.servers import Kafka, require_no_real, settings_for
from tests.support.slow_proxy import SlowProxy
from tests.support.waiting import eventually, patience

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.faults]


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    if shutil.which("redis-server") is None:
        require_no_real("Redis that may be restarted: redis-server")
        pytest.skip("needs a Redis that it may restart")
    store = Store()
    yield store
    store.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(
    kafka: Kafka, store: Store, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Place]:
    async with (
        SlowProxy("127.0.0.1", port_of(store.url)) as proxy,
        Redis.from_url(store.url) as redis,
    ):
        settings = settings_for(kafka, store.url, retry_seconds=RETRY)
        behind = settings.model_copy(update={"redis_url": f"redis://{proxy.address}/0"})
        async with faulty_deployment(behind, redis, tmp_path_factory.mktemp("redis")) as shop:
            yield Place(shop, store, proxy, redis)


@pytest.mark.parametrize("fault", PASSING)
async def test_a_redis_that_fails_for_less_than_the_retries_is_waited_for(
    place: Place, fault: str
) -> None:
    breaks, text = PASSING[fault]
    worker = await place.shop.worker()
    async with place.shop.flowing():
        async with broken_by(place, breaks):
            await worker.logs("Redis is not usable")
            assert text in worker.new_log().splitlines()[0]
            await place.shop.more(100)
        await worker.logs("Redis is usable again")
    await place.shop.check()
    assert worker.is_running()


@pytest.mark.parametrize("fault", ["away", "out of memory"])
async def test_a_redis_that_goes_on_failing_ends_the_worker_and_the_next_one_goes_on(
    place: Place, fault: str
) -> None:
    worker = await place.shop.worker()
    async with place.shop.flowing():
        async with broken_by(place, PASSING[fault][0]):
            await worker.ends(f"Redis was not usable for {RETRY:g} s")
        place.shop.start()
    await place.shop.check()


async def test_a_redis_that_reads_its_file_is_waited_for(place: Place, tmp_path: Path) -> None:
    worker = await place.shop.worker()
    noise = place.redis.pipeline(transaction=False)
    for number in range(6_000):
        noise.set(f"noise:{number}", "x")
    await noise.execute()
    slow = tmp_path / "slow-redis-server"
    slow.write_text(f'#!/bin/sh\nexec {place.store._binary} "$@" --key-load-delay 250\n')
    slow.chmod(0o755)

    async with place.shop.flowing():
        place.store.end(politely=False)
        usual, place.store._binary = place.store._binary, str(slow)
        slow_start = asyncio.ensure_future(asyncio.to_thread(place.store.start_again))
        await eventually(partial(is_loading, place.redis), 10, "the server does not say LOADING")
        await slow_start
        place.store._binary = usual
        await worker.logs("Redis is usable again")
    await place.shop.check()
    assert worker.is_running()


async def test_a_slow_redis_makes_the_worker_slow_and_nothing_else(place: Place) -> None:
    worker = await place.shop.worker()
    async with place.shop.flowing(rate=50):
        place.proxy.delay = 0.3
        await place.shop.more(50)
        before = await place.shop.shop.folded()

        async def progress() -> bool:
            return await place.shop.shop.folded() != before

        await eventually(progress, 20, "nothing is applied any more")
        assert "not usable" not in worker.new_log()
        place.proxy.delay = 0.0
    await place.shop.check()
    assert worker.is_running()


async def test_broken_connections_and_flushed_scripts_cost_the_worker_nothing(
    place: Place,
) -> None:
    worker = await place.shop.worker()
    async with place.shop.flowing():
        for _ in range(5):
            place.proxy.cut()
            await place.redis.script_flush()
            await place.shop.more(50)
    await place.shop.check()
    assert worker.is_running()


async def test_a_failover_to_a_replica_in_sync_behind_one_address_keeps_everything(
    place: Place,
) -> None:
    worker = await place.shop.worker()
    await place.redis.config_set("repl-diskless-sync-delay", "0")
    second = Store()
    async with Redis.from_url(second.url) as replica, place.shop.flowing():
        try:
            await promote(replica, place.redis)
            place.proxy._target = ("127.0.0.1", port_of(second.url))
            await worker.logs("Redis is usable again")
            await place.shop.more(100)
            await promote(place.redis, replica)
            place.proxy._target = ("127.0.0.1", port_of(place.store.url))
            await worker.logs("Redis is usable again")
        finally:
            await place.redis.execute_command("REPLICAOF", "NO", "ONE")
            second.close()
    await place.shop.check()
    assert worker.is_running()


@pytest.mark.parametrize("worker_is", ["alive", "stopped"])
async def test_a_redis_that_comes_back_older_with_an_older_file_is_read_into_again(
    place: Place, worker_is: str
) -> None:
    worker = await place.shop.worker()
    async with place.shop.flowing():
        copied = await asyncio.to_thread(place.store.copy)
        await place.shop.more(300)
        if worker_is == "stopped":
            await place.shop.stop()
        await asyncio.to_thread(place.store.end, politely=False)
        await asyncio.to_thread(place.store.put_back, copied)
        if worker_is == "stopped":
            worker = place.shop.start()
        await worker.logs("older")
        await place.shop.more(100)
    await place.shop.shop.redis.connection_pool.disconnect()  # of a server that has ended
    await place.shop.check()
    assert worker.is_running()


async def test_a_redis_that_comes_back_older_as_a_replica_that_lagged_is_read_into_again(
    place: Place,
) -> None:
    worker = await place.shop.worker()
    async with place.shop.flowing():
        await asyncio.to_thread(place.store.follow)
        await place.shop.more(300)
        await asyncio.to_thread(place.store.promote)
        await worker.logs("older")
        await place.shop.more(100)
    await place.shop.shop.redis.connection_pool.disconnect()  # of a server that has ended
    await place.shop.check()
    assert worker.is_running()


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (locked, "STREAM_PERSONA_REDIS_URL: the server refuses the login"),
        (without_rights, "STREAM_PERSONA_REDIS_URL: the server refuses the login"),
        (used_by_others, "another program uses keys of this deployment; set STREAM_PERSONA_PREFIX"),
    ],
)
async def test_a_fault_that_does_not_pass_by_itself_ends_the_worker_at_once(
    place: Place, fault: Fault, sentence: str
) -> None:
    worker = await place.shop.worker()
    async with place.shop.flowing():
        async with broken_by(place, fault):
            await worker.ends(sentence, code=2)
        place.shop.start()
    await place.shop.check()


async def test_an_api_without_redis_says_so_and_goes_on_when_it_is_back(
    place: Place, tmp_path: Path
) -> None:
    await place.shop.worker()
    await place.shop.send(200)
    await place.shop.shop.at_rest()
    path = "/v1/customers/c1/persona"
    async with (
        api(place.shop.settings, tmp_path / "api.log") as client,
        client.stream("GET", "/v1/changes") as changes,
    ):

        async def answers(status: int) -> bool:
            return (await client.get(path)).status_code == status

        async def is_ready() -> bool:
            return (await client.get("/readyz")).status_code == 200

        await eventually(partial(answers, 200), 20, "no lookups")
        for fault in (silent, away):
            async with broken_by(place, fault):
                refused = await client.get(path)
                assert (refused.status_code, list(refused.json())) == (503, ["message"])
                assert refused.json()["message"].startswith("Redis is not usable now")
                assert refused.elapsed.total_seconds() < 5
                assert (await client.get("/healthz")).status_code == 200
                assert "redis" in (await client.get("/readyz")).json()["missing"]
            await eventually(partial(answers, 200), 20, "lookups did not come back")
            await eventually(is_ready, 20, "the API did not become ready again")
        await place.shop.worker()
        await place.shop.shop.produce(Assignment("news", "c900", NOW, GENERIC_PERSONAS[0], "study"))
        async with asyncio.timeout(patience(30)):
            assert await anext(line async for line in changes.aiter_lines() if "c900" in line)
