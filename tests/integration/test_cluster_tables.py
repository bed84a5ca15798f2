"""On a Redis Cluster a batch is written in steps; whatever stops between them, it becomes whole."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from stream_persona.errors import FencedError, TopologyError
from stream_persona.store import redis_cluster as protocol
from stream_persona.store.redis import RedisTables
from stream_persona.store.redis_cluster import Cluster
from stream_persona.store.redis_port import Command
from stream_persona.store.tables import Keyspace, Write
from tests.support.cluster_tables import (
    NAMES,
    STEPS,
    KilledError,
    Sleep,
    Tables,
    batch,
    claim_of,
    tables_on,
)
from tests.support.redis_cluster import RedisCluster
from tests.support.servers import ClusterClient


@pytest.fixture
async def tables(redis_cluster: RedisCluster) -> AsyncIterator[Tables]:
    async with tables_on(redis_cluster) as tables:
        yield tables


@pytest.fixture
async def look(
    redis_cluster: RedisCluster, tables: Tables
) -> AsyncIterator[Callable[[], Awaitable[dict[str, object]]]]:
    """What callers may see: every key and its content, but for those of the protocol itself."""
    prefix = tables().channel.removesuffix("persona-changes")
    async with ClusterClient.from_url(redis_cluster.url, decode_responses=True) as client:

        async def found() -> dict[str, object]:
            seen: dict[str, object] = {}
            async for key in client.scan_iter(f"{prefix}*", count=1_000):
                name = key.removeprefix(prefix)
                if name.startswith("persona-labelled:"):
                    seen[name] = set(await client.smembers(key))
                elif name.startswith("persona-due:"):
                    seen[name] = dict(await client.zrange(key, 0, -1, withscores=True))
                elif not name.startswith(("persona-owner:", "persona-fence:", "persona-offsets:")):
                    seen[name] = await client.get(key)
            return seen

        yield found


Look = Callable[[], Awaitable[dict[str, object]]]


def after(*numbers: int) -> dict[str, object]:
    """The contents of a Cluster that has seen these batches."""
    seen: dict[str, object] = {}
    labelled: set[str] = set()
    due: dict[str, int | None] = {}
    for write in map(batch, numbers):
        for kind, values in (("persona-state", write.states), ("persona", write.public)):
            seen |= {f"{kind}:{name}": value and value.decode() for name, value in values.items()}
        seen |= {f"persona-deleted:{name}": m.decode() for name, m in write.markers.items()}
        labelled = (labelled | write.labelled) - write.unlabelled
        due |= write.due
    seen["persona-labelled:1"] = labelled
    seen["persona-due:1"] = {name: at for name, at in due.items() if at is not None}
    return {name: value for name, value in seen.items() if value is not None}


async def fences(redis_cluster: RedisCluster, tables: Tables) -> list[int]:
    """The seconds that each fence will still stand."""
    pattern = tables().channel.removesuffix("persona-changes") + "persona-fence:*"
    async with ClusterClient.from_url(redis_cluster.url) as client:
        return [await client.ttl(key) async for key in client.scan_iter(pattern, count=1_000)]


@pytest.mark.parametrize("step", range(STEPS + 1))
async def test_a_batch_that_was_begun_is_whole_after_the_next_claim(
    tables: Tables, look: Look, step: int
) -> None:
    first = tables()
    claim = (await first.claim([1]))[1]
    await first.commit(claim, batch(1))
    dying = tables(step)
    with suppress(KilledError):
        await dying.commit(claim, batch(2))
    await tables().claim([1])
    assert await look() == (after(1, 2) if step else after(1))
    assert await tables().load_pending(1) == batch(2 if step else 1).pending
    with pytest.raises(FencedError):
        await dying.commit(claim, batch(3))
    assert await look() == (after(1, 2) if step else after(1))


@pytest.mark.parametrize("step", range(1, STEPS + 1, 3))
async def test_a_claim_that_dies_while_it_repairs_leaves_it_to_the_next(
    tables: Tables, look: Look, step: int
) -> None:
    claim = (await tables().claim([1]))[1]
    with pytest.raises(KilledError):
        await tables(5).commit(claim, batch(1))
    with suppress(KilledError):
        await tables(step).claim([1])
    await tables().claim([1])
    assert await look() == after(1)


@pytest.mark.parametrize("step", range(STEPS))
async def test_a_writer_that_wakes_up_late_changes_nothing(
    tables: Tables, look: Look, step: int
) -> None:
    sleep, ours = Sleep(), tables()
    zombie = tables(step, sleep)
    claim = (await ours.claim([1]))[1]
    late = asyncio.create_task(zombie.commit(claim, batch(1)))
    await sleep.has_begun(late)
    newest = (await ours.claim([1]))[1]
    await ours.commit(newest, batch(2))
    before = await look()
    assert before == (after(1, 2) if step else after(2))
    sleep.wake()
    if step < STEPS - 1:  # after that only the announcement was to be taken away
        with pytest.raises(FencedError):
            await late
    await asyncio.wait([late])
    with pytest.raises(FencedError):
        await zombie.commit(claim, batch(3))
    assert await look() == before


async def test_a_claim_that_wakes_up_late_undoes_nothing(tables: Tables, look: Look) -> None:
    first = (await tables().claim([1]))[1]
    with pytest.raises(KilledError):
        await tables(4).commit(first, batch(1))
    sleep = Sleep()
    slow = tables(3, sleep)
    late = asyncio.create_task(slow.claim([1]))
    await sleep.has_begun(late)
    ours = tables()
    newest = (await ours.claim([1]))[1]
    await ours.commit(newest, batch(2))
    sleep.wake()
    stale = (await late)[1]
    assert await look() == after(1, 2)
    with pytest.raises(FencedError):
        await slow.commit(stale, batch(3))


async def broken() -> None:
    raise RedisConnectionError


@pytest.mark.parametrize("step", range(STEPS))
async def test_an_owner_whose_connection_breaks_completes_its_batch(
    tables: Tables, look: Look, step: int
) -> None:
    ours = tables(step, broken)
    await ours.commit(await claim_of(tables, 1), batch(1))
    assert await look() == after(1)


async def test_a_message_that_was_held_up_and_sent_again_does_not_come_back(
    redis_cluster: RedisCluster, tables: Tables, look: Look
) -> None:
    held: list[Command] = []

    class Slow(Cluster):
        async def run(self, *commands: Command) -> list[object]:
            if len(commands) > 1 and not held:
                held.extend(commands)
                raise RedisConnectionError
            return await super().run(*commands)

    keys = Keyspace(tables().channel.removesuffix("persona-changes"))
    cluster = Cluster.connect(redis_cluster.url, keys)
    slow = Slow(cluster._cluster, keys)

    async def connected() -> Slow:
        return slow

    ours = RedisTables(connected, keys, 20)
    claim = await claim_of(tables, 1)
    await ours.commit(claim, batch(1))
    await ours.commit(claim, batch(2))
    assert await cluster.run(*held) == [0] * len(held)
    assert await look() == after(1, 2)
    await ours.close()


async def test_a_cancelled_commit_is_completed_before_the_next(tables: Tables, look: Look) -> None:
    sleep = Sleep()
    ours = tables(6, sleep)
    claim = await claim_of(tables, 1)
    cancelled = asyncio.create_task(ours.commit(claim, batch(1)))
    await sleep.has_begun(cancelled)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    only = Write(states={"other": b"x"})
    await ours.commit(claim, only)
    assert await look() == after(1) | {"persona-state:other": "x"}


async def test_an_old_claim_used_late_does_not_disturb_the_newest_of_the_same_process(
    tables: Tables, look: Look
) -> None:
    ours = tables()
    old, newest = (await ours.claim([1]))[1], (await ours.claim([1]))[1]
    for number in (1, 2):
        await ours.commit(newest, batch(number))
        with pytest.raises(FencedError):
            await ours.commit(old, batch(4))
    assert await look() == after(1, 2)


async def test_no_token_is_given_twice_even_when_a_failover_forgets_one(
    redis_cluster: RedisCluster, tables: Tables
) -> None:
    lost = (await tables().claim([1]))[1].token
    async with ClusterClient.from_url(redis_cluster.url) as client:
        pattern = tables().channel.removesuffix("persona-changes") + "persona-owner:*"
        for key in [key async for key in client.scan_iter(pattern)]:
            await client.delete(key)
    assert (await tables().claim([1]))[1].token > lost


async def test_fences_come_with_crashes_alone_and_do_not_stay(
    redis_cluster: RedisCluster, tables: Tables
) -> None:
    ours = tables()
    await ours.commit((await ours.claim([1]))[1], batch(1))
    claim = (await ours.claim([1]))[1]
    assert await fences(redis_cluster, tables) == []
    with pytest.raises(KilledError):
        await tables(3).commit(claim, batch(2))
    await ours.claim([1])
    stand = await fences(redis_cluster, tables)
    assert len(stand) > 10
    assert 0 < min(stand) <= max(stand) <= protocol._FENCE_SECONDS


async def test_no_write_outlives_the_fences_against_it(
    tables: Tables, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert protocol._VALID_SECONDS < protocol._FENCE_SECONDS
    claim = await claim_of(tables, 1)
    monkeypatch.setattr(protocol, "_VALID_SECONDS", -60)
    with pytest.raises(FencedError):
        await tables().commit(claim, batch(1))
    assert await look() == {}


async def test_keys_of_customers_with_braces_share_a_slot_and_a_script(
    tables: Tables,
) -> None:
    ours = tables()
    claim = (await ours.claim([1]))[1]
    names = ["{a}1", "{a}2", "x{a}", "}{", "a}b{c", "{}"]
    states: dict[str, bytes | None] = {name: name.encode() for name in names}
    await ours.commit(claim, Write(states=states, public=states))
    assert await ours.load(names) == states


async def test_a_prefix_may_put_a_deployment_into_one_slot_but_must_not_break_tags(
    redis_cluster: RedisCluster,
) -> None:
    one = RedisTables.connect(redis_cluster.url, f"{{one-{time.time_ns()}}}:", 5)
    await one.commit((await one.claim([1]))[1], batch(1))
    assert len(await one.load(NAMES)) == len(NAMES)
    await one.close()
    for prefix in ("a{b:", "{}:", "a{"):
        wrong = RedisTables.connect(redis_cluster.url, prefix, 5)
        with pytest.raises(TopologyError, match="STREAM_PERSONA_PREFIX"):
            await wrong.ping()


async def test_a_cluster_has_no_databases(redis_cluster: RedisCluster) -> None:
    tables = RedisTables.connect(redis_cluster.url.removesuffix("0") + "3", "", 5)
    # The second sentence is Valkey's: since version 9 a Cluster of it has `cluster-databases`, one
    # unless configured otherwise, and the embedded server is such a Valkey.
    refusal = "SELECT is not allowed in cluster mode|DB index is out of range"
    with pytest.raises(TopologyError, match=refusal):
        await tables.ping()
