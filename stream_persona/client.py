"""For ranking services: which persona a shopper has now, and never an exception for it.

::

    from stream_persona.client import PersonaClient

    personas = PersonaClient("redis://localhost:6379/0")
    shopper = personas.get("CUST-04812")
    if shopper.persona is None:  # unknown, ambiguous, or Redis did not answer in time
        ...  # the baseline ranking

It needs ``redis`` and ``orjson`` alone, and a single Redis server: a Cluster not yet. A lookup that
can't be answered says so in ``Shopper.fallback`` and is counted in ``fallbacks``; a caller does the
same for all of them.
"""

from __future__ import annotations

from collections import Counter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import orjson
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

#: Why a lookup has no persona: nobody knows the customer; the model is not sure; Redis did not
#: answer in time; what is stored there is no public record.
UNKNOWN, AMBIGUOUS, UNREACHABLE, UNREADABLE = "unknown", "ambiguous", "unreachable", "unreadable"
FALLBACKS: Final = (UNKNOWN, AMBIGUOUS, UNREACHABLE, UNREADABLE)

#: Seconds that a lookup may take before the baseline is the better answer.
TIMEOUT: Final = 0.05

_NOTHING: Mapping[str, float] = MappingProxyType({})


class Reason(NamedTuple):
    """A feature that speaks for the persona, and how much likelier it is there than in general."""

    feature: str
    value: str
    lift: float


class Shopper(NamedTuple):
    """What is known of a customer. ``persona`` None means: rank as you would without it.

    ``fallback`` says why there is no persona, None where there is one. ``distribution`` has a
    probability for each persona, also while none is named; ``candidates`` are those that remain
    possible. ``evidence`` is the decayed number of events, ``revision`` that of the last change.
    """

    customer_id: str
    persona: str | None = None
    fallback: str | None = UNKNOWN
    confidence: float = 0.0
    ambiguous: bool = True
    source: str = "predicted"
    distribution: Mapping[str, float] = _NOTHING
    candidates: tuple[str, ...] = ()
    why: tuple[Reason, ...] = ()
    evidence: float = 0.0
    revision: int = 0
    updated_at: str = ""
    model_version: str = ""
    taxonomy_version: str = ""


class _Lookups:
    """What the clients share: keys, answers, and the count of fallbacks."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        #: Lookups without a persona since the start, by reason.
        self.fallbacks: Counter[str] = Counter()

    def _key(self, customer_id: str) -> str:
        return f"{self._prefix}persona:{customer_id}"

    def _answer(self, customer_id: str, blob: bytes | None) -> Shopper:
        if blob is None:
            return self._without(customer_id, UNKNOWN)
        try:
            found = _shopper(customer_id, orjson.loads(blob))
        except (KeyError, TypeError, ValueError, AttributeError):
            return self._without(customer_id, UNREADABLE)
        if found.fallback is not None:
            self.fallbacks[found.fallback] += 1
        return found

    def _without(self, customer_id: str, reason: str) -> Shopper:
        self.fallbacks[reason] += 1
        return Shopper(customer_id, fallback=reason)

    def _answers(
        self, customer_ids: Sequence[str], blobs: Iterable[bytes | None]
    ) -> dict[str, Shopper]:
        return {
            customer: self._answer(customer, blob)
            for customer, blob in zip(customer_ids, blobs, strict=True)
        }

    def _all_without(self, customer_ids: Iterable[str], reason: str) -> dict[str, Shopper]:
        return {customer: self._without(customer, reason) for customer in customer_ids}


class PersonaClient(_Lookups):
    """Lookups from threads; one client serves all of them.

    ``timeout`` is in seconds, for connecting and for each answer; nothing is tried twice.
    """

    def __init__(
        self, url: str = "redis://localhost:6379/0", *, prefix: str = "", timeout: float = TIMEOUT
    ) -> None:
        super().__init__(prefix)
        self._redis: Redis = Redis.from_url(
            url, socket_timeout=timeout, socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 0),
        )  # fmt: skip

    def get(self, customer_id: str) -> Shopper:
        """A customer's persona of now."""
        try:
            blob: Any = self._redis.get(self._key(customer_id))
        except (RedisError, OSError):
            return self._without(customer_id, UNREACHABLE)
        return self._answer(customer_id, blob)

    def get_many(self, customer_ids: Iterable[str]) -> dict[str, Shopper]:
        """The personas of several customers, in one round trip."""
        customers = list(dict.fromkeys(customer_ids))
        if not customers:
            return {}
        try:
            blobs: Any = self._redis.mget([self._key(customer) for customer in customers])
        except (RedisError, OSError):
            return self._all_without(customers, UNREACHABLE)
        return self._answers(customers, blobs)

    def close(self) -> None:
        """Give the connections back."""
        self._redis.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncPersonaClient(_Lookups):
    """The same on an event loop."""

    def __init__(
        self, url: str = "redis://localhost:6379/0", *, prefix: str = "", timeout: float = TIMEOUT
    ) -> None:
        super().__init__(prefix)
        self._redis: AsyncRedis = AsyncRedis.from_url(
            url, socket_timeout=timeout, socket_connect_timeout=timeout,
            retry=AsyncRetry(NoBackoff(), 0),
        )  # fmt: skip

    async def get(self, customer_id: str) -> Shopper:
        """A customer's persona of now."""
        try:
            blob: Any = await self._redis.get(self._key(customer_id))
        except (RedisError, OSError):
            return self._without(customer_id, UNREACHABLE)
        return self._answer(customer_id, blob)

    async def get_many(self, customer_ids: Iterable[str]) -> dict[str, Shopper]:
        """The personas of several customers, in one round trip."""
        customers = list(dict.fromkeys(customer_ids))
        if not customers:
            return {}
        try:
            blobs: Any = await self._redis.mget([self._key(customer) for customer in customers])
        except (RedisError, OSError):
            return self._all_without(customers, UNREACHABLE)
        return self._answers(customers, blobs)

    async def close(self) -> None:
        """Give the connections back."""
        await self._redis.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _shopper(customer_id: str, record: dict[str, Any]) -> Shopper:
    persona = record["persona"]
    return Shopper(
        customer_id,
        persona,
        AMBIGUOUS if persona is None else None,
        record["confidence"],
        record["ambiguous"],
        record["source"],
        MappingProxyType(record["distribution"]),
        tuple(record["candidates"]),
        tuple([Reason(why["feature"], why["value"], why["lift"]) for why in record["why"]]),
        record["evidence"],
        record["revision"],
        record["updated_at"],
        record["model_version"],
        record["taxonomy_version"],
    )
