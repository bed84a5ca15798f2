"""A Redis Cluster may move slots and lose a master while batches are written."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator

import pytest
import redis as sync
from redis.crc import key_slot

from stream_persona.errors import UnavailableError
from stream_persona.store.redis import RedisTables
from stream_persona.store.tables import Claim, Write
from tests.support.cluster_tables import (
    NAMES,
    Tables,
    batch,
    claim_of,
    tables_on,
)
from tests.support.redis_cluster import RedisCluster, port_of
from tests.support.servers import start_cluster
from tests.support.waiting import eventually


@pytest.fixture
async def tables(redis_cluster: RedisCluster) -> AsyncIterator[Tables]:
    async with tables_on(redis_cluster) as tables:
        yield tables


@pytest.fixture
def replicated() -> Iterator[RedisCluster]:
    with start_cluster(replicas=1) as cluster:
        yield cluster


async def count_up(
    tables: RedisTables, claim: Claim, names: list[str], until: asyncio.Event
) -> int:
    """Write one number after the other, the same for all names; the last one."""
    number = 0
    while not until.is_set():
        number += 1
        values: dict[str, bytes | None] = dict.fromkeys(names, b"%d" % number)
        await tables.commit(claim, Write(states=values, public=values))
    return number


async def test_a_slot_that_moves_while_it_is_written_loses_nothing(
    redis_cluster: RedisCluster, tables: Tables
) -> None:
    ours, stop = tables(), asyncio.Event()
    names = [f"{{moving}}{n}" for n in range(20)] + NAMES
    claim = (await ours.claim([1]))[1]
    counting = asyncio.create_task(count_up(ours, claim, names, stop))
    slot = key_slot(b"moving")
    source = redis_cluster.owner_of(slot)
    target = next(node for node in redis_cluster.nodes if node is not source)
    await asyncio.to_thread(move, redis_cluster, slot, source, target)
    assert redis_cluster.owner_of(slot) is target
    number = await ours.load(["{moving}0"])

    async def goes_on() -> bool:
        return await ours.load(["{moving}0"]) != number

    await eventually(goes_on, 10, "nothing is written after the move")
    stop.set()
    last = await counting
    assert await tables().load(names) == dict.fromkeys(names, b"%d" % last)


async def test_a_scan_begins_again_when_slots_have_moved(
    redis_cluster: RedisCluster, tables: Tables
) -> None:
    ours = tables()
    names = {f"{{wandering}}{n}" for n in range(20)} | {f"c{n}" for n in range(300)}
    await ours.commit(await claim_of(tables, 1), Write(states=dict.fromkeys(names, b"1")))
    slot, seen, cursor = key_slot(b"wandering"), set[str](), 0
    source = redis_cluster.owner_of(slot)
    for _ in range(4):
        cursor, found = await ours.scan(cursor, 30)
        seen |= set(found)
    target = next(node for node in redis_cluster.nodes if node is not source)
    await asyncio.to_thread(move, redis_cluster, slot, source, target)
    assert len(await ours.load(sorted(names))) == len(names)  # and so hears of the move
    seen.clear()
    while cursor:
        cursor, found = await ours.scan(cursor, 30)
        seen |= set(found)
    assert seen == names


def move(cluster: RedisCluster, slot: int, source: sync.Redis, target: sync.Redis) -> None:
    """A slot to another master, one key after the other, as ``redis-cli --cluster`` does."""
    target.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", cluster.id_of(source))
    source.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", cluster.id_of(target))
    while keys := source.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 5):
        for key in keys:
            source.migrate("127.0.0.1", port_of(target), key, 0, 5_000)
        time.sleep(0.02)  # writers find the slot half here and half there
    for node in (target, source, *cluster.nodes):
        node.execute_command("CLUSTER", "SETSLOT", slot, "NODE", cluster.id_of(target))


async def test_writing_goes_on_when_a_replica_takes_over_from_a_master(
    replicated: RedisCluster,
) -> None:
    first, second = replicated.nodes[:2]
    tables = RedisTables.connect(f"redis://127.0.0.1:{port_of(second)}/0", "over:", 30)
    claim, stop = (await tables.claim([1]))[1], asyncio.Event()
    names = [f"c{n}" for n in range(50)]
    counting = asyncio.create_task(count_up(tables, claim, names, stop))
    lost = next(name for name in names if replicated.owner_of(slot_of(name)) is first)
    await eventually(lambda: tables.load([lost]), 5)
    os.kill(replicated.pid_of(first), signal.SIGKILL)
    number = await tables.load([lost])  # once the replica answers for it

    async def goes_on() -> bool:
        return await tables.load([lost]) != number

    await eventually(goes_on, 30, "nothing is written after the take-over")
    stop.set()
    last = await counting
    assert await tables.load(list(names)) == dict.fromkeys(names, b"%d" % last)
    await tables.close()


def slot_of(customer: str) -> int:
    return key_slot(f"over:persona-state:{customer}".encode())


async def test_a_master_that_stays_away_is_an_error_after_the_retries() -> None:
    with start_cluster() as cluster:
        tables = RedisTables.connect(cluster.url, "", 3)
        claim = (await tables.claim([1]))[1]
        os.kill(cluster.pid_of(cluster.nodes[1]), signal.SIGKILL)
        with pytest.raises(UnavailableError, match="3 s"):
            await tables.commit(claim, batch(1))
        await tables.close()
