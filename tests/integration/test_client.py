"""Lookups by a ranking service: what it gets, and that nothing can fail its request."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from typing import Any, Protocol
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
    AsyncPersonaClient,
    PersonaClient,
    Ranking,
    Reason,
    Shopper,
)
from stream_persona.domain.record import Posterior, PublishedChange
from stream_persona.pipeline.messages import public_record
from stream_persona.settings import Settings
from tests.support.servers import Redis as Server
from tests.support.servers import client_of
from tests.support.slow_proxy import SlowProxy
from tests.support.waiting import eventually

Item = dict[str, Any]
ITEMS = [
    {"product_id": "p1", "category": "food", "score": 3.0},
    {"product_id": "p2", "category": "games/board", "score": 2.0},
    {"product_id": "p3", "brand": "b", "score": 1.0},
]
PERSONAS = ("parent", "student", "gamer")


def said(persona: str | None, *shares: int) -> PublishedChange:
    current = Posterior(
        persona, max(shares), ambiguous=persona is None, assigned=False, distribution=shares
    )
    why = (("category", "toys", 2_500_000),)
    return PublishedChange(
        7, 0, 1_700_000_000_000, 1_700_000_001_000, 0, 12_500, 100_000, PERSONAS, None, current,
        why, "m1", "t1",
    )  # fmt: skip


class Client(Protocol):
    fallbacks: dict[str, int]

    async def get(self, customer_id: str) -> Shopper: ...

    async def get_many(self, customer_ids: Iterable[str]) -> dict[str, Shopper]: ...

    async def rank(self, items: list[Item], customer_id: str, **more: float) -> Ranking: ...

    async def close(self) -> None: ...


class FromThreads:
    """The blocking client, asked from a thread."""

    def __init__(self, url: str, **options: Any) -> None:
        self._client = PersonaClient(url, **options)
        self.fallbacks = self._client.fallbacks
        self._recent = self._client._recent

    async def get(self, customer_id: str) -> Shopper:
        return await asyncio.to_thread(self._client.get, customer_id)

    async def get_many(self, customer_ids: Iterable[str]) -> dict[str, Shopper]:
        return await asyncio.to_thread(self._client.get_many, customer_ids)

    async def rank(self, items: list[Item], customer_id: str, **more: float) -> Ranking:
        return await asyncio.to_thread(self._client.rank, items, customer_id, **more)

    async def close(self) -> None:
        await asyncio.to_thread(self._client.close)


def client_on(kind: str, url: str, **options: Any) -> Client:
    return FromThreads(url, **options) if kind == "sync" else AsyncPersonaClient(url, **options)


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def place(redis_server: Server) -> Settings:
    """A prefix of its own."""
    prefix = f"client-{time.time_ns()}:"
    return Settings(_env_file=None, redis_url=redis_server.url, prefix=prefix)


@pytest.fixture
async def redis(place: Settings) -> AsyncIterator[Redis]:
    async with client_of(place.redis_url) as redis:
        for name, record in {
            "named": public_record("named", said("gamer", 100_000, 200_000, 700_000)),
            "torn": public_record("torn", said(None, 400_000, 350_000, 250_000)),
            "strange": b'{"persona": "gamer"}',
            "broken": b"{",
        }.items():
            await redis.set(f"{place.prefix}persona:{name}", record)
        for persona, lifts in {
            "gamer": {"category:games": 5.0},
            "parent": {"brand:b": 3.0},
        }.items():
            await redis.hset(f"{place.prefix}persona-affinity:{persona}", mapping=lifts)
        yield redis


@pytest.fixture
def options(place: Settings, redis_server: Server) -> dict[str, Any]:
    return {"prefix": place.prefix, "cluster": redis_server.kind == "cluster", "timeout": 1.0}


@pytest.fixture
async def client(
    kind: str, place: Settings, redis: Redis, options: dict[str, Any]
) -> AsyncIterator[Client]:
    client = client_on(kind, place.redis_url, **options)
    yield client
    await client.close()


@pytest.fixture
async def caching(
    kind: str, place: Settings, redis: Redis, options: dict[str, Any]
) -> AsyncIterator[Client]:
    client = client_on(kind, place.redis_url, **options, cache=2)
    await client.get("nobody")
    await eventually(lambda: client._recent.fresh, 10, "it does not hear of changes")
    yield client
    await client.close()


async def test_a_named_shopper_comes_with_all_that_is_said_of_it(client: Client) -> None:
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


async def test_who_is_not_known_and_what_is_no_record_are_fallbacks_too(client: Client) -> None:
    assert await client.get("nobody") == Shopper("nobody", fallback=UNKNOWN)
    assert await client.get("strange") == Shopper("strange", fallback=UNREADABLE)
    assert await client.get("broken") == Shopper("broken", fallback=UNREADABLE)
    assert client.fallbacks == {UNKNOWN: 1, UNREADABLE: 2}


async def test_many_are_looked_up_as_one_by_one(client: Client) -> None:
    names = ["named", "torn", "nobody", "broken", "named"]
    found = await client.get_many(names)
    assert found == {name: await client.get(name) for name in dict.fromkeys(names)}
    assert await client.get_many([]) == {}


async def test_a_record_cannot_be_changed_by_who_was_given_it(client: Client) -> None:
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
        client = client_on(kind, f"redis://{proxy.address}{address.path}", prefix=place.prefix)
        assert (await client.get("named")).persona == "gamer"
        proxy.freeze()
        began = time.monotonic()
        assert await client.get("named") == Shopper("named", fallback=UNREACHABLE)
        many = await client.get_many(["named", "torn"])
        assert {each.fallback for each in many.values()} == {UNREACHABLE}
        assert time.monotonic() - began < 2.0  # twice 50 ms, on a busy machine
        proxy.unfreeze()
        proxy.refuse = True
        proxy.cut()
        assert (await client.get("named")).fallback == UNREACHABLE
        proxy.refuse = False
        assert (await client.get("named")).persona == "gamer"
        assert client.fallbacks == {UNREACHABLE: 4}
        await client.close()


async def test_an_address_of_nobody_is_unreachable(kind: str) -> None:
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


async def test_without_a_persona_the_order_is_the_callers_exactly(client: Client) -> None:
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
    current = Posterior("parent", 1_000_000, False, True, (100_000, 200_000, 700_000))
    record = public_record("given", replace(said("parent", 1, 2, 3), current=current))
    await redis.set(f"{place.prefix}persona:given", record)
    found = await client.rank(ITEMS, "given")
    assert {ranked.position: ranked.affinity for ranked in found.items} == pytest.approx(
        {0: 1.0, 1: 1.0, 2: 3.0}
    )


async def test_without_affinities_the_order_is_the_callers(
    client: Client, redis: Redis, place: Settings
) -> None:
    for persona in ("gamer", "parent"):
        await redis.delete(f"{place.prefix}persona-affinity:{persona}")
    found = await client.rank(ITEMS, "named")
    assert (found.order, found.fallback) == (ITEMS, UNREACHABLE)


async def test_who_is_held_out_keeps_the_baseline(
    kind: str, place: Settings, redis: Redis, options: dict[str, Any]
) -> None:
    client = client_on(kind, place.redis_url, **options, holdout=1.0)
    found = await client.rank(ITEMS, "named")
    assert (found.order, found.fallback) == (ITEMS, HOLDOUT)
    assert (await client.get("named")).persona == "gamer"
    assert client.fallbacks == {HOLDOUT: 1}
    await client.close()


async def test_a_share_that_is_none_is_refused_where_the_client_is_made(kind: str) -> None:
    for options in ({"holdout": 2.0}, {"strength": -1.0}):
        with pytest.raises(ValueError, match="expected"):
            client_on(kind, "redis://127.0.0.1:1/0", **options)


async def change(redis: Redis, place: Settings, customer: str, persona: str) -> None:
    shares = [800_000 if persona == each else 100_000 for each in PERSONAS]
    key = f"{place.prefix}persona:{customer}"
    await redis.set(key, public_record(customer, said(persona, *shares)))
    await redis.publish(f"{place.prefix}persona-changes", f'{{"customer_id":"{customer}"}}')


async def test_a_cached_shopper_is_not_asked_for_again_until_it_changes(
    caching: Client, redis: Redis, place: Settings
) -> None:
    assert (await caching.get("named")).persona == "gamer"
    await redis.set(f"{place.prefix}persona:named", b"nobody tells of this")
    assert (await caching.get("named")).persona == "gamer"
    await change(redis, place, "named", "parent")
    await eventually(lambda: caching._recent.get("named") is None, 10, "it did not hear of it")
    assert (await caching.get("named")).persona == "parent"


async def test_the_cache_holds_as_many_as_it_was_told(caching: Client) -> None:
    await caching.get_many(["named", "torn", "nobody", "other"])
    assert len(caching._recent) == 2
    assert (await caching.get_many(["named", "torn"]))["named"].persona == "gamer"


async def test_nothing_is_cached_while_changes_are_not_heard_of(
    caching: Client, redis: Redis, place: Settings, redis_server: Server
) -> None:
    await caching.get("named")
    everywhere = {"target_nodes": "all"} if redis_server.kind == "cluster" else {}
    await redis.execute_command("CLIENT KILL", "TYPE", "pubsub", **everywhere)
    await eventually(lambda: not len(caching._recent), 10, "it kept what may be old")
    await change(redis, place, "named", "student")
    assert (await caching.get("named")).persona == "student"
    await eventually(lambda: caching._recent.fresh, 10, "it did not listen again")


async def test_a_lookup_that_its_caller_gives_up_leaves_nothing_behind(
    place: Settings, redis: Redis, options: dict[str, Any]
) -> None:
    async with AsyncPersonaClient(place.redis_url, **options, cache=2) as client:
        giving_up = asyncio.create_task(client.get("named"))
        await asyncio.sleep(0)
        assert client._recent is not None
        assert client._recent._asked == {"named": 1}
        giving_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await giving_up
        assert (client._recent._asked, client._recent._changed) == ({}, {})
