"""Deployments whose prefixes overlap are not run in one Redis; those that only look alike are."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from stream_persona.errors import TopologyError
from stream_persona.settings import Settings
from stream_persona.store.deployment import Deployment
from stream_persona.store.redis import RedisTables
from stream_persona.store.stored_check import check_store
from tests.support.events import shop
from tests.support.servers import client_of


@pytest.fixture
async def redis(settings: Settings) -> AsyncIterator[Redis]:
    async with client_of(settings.redis_url) as redis:
        yield redis


def of(settings: Settings, rest: str) -> Settings:
    return settings.model_copy(update={"prefix": settings.prefix + rest})


async def start(settings: Settings) -> None:
    """Check as a process does that starts, and make the deployment as the first worker does."""
    tables = RedisTables.connect(settings.redis_url, settings.prefix, 5.0)
    try:
        await check_store(settings, shop(), tables)
        await tables.create_deployment(Deployment.of(settings, shop()).encode())
    finally:
        await tables.close()


@pytest.mark.on_cluster_too
@pytest.mark.parametrize("rest", ["persona:", "persona-state:", "persona-deleted:eu:"])
async def test_the_second_of_two_that_overlap_is_refused_whichever_it_is(
    settings: Settings, rest: str
) -> None:
    longer = of(settings, rest)
    await start(longer)
    with pytest.raises(TopologyError, match="overlap: a customer's key in the one may be a key"):
        await start(settings)
    await start(longer)

    settings = of(settings, "x:")
    longer = of(settings, rest)
    await start(settings)
    with pytest.raises(TopologyError) as refused:
        await start(longer)
    assert repr(settings.prefix) in str(refused.value)
    assert repr(longer.prefix) in str(refused.value)
    await start(settings)


async def test_two_that_overlap_and_were_there_before_are_both_refused(
    settings: Settings, redis: Redis
) -> None:
    for each in (settings, of(settings, "persona:")):
        blob = Deployment.of(each, shop()).encode()
        await redis.set(f"{each.prefix}persona-deployment", blob)
    for each in (settings, of(settings, "persona:")):
        with pytest.raises(TopologyError, match="overlap"):
            await start(each)


@pytest.mark.on_cluster_too
async def test_prefixes_that_only_look_alike_run_beside_each_other(settings: Settings) -> None:
    for rest in ("", "persona", "b:", "my-persona:", "persona-", "*", "persona?"):
        await start(of(settings, rest))
    for rest in ("", "persona", "b:", "my-persona:", "persona-", "*", "persona?"):
        await start(of(settings, rest))


async def test_a_customer_of_that_name_is_no_deployment(settings: Settings, redis: Redis) -> None:
    await start(settings)
    await redis.set(f"{settings.prefix}persona:persona", b"{}")
    await start(settings)


async def test_one_prefix_in_two_databases_of_a_server_would_share_a_channel(
    settings: Settings, redis: Redis
) -> None:
    other = settings.model_copy(update={"redis_url": in_database(settings.redis_url, 7)})
    await start(other)
    with pytest.raises(TopologyError, match="database 7 of this Redis server holds another"):
        await start(settings)
    await start(other)
    await start(of(settings, "b:"))
    async with client_of(other.redis_url) as elsewhere:
        await elsewhere.delete(f"{settings.prefix}persona-deployment")
    await start(settings)


def in_database(url: str, number: int) -> str:
    return f"{url.rpartition('/')[0]}/{number}"
