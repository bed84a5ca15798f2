"""Redis says of itself that it may evict, forget or fill up; workers refuse, warn, and show it."""

import logging
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis import Redis as SyncRedis
from redis.asyncio import Redis

from stream_persona.demo.embedded import EmbeddedRedis
from stream_persona.errors import TopologyError
from stream_persona.store.redis import RedisTables
from stream_persona.store.redis_health import RedisWatch, look_at_redis
from tests.support.redis_cluster import RedisCluster
from tests.support.servers import start_cluster
from tests.support.waiting import eventually

KEEPS = ("--appendonly", "yes")
LOGGER = "stream_persona.store.redis_health"


@pytest.fixture
def server() -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(shutil.which("redis-server"), KEEPS) as server:
        yield server


@pytest.fixture
async def redis(server: EmbeddedRedis) -> AsyncIterator[Redis]:
    async with Redis.from_url(server.url, decode_responses=True) as redis:
        yield redis


@pytest.fixture
async def tables(server: EmbeddedRedis) -> AsyncIterator[RedisTables]:
    tables = RedisTables.connect(server.url, retry_seconds=5.0)
    yield tables
    await tables.close()


async def topics_of(tables: RedisTables) -> list[str]:
    return [finding.topic for finding in (await look_at_redis(tables)).findings]


async def test_a_server_that_keeps_everything_has_no_findings(tables: RedisTables) -> None:
    look = await look_at_redis(tables)
    assert (look.findings, look.unknown) == ((), ())


@pytest.mark.parametrize(
    "policy", ["allkeys-lru", "allkeys-random", "volatile-lru", "volatile-ttl"]
)
async def test_every_policy_that_evicts_is_refused_also_without_a_bound_and_while_running(
    redis: Redis, tables: RedisTables, server: EmbeddedRedis, policy: str
) -> None:
    watch = RedisWatch(tables)
    await watch.look_for_workers()
    await redis.config_set("maxmemory-policy", policy)
    with pytest.raises(TopologyError) as caught:
        await watch.look_for_workers()
    assert str(caught.value).startswith(
        f"Redis at {server.address} may evict keys (its maxmemory-policy is {policy})"
    )
    assert "set maxmemory-policy to noeviction" in str(caught.value)


async def test_a_server_without_a_file_is_warned_of_once_and_told_to_be_well_again(
    redis: Redis, tables: RedisTables, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    watch = RedisWatch(tables)
    await redis.config_set("appendonly", "no")
    for _ in range(3):
        await watch.look_for_workers()
    (warning,) = caplog.records
    assert (warning.levelname, warning.message) == ("WARNING", watch.sentences[0])
    assert "keeps nothing on disk" in warning.message
    await redis.config_set("save", "3600 1")
    await watch.look_for_workers()
    assert watch.sentences == []
    assert "is well again" in caplog.records[-1].message


async def test_a_snapshot_that_fails_is_found_where_nothing_else_keeps_the_data(
    redis: Redis, tables: RedisTables
) -> None:
    await redis.config_set("save", "3600 1")
    folder = Path((await redis.config_get("dir"))["dir"], "dump.rdb")
    folder.mkdir()
    await save_in_background(redis, "err")
    assert await topics_of(tables) == []
    await redis.config_set("appendonly", "no")
    assert await topics_of(tables) == ["saving"]
    folder.rmdir()
    await save_in_background(redis, "ok")
    assert await topics_of(tables) == []


async def save_in_background(redis: Redis, status: str) -> None:
    async def done() -> bool:
        info = await redis.info("persistence")
        return info["rdb_last_bgsave_status"] == status and not info["rdb_bgsave_in_progress"]

    await redis.bgsave()
    await eventually(done, 10, "no snapshot was tried")


async def test_memory_near_its_bound_is_told_twice_before_it_is_full(
    redis: Redis, tables: RedisTables, caplog: pytest.LogCaptureFixture
) -> None:
    watch = RedisWatch(tables)
    for share in (0.5, 0.85, 0.95):
        used = (await redis.info("memory"))["used_memory"]
        await redis.config_set("maxmemory", int(used / share))
        await watch.look()
    early, late = (record.message for record in caplog.records)
    assert "% of maxmemory: workers stop when it is full" in early
    assert "% of maxmemory, almost all: workers stop" in late


async def test_keys_that_were_evicted_stay_a_finding_when_the_policy_is_right_again(
    redis: Redis, tables: RedisTables
) -> None:
    used = (await redis.info("memory"))["used_memory"]
    await redis.config_set("maxmemory-policy", "allkeys-lru")
    await redis.config_set("maxmemory", used + 100_000)
    for number in range(200):
        await redis.set(f"key:{number}", "x" * 10_000)
    await redis.config_set("maxmemory", 0)
    await redis.config_set("maxmemory-policy", "noeviction")
    assert await topics_of(tables) == ["evicted"]
    await redis.config_resetstat()
    assert await topics_of(tables) == []


async def test_a_replica_is_a_finding(redis: Redis, tables: RedisTables) -> None:
    await redis.execute_command("REPLICAOF", "127.0.0.1", "1")
    assert await topics_of(tables) == ["role"]


@pytest.mark.parametrize("without", ["config", "info"])
async def test_what_a_login_may_not_ask_is_unknown_and_noted_once(
    server: EmbeddedRedis,
    redis: Redis,
    caplog: pytest.LogCaptureFixture,
    without: str,
) -> None:
    await redis.config_set("appendonly", "no")
    await redis.execute_command(
        "ACL", "SETUSER", "guest", "on", ">word", "~*", "&*", "+@all", f"-{without}"
    )
    caplog.set_level(logging.INFO, LOGGER)
    tables = RedisTables.connect(server.url.replace("//", "//guest:word@"), retry_seconds=2.0)
    watch = RedisWatch(tables)
    assert await tables.ping()
    for _ in range(2):
        await watch.look_for_workers()
    await tables.close()
    assert watch.sentences == []
    (note,) = caplog.records
    assert note.levelname == "INFO"
    assert f"refuses {without.upper()}" in note.message


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisCluster]:
    with start_cluster(replicas=1) as cluster:
        yield cluster


async def test_each_master_of_a_cluster_is_looked_at(cluster: RedisCluster) -> None:
    tables = RedisTables.connect(cluster.url, retry_seconds=5.0)
    try:
        assert (await look_at_redis(tables)).findings == ()
        second: SyncRedis = cluster.nodes[1]
        port = second.connection_pool.connection_kwargs["port"]
        second.config_set("appendonly", "no")
        second.config_set("maxmemory-policy", "volatile-lru")
        found = (await look_at_redis(tables)).findings
        assert [(each.server, each.topic, each.fatal) for each in found] == [
            (f"127.0.0.1:{port}", "eviction", True),
            (f"127.0.0.1:{port}", "persistence", False),
        ]
        with pytest.raises(TopologyError, match=f"127.0.0.1:{port} may evict"):
            await RedisWatch(tables).look_for_workers()
    finally:
        await tables.close()
