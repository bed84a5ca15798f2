"""What is stored is looked at on start: other programs' keys and another half-life are refused."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from redis.asyncio import Redis

from stream_persona.domain.record import Record
from stream_persona.domain.record_codec import encode_records
from stream_persona.domain.taxonomy import Taxonomy
from stream_persona.domain.token_names import Listing
from stream_persona.errors import TopologyError
from stream_persona.settings import Settings
from stream_persona.store.names import encode_listing
from stream_persona.store.redis import RedisTables
from stream_persona.store.stored_check import check_store
from stream_persona.store.tables import Write
from tests.support.events import PERSONAS, shop
from tests.support.servers import client_of

pytestmark = pytest.mark.on_cluster_too


@pytest.fixture
async def redis(settings: Settings) -> AsyncIterator[Redis]:
    async with client_of(settings.redis_url) as redis:
        yield redis


async def check(settings: Settings, taxonomy: Taxonomy | None = None) -> None:
    tables = RedisTables.connect(settings.redis_url, settings.prefix, 5.0)
    try:
        await check_store(settings, taxonomy or shop(), tables)
    finally:
        await tables.close()


async def test_an_empty_redis_and_one_that_is_in_use_are_fine(
    settings: Settings, redis: Redis
) -> None:
    await check(settings)
    tables = RedisTables.connect(settings.redis_url, settings.prefix, 5.0)
    claim = (await tables.claim([0]))[0]
    await tables.commit(claim, Write(names={"version": b"1 1 0"}))
    await tables.save_listing(encode_listing(Listing()))
    await redis.hset(f"{settings.prefix}persona-names", "category:pets", "3")
    await tables.save_report("w", b"{}")
    await tables.add_sample(1, b"{}")
    await tables.save_affinities({PERSONAS[0]: {"category:pets": 2.0}})
    await tables.load_topic_ids({"purchase": "an id"})
    await tables.close()
    await store_record(settings, redis, shop())
    await check(settings)


async def store_record(settings: Settings, redis: Redis, taxonomy: Taxonomy) -> None:
    blob = encode_records({"c": Record()}, taxonomy.fingerprint)["c"]
    await redis.set(f"{settings.prefix}persona-state:c", blob)


Put = Callable[[Redis, str], Awaitable[object]]


async def text(redis: Redis, key: str) -> None:
    await redis.set(key, "theirs")


async def table(redis: Redis, key: str) -> None:
    await redis.hset(key, "theirs", "theirs")


async def list_of_theirs(redis: Redis, key: str) -> None:
    await redis.rpush(key, "theirs")


FOREIGN: dict[str, tuple[Put, ...]] = {
    "names": (text, table, list_of_theirs),
    "files": (text,),
    "topics": (text,),
    "workers": (text, list_of_theirs),
    "history": (text, table),
    f"affinity:{PERSONAS[0]}": (text,),
    "model:2": (text, table),
    "names:2": (text, list_of_theirs),
    "shown-names": (table, list_of_theirs),
    "labelled:2": (text, table),
}


@pytest.mark.parametrize(("key", "put"), [(k, p) for k, puts in FOREIGN.items() for p in puts])
async def test_a_key_of_another_program_is_named_with_what_to_do(
    settings: Settings, redis: Redis, key: str, put: Put
) -> None:
    await put(redis, f"{settings.prefix}persona-{key}")
    with pytest.raises(TopologyError) as caught:
        await check(settings)
    said = str(caught.value)
    assert said.startswith(
        "another program uses keys of this deployment; set STREAM_PERSONA_PREFIX"
    )
    assert f"persona-{key}" in said
    assert "\n" not in said


async def test_an_owner_of_another_program_is_refused(settings: Settings, redis: Redis) -> None:
    tables = RedisTables.connect(settings.redis_url, settings.prefix, 5.0)
    await tables.claim([1])
    await tables.close()
    (key,) = [key async for key in redis.scan_iter(f"{settings.prefix}persona-owner:*")]
    await redis.delete(key)
    await list_of_theirs(redis, key)
    with pytest.raises(TopologyError, match="persona-owner:1"):
        await check(settings)


async def test_records_of_another_half_life_are_refused(settings: Settings, redis: Redis) -> None:
    await store_record(settings, redis, shop())
    other = shop(features={"half_life_days": 7.0})
    with pytest.raises(TopologyError, match=r"another half-life.*STREAM_PERSONA_TAXONOMY"):
        await check(settings, other)


async def test_a_single_damaged_record_does_not_keep_a_worker_from_its_start(
    settings: Settings, redis: Redis
) -> None:
    await store_record(settings, redis, shop())
    await redis.set(f"{settings.prefix}persona-state:damaged", b"\x02\x00\x00\x00??")
    await check(settings)
