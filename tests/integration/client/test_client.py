"""Lookups by a ranking service: what it gets, and that nothing can fail its request."""

import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from msgspec.structs import replace
from redis.asyncio import Redis

from stream_persona.client import (
    AMBIGUOUS,
    HOLDOUT,
    UNKNOWN,
    UNREACHABLE,
    UNREADABLE,
    Ranking,
    Reason,
    Shopper,
)
from stream_persona.domain.common_tastes import CommonShare, encode_common
from stream_persona.domain.record import PublishedPosterior
from stream_persona.domain.taste_bytes import encode_tastes, find_level
from stream_persona.pipeline.messages import encode_public_record
from stream_persona.settings import Settings
from tests.support.clients import ITEMS, PERSONAS, Client, client_on, published
from tests.support.servers import Redis as Server
from tests.support.slow_proxy import SlowProxy


@pytest.fixture
async def client(
    kind: str, place: Settings, redis: Redis, options: dict[str, Any]
) -> AsyncIterator[Client]:
    client = client_on(kind, place.redis_url, **options)
    yield client
    await client.close()


async def test_a_named_shopper_comes_with_the_whole_public_record(client: Client) -> None:
    found = await client.get("named")
    assert (found.customer_id, found.persona, found.fallback) == ("named", "gamer", None)
    assert (found.confidence, found.source, found.ambiguous) == (0.7, "predicted", False)
    assert found.distribution == {"parent": 0.1, "student": 0.2, "gamer": 0.7}
    assert found.candidates == ("gamer",)
    assert found.why == (Reason("category", "toys", 2.5),)
    assert (found.evidence, found.revision) == (12.5, 7)
    assert not client.fallbacks


async def test_an_ambiguous_shopper_is_a_fallback_that_keeps_its_distribution(
    client: Client,
) -> None:
    found = await client.get("torn")
    assert (found.persona, found.fallback, found.ambiguous) == (None, AMBIGUOUS, True)
    assert found.candidates == PERSONAS
    assert found.distribution["parent"] == 0.4
    assert client.fallbacks == {AMBIGUOUS: 1}


async def test_an_unknown_customer_and_a_broken_record_are_fallbacks(
    client: Client,
) -> None:
    assert await client.get("nobody") == Shopper("nobody", fallback=UNKNOWN)
    assert await client.get("strange") == Shopper("strange", fallback=UNREADABLE)
    assert await client.get("broken") == Shopper("broken", fallback=UNREADABLE)
    assert client.fallbacks == {UNKNOWN: 1, UNREADABLE: 2}


async def test_several_shoppers_are_looked_up_as_one_by_one(client: Client) -> None:
    names = ["named", "torn", "nobody", "broken", "named"]
    found = await client.get_many(names)
    assert found == {name: await client.get(name) for name in dict.fromkeys(names)}
    assert await client.get_many([]) == {}


async def test_own_tastes_are_read_beside_the_persona(
    client: Client, place: Settings, redis: Redis
) -> None:
    tastes = encode_tastes("torn", "0" * 12, 20.0, b"\0\7", bytes([find_level(2_000)]))
    await redis.set(f"{place.prefix}persona-tastes:torn", tastes)
    common = encode_common({"category:games": CommonShare(7, 0.1)}, "0" * 12)
    await redis.hset(f"{place.prefix}persona-common-tastes", mapping=common)
    assert (await client.rank(ITEMS, "torn")).order == ITEMS
    found = await client.rank(ITEMS, "torn", own=1.0)
    assert (found.order[0], found.fallback, found.own_fallback) == (ITEMS[1], AMBIGUOUS, None)
    assert [why.value for why in found.items[0].why_own] == ["games"]
    unknown = await client.rank(ITEMS, "nobody", own=1.0)
    assert (unknown.order, unknown.own_fallback) == (ITEMS, UNKNOWN)


async def test_a_shopper_cannot_be_changed(client: Client) -> None:
    found = await client.get("named")
    with pytest.raises(AttributeError):
        found.persona = "parent"  # type: ignore[misc]
    with pytest.raises(TypeError):
        found.distribution["parent"] = 1.0  # type: ignore[index]


async def test_a_redis_that_does_not_answer_costs_bounded_time_and_no_exception(
    kind: str, place: Settings, redis: Redis, redis_server: Server
) -> None:
    if redis_server.kind == "cluster":
        pytest.skip("a Cluster's nodes are not behind the proxy")
    address = urlsplit(place.redis_url)
    async with SlowProxy(address.hostname or "", address.port or 6379) as proxy:
        url = f"redis://{proxy.address}{address.path}"
        client = client_on(kind, url, prefix=place.prefix, timeout=0.5)
        assert (await client.get("named")).persona == "gamer"
        proxy.freeze()
        began = time.monotonic()
        assert await client.get("named") == Shopper("named", fallback=UNREACHABLE)
        many = await client.get_many(["named", "torn"])
        assert {each.fallback for each in many.values()} == {UNREACHABLE}
        assert time.monotonic() - began < 5.0  # twice half a second, on a busy machine
        proxy.unfreeze()
        proxy.refuse = True
        proxy.cut()
        assert (await client.get("named")).fallback == UNREACHABLE
        proxy.refuse = False
        assert (await client.get("named")).persona == "gamer"
        assert client.fallbacks == {UNREACHABLE: 4}
        await client.close()


async def test_an_address_without_a_server_is_unreachable(kind: str) -> None:
    client = client_on(kind, "redis://127.0.0.1:1/0")
    assert (await client.get("named")).fallback == UNREACHABLE
    await client.close()


def places(ranking: Ranking) -> list[int]:
    return [ranked.position for ranked in ranking.items]


async def test_items_are_ranked_for_the_shoppers_mixture_of_personas(client: Client) -> None:
    found = await client.rank(ITEMS, "named")
    assert found.fallback is None
    assert places(found) == [1, 0, 2]
    assert [ranked.affinity for ranked in found.items] == pytest.approx([3.8, 1.0, 1.2])
    assert [ranked.score for ranked in found.items] == pytest.approx([7.6, 3.0, 1.2])
    assert found.items[0].why == (Reason("category", "games", pytest.approx(3.8)),)
    assert found.order[0] is ITEMS[1]
    assert places(await client.rank(ITEMS, "named", strength=0.0)) == [0, 1, 2]


async def test_items_keep_the_callers_order_exactly_without_a_persona(client: Client) -> None:
    backwards = ITEMS[::-1]
    for customer, reason in {"torn": AMBIGUOUS, "nobody": UNKNOWN, "broken": UNREADABLE}.items():
        found = await client.rank(backwards, customer)
        assert found.fallback == found.shopper.fallback == reason
        assert found.order == backwards
        assert [ranked.score for ranked in found.items] == [1.0, 2.0, 3.0]
    assert client.fallbacks == {AMBIGUOUS: 1, UNKNOWN: 1, UNREADABLE: 1}


async def test_an_assigned_persona_ranks_alone(
    client: Client, redis: Redis, place: Settings
) -> None:
    current = PublishedPosterior("parent", 1_000_000, False, True, (100_000, 200_000, 700_000))
    record = encode_public_record("given", replace(published("parent", 1, 2, 3), current=current))
    await redis.set(f"{place.prefix}persona:given", record)
    found = await client.rank(ITEMS, "given")
    assert {ranked.position: ranked.affinity for ranked in found.items} == pytest.approx(
        {0: 1.0, 1: 1.0, 2: 3.0}
    )


async def test_items_keep_the_callers_order_without_affinities(
    client: Client, redis: Redis, place: Settings
) -> None:
    for persona in ("gamer", "parent"):
        await redis.delete(f"{place.prefix}persona-affinity:{persona}")
    found = await client.rank(ITEMS, "named")
    assert (found.order, found.fallback) == (ITEMS, UNREACHABLE)


async def test_a_customer_who_is_held_out_keeps_the_baseline(
    kind: str, place: Settings, redis: Redis, options: dict[str, Any]
) -> None:
    client = client_on(kind, place.redis_url, **options, holdout=1.0)
    found = await client.rank(ITEMS, "named")
    assert (found.order, found.fallback) == (ITEMS, HOLDOUT)
    assert (await client.get("named")).persona == "gamer"
    assert client.fallbacks == {HOLDOUT: 1}
    await client.close()
