"""What tables on a Redis server do beside what all tables promise: keys, turns, scripts, errors."""

import json
import socket
import time
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from stream_persona.errors import TopologyError, UnavailableError
from stream_persona.store.redis import RedisTables
from stream_persona.store.redis_port import Reply
from stream_persona.store.redis_server import OneServer
from stream_persona.store.tables import Keyspace, Write
from tests.support.servers import Redis as Server
from tests.support.waiting import patience


@pytest.fixture
async def redis(redis_server: Server) -> AsyncIterator[Redis]:
    client = Redis.from_url(redis_server.url)
    yield client
    await client.aclose()


@pytest.fixture
async def stored(redis_server: Server, redis: Redis) -> AsyncIterator[RedisTables]:
    if redis_server.kind == "cluster":
        pytest.skip("the Redis of this run is a Cluster")
    tables = RedisTables.connect(redis_server.url, f"own-{time.time_ns()}:", retry_seconds=2)
    yield tables
    await tables.close()


async def test_keys_are_those_of_the_contract(stored: RedisTables, redis: Redis) -> None:
    claim = (await stored.claim([7]))[7]
    write = Write(
        states={"a": b"1"}, public={"a": b"2"}, markers={"b": b"3"}, labelled={"a"}, pending=["a"],
        marker_ms=60_000, due={"a": 5, "b": None}, tastes={"a": b"4"},
    )  # fmt: skip
    await stored.commit(claim, write)
    await stored.save_shard(claim, b"part", b"stamp--1")
    await stored.save_report("host-1-a", b"{}")
    await stored.save_common_tastes({":taxonomy": "t"})
    await stored.add_sample(1, b"{}")
    prefix = stored.channel.removesuffix("persona-changes")
    found = {key.decode().removeprefix(prefix) async for key in redis.scan_iter(f"{prefix}*")}
    assert found == {
        "persona:a", "persona-state:a", "persona-deleted:b", "persona-model:7",
        "persona-labelled:7", "persona-due:7", "persona-owner:7", "persona-pending:7",
        "persona-offsets:7", "persona-workers", "persona-history", "persona-tastes:a",
        "persona-common-tastes",
    }  # fmt: skip
    assert 0 < await redis.pttl(f"{prefix}persona-deleted:b") <= 60_000
    assert await redis.pttl(f"{prefix}persona-state:a") == -1


async def test_a_commit_that_was_given_up_cannot_come_back_over_a_newer_one(
    redis_server: Server, redis: Redis
) -> None:
    if redis_server.kind == "cluster":
        pytest.skip("the Redis of this run is a Cluster")
    keys = Keyspace(f"turns-{time.time_ns()}:")
    late, store = OneServer(redis, keys), OneServer(redis, keys)
    claim = await store.claim(1)
    await store.commit([(claim, Write(states={"a": b"1"}))])
    assert await store.commit([(claim, Write(states={"a": b"2"}))]) == [Reply.DONE]
    assert await late.commit([(claim, Write(states={"a": b"1"}))]) == [
        Reply.FENCED
    ]  # as on a first turn
    assert await redis.get(keys.of("state", "a")) == b"2"
    newer = await store.claim(1)
    assert await late.commit([(newer, Write(states={"a": b"3"}))]) == [Reply.DONE]


async def test_a_flushed_script_is_loaded_again(stored: RedisTables, redis: Redis) -> None:
    claim = (await stored.claim([1]))[1]
    await stored.commit(claim, Write(states={"a": b"1"}))
    await redis.script_flush()
    await stored.commit(claim, Write(states={"a": b"2"}))
    assert await stored.load(["a"]) == {"a": b"2"}


async def test_writes_of_several_partitions_are_each_done_or_refused(
    stored: RedisTables, redis: Redis
) -> None:
    claims = await stored.claim([1, 2, 3])
    await stored.claim([2])
    writes = [(claims[p], Write(states={f"c{p}": b"1"}, pending=[f"c{p}"])) for p in (1, 2, 3)]
    await redis.script_flush()
    assert await stored.commit_all(writes) == {2}
    assert await stored.load(["c1", "c2", "c3"]) == {"c1": b"1", "c3": b"1"}
    assert [await stored.load_pending(p) for p in (1, 2, 3)] == [["c1"], [], ["c3"]]
    assert await stored.commit_all([]) == set()


async def test_announcements_reach_the_listeners_of_the_channel(
    stored: RedisTables, redis: Redis
) -> None:
    async with redis.pubsub() as listener:
        await listener.subscribe(stored.channel)
        await listener.get_message(timeout=patience(5))
        await stored.announce([json.dumps({"n": n}).encode() for n in range(2)])
        received = [await listener.get_message(timeout=patience(5)) for _ in range(2)]
    assert [message and message["data"] for message in received] == [b'{"n": 0}', b'{"n": 1}']


async def test_a_server_has_a_version(stored: RedisTables) -> None:
    assert (await stored.ping())[0].isdigit()


async def test_an_unavailable_server_is_an_error_after_the_retries() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"redis://127.0.0.1:{unused.getsockname()[1]}/0"
        tables = RedisTables.connect(url, retry_seconds=0.5)
        started = time.monotonic()
        with pytest.raises(UnavailableError, match=r"0\.5 s"):
            await tables.load(["a"])
        assert time.monotonic() - started < 3
        await tables.close()


@pytest.mark.parametrize("url", ["localhost:6379", "http://localhost", "redis://host:port/0", ""])
def test_a_wrong_address_is_reported_at_once(url: str) -> None:
    with pytest.raises(TopologyError, match="STREAM_PERSONA_REDIS_URL"):
        RedisTables.connect(url)


async def test_a_wrong_password_is_reported_at_once(redis_server: Server) -> None:
    address = redis_server.url.partition("://")[2].rpartition("@")[2]
    tables = RedisTables.connect(f"redis://nobody:wrong@{address}", retry_seconds=30)
    with pytest.raises(TopologyError, match="STREAM_PERSONA_REDIS_URL"):
        await tables.ping()
    await tables.close()


async def test_a_partition_of_a_version_without_offsets_has_none_until_they_are_stored(
    stored: RedisTables, redis: Redis
) -> None:
    key = f"{stored.channel.removesuffix('persona-changes')}persona-owner:5"
    await redis.set(key, 17)
    assert (await stored.claim([5]))[5].offsets is None
    claim = (await stored.claim([5]))[5]
    assert claim.offsets is None
    await stored.commit(claim, Write(offsets={"purchases": 12}))
    assert (await stored.claim([5]))[5].offsets == {"purchases": 12}


async def test_a_partition_that_was_claimed_and_never_written_has_no_effects(
    stored: RedisTables,
) -> None:
    await stored.claim([5])
    assert (await stored.claim([5]))[5].offsets == {}
