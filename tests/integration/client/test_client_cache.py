"""A client that caches: a shopper is kept until it changes, and never while changes are missed."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from stream_persona.client import AsyncPersonaClient
from stream_persona.pipeline.messages import encode_public_record
from stream_persona.settings import Settings
from tests.support.clients import PERSONAS, Client, client_on, published
from tests.support.servers import Redis as Server
from tests.support.waiting import eventually


@pytest.fixture
async def caching(
    kind: str, place: Settings, redis: Redis, options: dict[str, Any]
) -> AsyncIterator[Client]:
    client = client_on(kind, place.redis_url, **options, cache=2)
    await client.get("nobody")
    await eventually(lambda: client._cache.is_live, 10, "it does not subscribe to changes")
    yield client
    await client.close()


async def change(redis: Redis, place: Settings, customer: str, persona: str) -> None:
    shares = [800_000 if persona == each else 100_000 for each in PERSONAS]
    key = f"{place.prefix}persona:{customer}"
    await redis.set(key, encode_public_record(customer, published(persona, *shares)))
    await redis.publish(f"{place.prefix}persona-changes", f'{{"customer_id":"{customer}"}}')


async def test_a_cached_shopper_is_not_asked_for_again_until_it_changes(
    caching: Client, redis: Redis, place: Settings
) -> None:
    assert (await caching.get("named")).persona == "gamer"
    await redis.set(f"{place.prefix}persona:named", b"without a notification")
    assert (await caching.get("named")).persona == "gamer"
    await change(redis, place, "named", "parent")
    await eventually(lambda: caching._cache.get("named") is None, 10, "the change did not arrive")
    assert (await caching.get("named")).persona == "parent"


async def test_a_cache_holds_as_many_as_its_size(caching: Client) -> None:
    await caching.get_many(["named", "torn", "nobody", "other"])
    assert len(caching._cache) == 2
    assert (await caching.get_many(["named", "torn"]))["named"].persona == "gamer"


async def test_a_cache_is_empty_while_the_channel_is_away(
    caching: Client, redis: Redis, place: Settings, redis_server: Server
) -> None:
    await caching.get("named")
    everywhere = {"target_nodes": "all"} if redis_server.kind == "cluster" else {}
    await redis.execute_command("CLIENT KILL", "TYPE", "pubsub", **everywhere)
    await eventually(lambda: not len(caching._cache), 10, "it kept what may be old")
    await change(redis, place, "named", "student")
    assert (await caching.get("named")).persona == "student"
    await eventually(lambda: caching._cache.is_live, 10, "it did not subscribe again")


async def test_a_lookup_that_its_caller_cancels_leaves_nothing_behind(
    place: Settings, redis: Redis, options: dict[str, Any]
) -> None:
    async with AsyncPersonaClient(place.redis_url, **options, cache=2) as client:
        cancelled = asyncio.create_task(client.get("named"))
        await asyncio.sleep(0)
        assert client._cache is not None
        assert client._cache._pending == {"named": 1}
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        assert (client._cache._pending, client._cache._changed) == ({}, {})
