"""Lookups by a ranking service: what it gets, and that nothing can fail its request."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from typing import Protocol
from urllib.parse import urlsplit

import pytest
from redis.asyncio import Redis

from stream_persona.change import public_record
from stream_persona.client import (
    AMBIGUOUS,
    UNKNOWN,
    UNREACHABLE,
    UNREADABLE,
    AsyncPersonaClient,
    PersonaClient,
    Reason,
    Shopper,
)
from stream_persona.records import Posterior, Said
from stream_persona.settings import Settings
from tests.servers import Redis as Server
from tests.servers import client_of
from tests.slow_proxy import SlowProxy

PERSONAS = ("parent", "student", "gamer")


def said(persona: str | None, *shares: int) -> Said:
    current = Posterior(
        persona, max(shares), ambiguous=persona is None, assigned=False, distribution=shares
    )
    why = (("category", "toys", 2_500_000),)
    return Said(
        7, 0, 1_700_000_000_000, 1_700_000_001_000, 0, 12_500, 100_000, PERSONAS, None, current,
        why, "m1", "t1",
    )  # fmt: skip


class Client(Protocol):
    fallbacks: dict[str, int]

    async def get(self, customer_id: str) -> Shopper: ...

    async def get_many(self, customer_ids: Iterable[str]) -> dict[str, Shopper]: ...

    async def close(self) -> None: ...


class FromThreads:
    """The blocking client, asked from a thread."""

    def __init__(self, url: str, prefix: str) -> None:
        self._client = PersonaClient(url, prefix=prefix)
        self.fallbacks = self._client.fallbacks

    async def get(self, customer_id: str) -> Shopper:
        return await asyncio.to_thread(self._client.get, customer_id)

    async def get_many(self, customer_ids: Iterable[str]) -> dict[str, Shopper]:
        return await asyncio.to_thread(self._client.get_many, customer_ids)

    async def close(self) -> None:
        self._client.close()


def client_on(kind: str, url: str, prefix: str) -> Client:
    return FromThreads(url, prefix) if kind == "sync" else AsyncPersonaClient(url, prefix=prefix)


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def place(redis_server: Server) -> Settings:
    """A prefix of its own."""
    if redis_server.kind == "cluster":
        pytest.skip("the client knows a single server alone, as yet")
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
        yield redis


@pytest.fixture
async def client(kind: str, place: Settings, redis: Redis) -> AsyncIterator[Client]:
    client = client_on(kind, place.redis_url, place.prefix)
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
    kind: str, place: Settings, redis: Redis
) -> None:
    address = urlsplit(place.redis_url)
    async with SlowProxy(address.hostname or "", address.port or 6379) as proxy:
        client = client_on(kind, f"redis://{proxy.address}{address.path}", place.prefix)
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
    client = client_on(kind, "redis://127.0.0.1:1/0", "")
    assert (await client.get("named")).fallback == UNREACHABLE
    await client.close()
