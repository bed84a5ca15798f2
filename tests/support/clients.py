"""Public records and changes as clients read them, and both clients behind one protocol."""

import asyncio
from collections.abc import Iterable
from typing import Any, Protocol

import orjson
from redis.asyncio import Redis

from stream_persona.client import AsyncPersonaClient, PersonaClient, Ranking, Shopper
from stream_persona.domain.record import PublishedChange, PublishedPosterior
from stream_persona.pipeline.messages import encode_public_record

Item = dict[str, Any]

PERSONAS = ("parent", "student", "gamer")
ITEMS: list[Item] = [
    {"product_id": "p1", "category": "food", "score": 3.0},
    {"product_id": "p2", "category": "games/board", "score": 2.0},
    {"product_id": "p3", "brand": "b", "score": 1.0},
]


def published(persona: str | None, *shares: int, revision: int = 7) -> PublishedChange:
    """The published part of a record, with shares in millionths in the order of ``PERSONAS``."""
    current = PublishedPosterior(
        persona, max(shares), ambiguous=persona is None, assigned=False, distribution=shares
    )
    return PublishedChange(
        revision, 0, 1_700_000_000_000, 1_700_000_001_000, 0, 12_500, 100_000, PERSONAS, None,
        current, (("category", "toys", 2_500_000),), "m1", "t1",
    )  # fmt: skip


NAMED = published("gamer", 100_000, 200_000, 700_000)
TORN = published(None, 400_000, 350_000, 250_000)


def encode_change(customer: str, revision: int, change_id: str | None = None) -> bytes:
    """The value of a message of ``persona-changes``."""
    current = {
        "persona": "parent", "confidence": 0.8, "ambiguous": False, "source": "predicted",
        "distribution": {"parent": 0.8, "gamer": 0.2},
    }  # fmt: skip
    return orjson.dumps({
        "change_id": change_id or f"{customer}-{revision}", "customer_id": customer,
        "revision": revision, "occurred_at": "2026-01-01T00:00:00.000Z",
        "published_at": "2026-01-01T00:00:00.000Z", "cause": "behaviour", "previous": None,
        "current": current, "why": [{"feature": "category", "value": "toys", "lift": 2.0}],
    })  # fmt: skip


async def fill(redis: Redis, prefix: str) -> None:
    """Write a named and an ambiguous shopper, two values that are no records, and affinities."""
    for name, record in {
        "named": encode_public_record("named", NAMED),
        "torn": encode_public_record("torn", TORN),
        "strange": b'{"persona": "gamer"}',
        "broken": b"{",
    }.items():
        await redis.set(f"{prefix}persona:{name}", record)
    lifts = {"gamer": {"category:games": 5.0}, "parent": {"brand:b": 3.0}}
    for persona, own in lifts.items():
        await redis.hset(f"{prefix}persona-affinity:{persona}", mapping=own)


class Client(Protocol):
    """What the tests ask of both clients."""

    fallbacks: dict[str, int]

    async def get(self, customer_id: str) -> Shopper: ...

    async def get_many(self, customer_ids: Iterable[str]) -> dict[str, Shopper]: ...

    async def rank(self, items: list[Item], customer_id: str, **more: float) -> Ranking: ...

    async def close(self) -> None: ...


class ThreadedClient:
    """The blocking client, asked from a thread."""

    def __init__(self, client: PersonaClient) -> None:
        self._client = client
        self._cache = client._cache
        self.fallbacks = client.fallbacks

    async def get(self, customer_id: str) -> Shopper:
        return await asyncio.to_thread(self._client.get, customer_id)

    async def get_many(self, customer_ids: Iterable[str]) -> dict[str, Shopper]:
        return await asyncio.to_thread(self._client.get_many, customer_ids)

    async def rank(self, items: list[Item], customer_id: str, **more: float) -> Ranking:
        return await asyncio.to_thread(self._client.rank, items, customer_id, **more)

    async def close(self) -> None:
        await asyncio.to_thread(self._client.close)


def client_on(kind: str, url: str, **options: Any) -> Client:
    """The client of a kind, ``sync`` or ``async``."""
    if kind == "sync":
        return ThreadedClient(PersonaClient(url, **options))
    return AsyncPersonaClient(url, **options)
