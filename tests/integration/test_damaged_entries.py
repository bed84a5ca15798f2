"""What tables say of damage, and which damaged entries they leave out: in memory and in Redis."""

import time
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from stream_persona.errors import DamagedOutboxError, RolledBackError
from stream_persona.store.memory import MemoryTables
from stream_persona.store.names import load_carried
from stream_persona.store.redis import RedisTables
from stream_persona.store.tables import ASIDE_SECONDS, Tables, Write
from tests.support.servers import Redis as RedisServer
from tests.support.servers import client_of

PREFIX = "damage:"


@pytest.fixture(params=["memory", "server", "cluster"])
async def tables(request: pytest.FixtureRequest) -> AsyncIterator[Tables]:
    if request.param == "memory":
        yield MemoryTables()
        return
    kind = "redis_server" if request.param == "server" else "redis_cluster"
    url = request.getfixturevalue(kind).url
    tables = RedisTables.connect(url, f"{PREFIX}{time.time_ns()}:", retry_seconds=5)
    yield tables
    await tables.close()


async def test_public_records_of_many_are_read_at_once(tables: Tables) -> None:
    claim = (await tables.claim([1]))[1]
    await tables.commit(claim, Write(public={"a": b"1", "\u00e9": b"2"}))
    found = await tables.load_public_records(["\u00e9", "nobody", "a"])
    assert found == {"a": b"1", "\u00e9": b"2"}
    assert await tables.load_public_records([]) == {}


async def test_deleted_customers_are_found_by_their_markers(tables: Tables) -> None:
    claim = (await tables.claim([1]))[1]
    markers = {f"c{number}": b"deleted" for number in range(30)}
    await tables.commit(claim, Write(states={"a": b"1"}, markers=markers, marker_ms=60_000))
    found, cursor = set[str](), 0
    while True:
        cursor, names = await tables.scan_markers(cursor, 10)
        found.update(names)
        if not cursor:
            break
    assert found == markers.keys()


async def test_suspects_stay_until_they_are_removed(tables: Tables) -> None:
    assert await tables.load_suspects() == []
    await tables.report_suspects(["b", "a"])
    await tables.report_suspects(["a", "c"])
    await tables.remove_suspects(["b", "nobody"])
    assert await tables.load_suspects() == ["a", "c"]
    await tables.report_suspects([])
    await tables.remove_suspects([])


@pytest.fixture
async def redis(redis_server: RedisServer) -> AsyncIterator[Redis]:
    async with client_of(redis_server.url) as client:
        yield client


@pytest.fixture
async def stored(redis_server: RedisServer) -> AsyncIterator[RedisTables]:
    """Tables in a Redis server."""
    tables = RedisTables.connect(redis_server.url, f"{PREFIX}{time.time_ns()}:", retry_seconds=5)
    yield tables
    await tables.close()


async def test_damaged_bytes_are_kept_for_a_month_or_until_a_deletion(
    stored: RedisTables, redis: Redis
) -> None:
    prefix = stored.channel.removesuffix("persona-changes")
    await stored.set_aside({"a": b"\x00what", "b": b"ever"})
    assert await redis.get(f"{prefix}persona-damaged:a") == b"\x00what"
    assert 0 < await redis.ttl(f"{prefix}persona-damaged:b") <= ASIDE_SECONDS
    claim = (await stored.claim([1]))[1]
    await stored.commit(claim, Write(states={"a": None}, forgotten={"a"}))
    assert await redis.exists(f"{prefix}persona-damaged:a", f"{prefix}persona-damaged:b") == 1


async def test_entries_that_are_no_text_or_number_are_left_out(
    stored: RedisTables, redis: Redis
) -> None:
    prefix, claim = stored.channel.removesuffix("persona-changes"), (await stored.claim([1]))[1]
    await stored.commit(claim, Write(states={"a": b"1"}, labelled={"a"}, due={"a": 5}))
    await stored.save_report("w", b"{}")
    await redis.set(f"{prefix}persona-state:".encode() + b"\xff", b"what")
    await redis.sadd(f"{prefix}persona-labelled:1", b"\xff")
    await redis.zadd(f"{prefix}persona-due:1", {b"\xff": 3})
    await redis.hset(f"{prefix}persona-names:1", b"\xff", b"many")
    await redis.hset(f"{prefix}persona-workers", b"\xff", b"what")
    await redis.xadd(f"{prefix}persona-history", {"w": "what"}, id="5-0")
    assert (await stored.scan(0, 1_000_000))[1] == ["a"]
    assert await stored.load_labelled(1) == ["a"]
    assert await stored.load_due([1], 9, 1) == {}
    assert await stored.load_due([1], 9, 1) == {1: [("a", 5)]}, "who is nobody is not read again"
    assert len(await load_carried(stored, 1, 8)) == 0
    assert await stored.load_samples(1) == [(5, b"")]
    reports = await stored.load_reports()
    assert list(reports.values()) == [b"{}", b"what"]
    await stored.remove_reports([name for name in reports if name != "w"])
    assert await stored.load_reports() == {"w": b"{}"}


async def test_names_of_earlier_versions_are_removed(stored: RedisTables, redis: Redis) -> None:
    prefix = stored.channel.removesuffix("persona-changes")
    await redis.hset(f"{prefix}persona-names", "brand:b", b"7")
    await stored.remove_old_names()
    assert not await redis.exists(f"{prefix}persona-names")


@pytest.mark.parametrize("blob", [b"", b"[", b"{}", b"[7]", b'["\xff"]'])
async def test_a_damaged_list_of_unpublished_changes_is_named(
    stored: RedisTables, redis: Redis, blob: bytes
) -> None:
    prefix = stored.channel.removesuffix("persona-changes")
    await redis.set(f"{prefix}persona-pending:3", blob)
    with pytest.raises(DamagedOutboxError, match="persona-pending:3"):
        await stored.load_pending(3)


async def test_a_partition_whose_owners_token_is_damaged_can_be_claimed(
    stored: RedisTables, redis: Redis
) -> None:
    prefix, old = stored.channel.removesuffix("persona-changes"), (await stored.claim([1]))[1]
    await redis.set(f"{prefix}persona-owner:1", b"1\xff")
    assert await stored.load_owners([1]) == {1: 0}
    with pytest.raises(RolledBackError):
        await stored.commit(old, Write(states={"a": b"1"}))
    new = (await stored.claim([1]))[1]
    assert await stored.load_owners([1]) == {1: new.token}
    await stored.commit(new, Write(states={"a": b"2"}))
    assert (await stored.claim([1]))[1].token > new.token > old.token
