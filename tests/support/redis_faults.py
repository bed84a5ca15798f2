"""What may happen to a Redis, and how it is undone."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import BusyLoadingError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.chaos.machines import Store
from tests.support.faulty_deployment import FaultyDeployment
from tests.support.slow_proxy import SlowProxy
from tests.support.waiting import eventually

#: Seconds for which a worker waits for Redis here.
RETRY = 10.0


@dataclass
class Place:
    """The deployment, its Redis, and the proxy between the two."""

    shop: FaultyDeployment
    store: Store
    proxy: SlowProxy
    redis: Redis


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2].partition("/")[0])


Undo = Callable[[], Awaitable[object]]


Fault = Callable[[Place], Awaitable[Undo]]


async def away(place: Place) -> Undo:
    place.store.end(politely=False)

    async def undo() -> None:
        place.store.start_again()
        await place.redis.connection_pool.disconnect()

    return undo


async def silent(place: Place) -> Undo:
    place.proxy.freeze()

    async def undo() -> None:
        place.proxy.unfreeze()

    return undo


async def read_only(place: Place) -> Undo:
    await place.redis.execute_command("REPLICAOF", "127.0.0.1", "1")
    return partial(place.redis.execute_command, "REPLICAOF", "NO", "ONE")


async def stale(place: Place) -> Undo:
    await place.redis.config_set("replica-serve-stale-data", "no")
    return await read_only(place)


async def full(place: Place) -> Undo:
    await place.redis.config_set("maxmemory", "1mb")
    return partial(place.redis.config_set, "maxmemory", "0")


async def without_replicas(place: Place) -> Undo:
    await place.redis.config_set("min-replicas-to-write", "1")
    return partial(place.redis.config_set, "min-replicas-to-write", "0")


async def without_disk(place: Place) -> Undo:
    """Snapshots fail, since a directory has their file's name."""
    await place.redis.config_set("save", "3600 1")
    dump = Path((await place.redis.config_get("dir"))["dir"], "dump.rdb")
    dump.mkdir()
    await snapshot(place.redis, "err")

    async def undo() -> None:
        dump.rmdir()
        await snapshot(place.redis, "ok")
        await place.redis.config_set("save", "")

    return undo


async def snapshot(redis: Redis, status: str) -> None:
    await redis.bgsave()

    async def done() -> bool:
        return bool((await redis.info("persistence"))["rdb_last_bgsave_status"] == status)

    await eventually(done, 10, "no snapshot was tried")


async def busy(place: Place) -> Undo:
    """Another client runs a script that does not end."""
    await place.redis.config_set("busy-reply-threshold", "50")
    endless = asyncio.ensure_future(place.redis.eval("while true do end", 0))

    async def undo() -> None:
        await place.redis.script_kill()
        await asyncio.gather(endless, return_exceptions=True)

    return undo


@asynccontextmanager
async def broken_by(place: Place, fault: Fault) -> AsyncIterator[None]:
    """Let a fault last as long as the block."""
    undo = await fault(place)
    try:
        yield
    finally:
        await undo()


#: Faults that pass by themselves, each with a word of it that the worker logs.
PASSING: dict[str, tuple[Fault, str]] = {
    "away": (away, "onnect"),
    "silent": (silent, "Timeout"),
    "read-only": (read_only, "read only replica"),
    "a replica without its master": (stale, "MASTER is down"),
    "out of memory": (full, "maxmemory"),
    "without a disk": (without_disk, "MISCONF"),
    "without replicas": (without_replicas, "NOREPLICAS"),
    "busy with a script": (busy, "BUSY"),
}


async def is_loading(redis: Redis) -> bool:
    try:
        await redis.ping()
    except BusyLoadingError:
        return True
    except RedisConnectionError:
        pass
    return False


async def promote(replica: Redis, master: Redis) -> None:
    """Let a replica, once in sync, and its master change roles."""
    ports = [str(node.connection_pool.connection_kwargs["port"]) for node in (master, replica)]

    async def in_sync() -> bool:
        state = await replica.info("replication")
        return bool(state.get("master_link_status") == "up")

    async def done() -> bool:
        return bool((await replica.info("replication"))["role"] == "master")

    if not await in_sync():
        await replica.execute_command("REPLICAOF", "127.0.0.1", ports[0])
    await eventually(in_sync, 10, "the replica does not come into sync")
    await master.execute_command("FAILOVER", "TO", "127.0.0.1", ports[1])
    await eventually(done, 10, "no failover")


async def locked(place: Place) -> Undo:
    await place.redis.config_set("requirepass", "secret")
    place.proxy.cut()
    return partial(place.redis.config_set, "requirepass", "")


async def without_rights(place: Place) -> Undo:
    await place.redis.execute_command("ACL", "SETUSER", "default", "-evalsha")
    return partial(place.redis.execute_command, "ACL", "SETUSER", "default", "+evalsha")


async def used_by_others(place: Place) -> Undo:
    """The sets of labelled customers are strings."""
    prefix = f"{place.shop.settings.prefix}persona-labelled:"
    ours = [f"{prefix}{partition}" for partition in range(place.shop.settings.partitions)]
    for key in ours:
        with suppress(ResponseError):  # it is empty
            await place.redis.rename(key, f"kept:{key}")
        await place.redis.set(key, "theirs")

    async def undo() -> None:
        await place.redis.delete(*ours)
        for key in ours:
            with suppress(ResponseError):
                await place.redis.rename(f"kept:{key}", key)

    return undo
