"""Opening the Redis at an address: one server or a Cluster, whichever it turns out to be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redis.asyncio import Redis

from stream_persona.store.redis_cluster import Cluster
from stream_persona.store.redis_server import OneServer, is_clustered, pack_with_hiredis

if TYPE_CHECKING:
    from stream_persona.store.redis_port import Store
    from stream_persona.store.tables import Keyspace


async def open_store(url: str, keys: Keyspace, seconds: float) -> Store:
    """Return the store at ``url``, of the kind that it is; answers may take ``seconds``."""
    connect = min(seconds, 5.0)
    redis = pack_with_hiredis(
        Redis.from_url(url, socket_timeout=seconds, socket_connect_timeout=connect)
    )
    try:
        clustered = await is_clustered(redis)
    except BaseException:
        await redis.aclose()
        raise
    if not clustered:
        return OneServer(redis, keys)
    await redis.aclose()
    return Cluster.connect(url, keys, seconds)
