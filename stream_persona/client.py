"""For ranking services and consumers: which persona a shopper has now, and what to show them.

::

    from stream_persona.client import PersonaClient

    personas = PersonaClient("redis://localhost:6379/0")
    shopper = personas.get("CUST-04812")
    if shopper.persona is None:  # unknown, ambiguous, or Redis did not answer in time
        ...  # the baseline ranking
    personas.rank(items, "CUST-04812").order  # the same decision, made for you

A lookup needs ``redis`` and ``orjson`` alone, ``watch`` needs ``aiokafka`` as well. None of them
fails a request: one that can't be answered says so in ``fallback`` and is counted in ``fallbacks``.

**Cache.** With ``cache=10_000`` that many shoppers are kept in memory. The workers tell of every
change on a channel, which the client listens to from its first lookup on: what has changed is
forgotten at once, and while the channel is away nothing is kept. A connection that is dead without
saying so is found out after ``CHANNEL_SECONDS``, twice.

**Hold-out.** With ``holdout=0.1`` a tenth of the customers, always the same ones, keep the baseline
ranking, with the fallback ``holdout``. Compare what they buy with what the others do; ``salt``
draws them anew for the next experiment.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self, TypedDict

import orjson
from redis import Redis, RedisCluster
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio import RedisCluster as AsyncRedisCluster
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisClusterException, RedisError
from redis.retry import Retry

from stream_persona import ranking
from stream_persona.ranking import STRENGTH, Affinities, Ranked, Reason
from stream_persona.shopper import (
    AMBIGUOUS,
    FALLBACKS,
    HOLDOUT,
    UNKNOWN,
    UNREACHABLE,
    UNREADABLE,
    Change,
    Changes,
    Recent,
    Shopper,
    parsed,
)

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        AsyncIterator,
        Callable,
        Iterable,
        Iterator,
        Mapping,
        Sequence,
    )
    from typing import Unpack

#: Seconds that a lookup may take before the baseline is the better answer.
TIMEOUT: Final = 0.05
#: Seconds for which affinities are used before they are read again, in the background.
AFFINITY_SECONDS: Final = 30.0
#: Seconds of silence on the channel of changes after which it is asked whether it is there.
CHANNEL_SECONDS: Final = 5.0
MOST_STRENGTH: Final = 10.0

_AWAY = (RedisError, RedisClusterException, OSError)


class Options(TypedDict, total=False):
    """What clients can be told; ``prefix`` and ``category_separator`` as the workers have them.

    ``timeout`` is in seconds, for connecting and for each answer; nothing is tried twice.
    ``cluster`` says that Redis is a Cluster, ``cache`` how many shoppers are kept in memory,
    ``strength`` how far ``rank`` moves scores (0 to 10).
    """

    prefix: str
    timeout: float
    cluster: bool
    cache: int
    strength: float
    holdout: float
    salt: str
    category_separator: str


class Ranking(NamedTuple):
    """Items for a shopper, the best first; ``fallback`` says why they are in the caller's order."""

    items: tuple[Ranked, ...]
    shopper: Shopper
    fallback: str | None = None

    @property
    def order(self) -> list[Mapping[str, Any]]:
        """The caller's items in their new order."""
        return [ranked.item for ranked in self.items]


class _Lookups:
    """What the clients share: everything but waiting for an answer.

    Raises:
        ValueError: a share or a strength that can't be one.
    """

    def __init__(self, **options: Unpack[Options]) -> None:
        self._prefix = options.get("prefix", "")
        self._strength = _strength(options.get("strength", STRENGTH))
        self._holdout, self._salt = options.get("holdout", 0.0), options.get("salt", "")
        self._separator = options.get("category_separator", "/")
        if not 0 <= self._holdout <= 1:
            raise ValueError(f"holdout: expected a share from 0 to 1, got {self._holdout!r}")
        most = options.get("cache", 0)
        self._recent = Recent(most) if most > 0 else None
        self._affinities = Affinities({})
        self._affinities_until = 0.0
        #: Lookups and rankings without a persona since the start, by reason.
        self.fallbacks: Counter[str] = Counter()

    @property
    def _channel(self) -> str:
        return f"{self._prefix}persona-changes"

    def _key(self, customer_id: str) -> str:
        return f"{self._prefix}persona:{customer_id}"

    def _affinity_keys(self, personas: Iterable[str]) -> list[str]:
        return [f"{self._prefix}persona-affinity:{persona}" for persona in personas]

    def _told(self, shopper: Shopper) -> Shopper:
        if shopper.fallback is not None:
            self.fallbacks[shopper.fallback] += 1
        return shopper

    def _heard(self, message: Mapping[str, Any] | None, *, silent: bool) -> bool:
        """Take in what the channel gave, None after a silence; whether to ask if it is there.

        Raises:
            RedisConnectionError: it was silent before, and asked.
        """
        if self._recent is None or message is None:
            if silent:
                raise RedisConnectionError("the channel of changes is silent")
            return True
        if message["type"] == "subscribe":
            self._recent.begin(fresh=True)
        elif message["type"] == "message":
            with suppress(KeyError, TypeError, ValueError):
                self._recent.forget(orjson.loads(message["data"])["customer_id"])
        return False

    def _take_affinities(self, personas: Sequence[str], found: Sequence[dict[Any, Any]]) -> None:
        lifts = {
            persona: {token.decode(): float(lift) for token, lift in own.items()}
            for persona, own in zip(personas, found, strict=True)
        }
        self._affinities = Affinities(lifts)
        self._affinities_until = time.monotonic() + AFFINITY_SECONDS

    @property
    def _due(self) -> bool:
        return time.monotonic() >= self._affinities_until

    def _baseline(
        self, items: Sequence[Mapping[str, Any]], shopper: Shopper, reason: str
    ) -> Ranking:
        return Ranking(tuple(ranking.as_given(items)), shopper, reason)

    def _held_out(self, items: Sequence[Mapping[str, Any]], customer_id: str) -> Ranking | None:
        if not ranking.in_holdout(customer_id, self._holdout, self._salt):
            return None
        self.fallbacks[HOLDOUT] += 1
        return self._baseline(items, Shopper(customer_id, fallback=HOLDOUT), HOLDOUT)

    def _ranked(
        self, items: Sequence[Mapping[str, Any]], shopper: Shopper, strength: float | None
    ) -> Ranking:
        if shopper.persona is None:  # counted when it was looked up
            return self._baseline(items, shopper, shopper.fallback or UNKNOWN)
        if not self._affinities:
            self.fallbacks[UNREACHABLE] += 1
            return self._baseline(items, shopper, UNREACHABLE)
        pinned = shopper.source == "assigned"
        chosen = self._strength if strength is None else _strength(strength)
        moved = ranking.rank(
            items, {shopper.persona: 1.0} if pinned else shopper.distribution,
            self._affinities, chosen, self._separator,
        )  # fmt: skip
        return Ranking(tuple(moved), shopper)


class PersonaClient(_Lookups):
    """Lookups from threads; one client serves all of them. See ``Options``."""

    def __init__(self, url: str = "redis://localhost:6379/0", **options: Unpack[Options]) -> None:
        super().__init__(**options)
        timeout = options.get("timeout", TIMEOUT)
        kind: Any = RedisCluster if options.get("cluster") else Redis
        self._redis: Any = None
        self._open: Callable[[], Any] = lambda: kind.from_url(
            url, socket_timeout=timeout, socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 0),
        )  # fmt: skip
        self._clustered = bool(options.get("cluster"))
        self._lock = threading.Lock()
        self._loading = threading.Lock()
        self._closed = threading.Event()
        self._following: threading.Thread | None = None

    def get(self, customer_id: str) -> Shopper:
        """A customer's persona of now."""
        if self._recent is None:
            return self._told(self._looked_up([customer_id])[0])
        return self.get_many([customer_id])[customer_id]

    def get_many(self, customer_ids: Iterable[str]) -> dict[str, Shopper]:
        """The personas of several customers, in one round trip."""
        customers = list(dict.fromkeys(customer_ids))
        if self._recent is None:
            looked_up = self._looked_up(customers)
            return {shopper.customer_id: self._told(shopper) for shopper in looked_up}
        self._follow()
        with self._lock:
            found = {customer: self._recent.get(customer) for customer in customers}
            missing = [customer for customer, kept in found.items() if kept is None]
            asked = [self._recent.asking(customer) for customer in missing]
        answers = self._looked_up(missing)
        with self._lock:
            for mark, shopper in zip(asked, answers, strict=True):
                self._recent.keep(mark, shopper)
        found |= zip(missing, answers, strict=True)
        return {customer: self._told(kept) for customer, kept in found.items() if kept is not None}

    def rank(
        self,
        items: Iterable[Mapping[str, Any]],
        customer_id: str,
        *,
        strength: float | None = None,
    ) -> Ranking:
        """Items in the order that suits the shopper; see ``stream_persona.ranking``.

        An item is a mapping with an optional ``score`` and the fields of an event's item:
        ``product_id``, ``category``, ``brand``, ``price``, ``attributes``.
        """
        given = list(items)
        held_out = self._held_out(given, customer_id)
        if held_out is not None:
            return held_out
        shopper = self.get(customer_id)
        if shopper.persona is not None and self._due:
            self._renew(tuple(shopper.distribution))
        return self._ranked(given, shopper, strength)

    def watch(
        self,
        brokers: str = "localhost:9092",
        topic: str = "persona-changes",
        *,
        group: str | None = None,
        from_beginning: bool = False,
    ) -> Iterator[Change]:
        """Changes as they happen; see ``AsyncPersonaClient.watch``."""
        with asyncio.Runner() as runner:
            changes = _watch(brokers, topic, group=group, from_beginning=from_beginning)

            async def following() -> Change:
                return await anext(changes)

            try:
                while True:
                    yield runner.run(following())
            finally:
                runner.run(changes.aclose())

    def close(self) -> None:
        """Give the connections back."""
        self._closed.set()
        if self._following is not None:
            self._following.join()
        if self._redis is not None:
            self._redis.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _client(self) -> Any:  # noqa: ANN401 - a server's client or a Cluster's
        if self._redis is None:  # a Cluster is asked for its nodes as soon as it is made
            with self._loading:
                self._redis = self._redis or self._open()
        return self._redis

    def _looked_up(self, customers: Sequence[str]) -> list[Shopper]:
        if not customers:
            return []
        keys = [self._key(customer) for customer in customers]
        try:
            redis = self._client()
            if len(keys) == 1:
                blobs = [redis.get(keys[0])]
            else:
                blobs = redis.mget_nonatomic(keys) if self._clustered else redis.mget(keys)
        except _AWAY:
            return [Shopper(customer, fallback=UNREACHABLE) for customer in customers]
        return [parsed(customer, blob) for customer, blob in zip(customers, blobs, strict=True)]

    def _renew(self, personas: Sequence[str]) -> None:
        """Read affinities: at once when there are none yet, else while others use the old ones."""
        if not self._affinities:
            self._load(personas)
        elif self._loading.acquire(blocking=False):
            self._affinities_until = time.monotonic() + AFFINITY_SECONDS
            self._loading.release()
            threading.Thread(target=self._load, args=[personas], daemon=True).start()

    def _load(self, personas: Sequence[str]) -> None:
        try:
            pipeline = self._client().pipeline(transaction=False)
            for key in self._affinity_keys(personas):
                pipeline.hgetall(key)
            self._take_affinities(personas, pipeline.execute())
        except _AWAY:
            return

    def _follow(self) -> None:
        if self._following is None:
            with self._lock:
                if self._following is None:
                    self._following = threading.Thread(target=self._listen, daemon=True)
                    self._following.start()

    def _listen(self) -> None:
        while not self._closed.is_set():
            try:
                self._subscribed()
            except _AWAY:
                pass
            finally:
                with self._lock:
                    if self._recent is not None:
                        self._recent.begin(fresh=False)
            self._closed.wait(0.5)

    def _subscribed(self) -> None:
        with self._client().pubsub() as pubsub:
            pubsub.subscribe(self._channel)
            silent, until = False, time.monotonic() + CHANNEL_SECONDS
            while not self._closed.is_set():
                message = pubsub.get_message(timeout=0.1)
                if message is None and time.monotonic() < until:
                    continue
                with self._lock:
                    silent = self._heard(message, silent=silent)
                until = time.monotonic() + CHANNEL_SECONDS
                if silent:
                    pubsub.ping()


class AsyncPersonaClient(_Lookups):
    """The same on an event loop."""

    def __init__(self, url: str = "redis://localhost:6379/0", **options: Unpack[Options]) -> None:
        super().__init__(**options)
        timeout = options.get("timeout", TIMEOUT)
        self._clustered = bool(options.get("cluster"))
        kind: Any = AsyncRedisCluster if self._clustered else AsyncRedis
        self._redis: Any = kind.from_url(
            url, socket_timeout=timeout, socket_connect_timeout=timeout,
            retry=AsyncRetry(NoBackoff(), 0),
        )  # fmt: skip
        self._tasks: set[asyncio.Task[None]] = set()
        self._following: asyncio.Task[None] | None = None
        self._renewing: asyncio.Task[None] | None = None

    async def get(self, customer_id: str) -> Shopper:
        """A customer's persona of now."""
        if self._recent is None:
            return self._told((await self._looked_up([customer_id]))[0])
        return (await self.get_many([customer_id]))[customer_id]

    async def get_many(self, customer_ids: Iterable[str]) -> dict[str, Shopper]:
        """The personas of several customers, in one round trip."""
        customers = list(dict.fromkeys(customer_ids))
        recent = self._recent
        if recent is None:
            looked_up = await self._looked_up(customers)
            return {shopper.customer_id: self._told(shopper) for shopper in looked_up}
        if self._following is None:
            self._following = asyncio.create_task(self._listen())
        found = {customer: recent.get(customer) for customer in customers}
        missing = [customer for customer, kept in found.items() if kept is None]
        asked = [recent.asking(customer) for customer in missing]
        answers = await self._looked_up(missing)
        for mark, shopper in zip(asked, answers, strict=True):
            recent.keep(mark, shopper)
        found |= zip(missing, answers, strict=True)
        return {customer: self._told(kept) for customer, kept in found.items() if kept is not None}

    async def rank(
        self,
        items: Iterable[Mapping[str, Any]],
        customer_id: str,
        *,
        strength: float | None = None,
    ) -> Ranking:
        """Items in the order that suits the shopper; see ``PersonaClient.rank``."""
        given = list(items)
        held_out = self._held_out(given, customer_id)
        if held_out is not None:
            return held_out
        shopper = await self.get(customer_id)
        if shopper.persona is not None and self._due:
            await self._renew(tuple(shopper.distribution))
        return self._ranked(given, shopper, strength)

    def watch(
        self,
        brokers: str = "localhost:9092",
        topic: str = "persona-changes",
        *,
        group: str | None = None,
        from_beginning: bool = False,
    ) -> AsyncIterator[Change]:
        """Changes as they happen, each once, for ever; waits while the broker is away.

        ``from_beginning=True`` starts with the last known change of every customer (the topic is
        compacted). ``group`` shares the partitions among the watchers of one name, and begins
        where these have ended; what was yielded last before a crash may come again.

        Raises:
            ImportError: ``aiokafka`` is not installed.
        """
        return _watch(brokers, topic, group=group, from_beginning=from_beginning)

    async def close(self) -> None:
        """Give the connections back."""
        tasks = [task for task in (self._following, self._renewing) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._redis.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _looked_up(self, customers: Sequence[str]) -> list[Shopper]:
        if not customers:
            return []
        keys, redis = [self._key(customer) for customer in customers], self._redis
        try:
            if len(keys) == 1:
                blobs = [await redis.get(keys[0])]
            else:
                ask = redis.mget_nonatomic if self._clustered else redis.mget
                blobs = await ask(keys)
        except _AWAY:
            return [Shopper(customer, fallback=UNREACHABLE) for customer in customers]
        return [parsed(customer, blob) for customer, blob in zip(customers, blobs, strict=True)]

    async def _renew(self, personas: Sequence[str]) -> None:
        if not self._affinities:
            await self._load(personas)
        elif self._renewing is None or self._renewing.done():
            self._renewing = asyncio.create_task(self._load(personas))

    async def _load(self, personas: Sequence[str]) -> None:
        try:
            pipeline = self._redis.pipeline(transaction=False)
            for key in self._affinity_keys(personas):
                pipeline.hgetall(key)
            self._take_affinities(personas, await pipeline.execute())
        except _AWAY:
            return

    async def _listen(self) -> None:
        recent = self._recent
        while recent is not None:
            try:
                await self._subscribed()
            except _AWAY:
                pass
            finally:
                recent.begin(fresh=False)
            await asyncio.sleep(0.5)

    async def _subscribed(self) -> None:
        if self._clustered:  # its client finds the nodes with the first command, but not for this
            await self._redis.initialize()
        async with self._redis.pubsub() as pubsub:
            await pubsub.subscribe(self._channel)
            silent = False
            while True:
                message = await pubsub.get_message(timeout=CHANNEL_SECONDS)
                silent = self._heard(message, silent=silent)
                if silent:
                    await pubsub.ping()


async def _watch(
    brokers: str, topic: str, *, group: str | None, from_beginning: bool
) -> AsyncGenerator[Change]:
    from aiokafka import AIOKafkaConsumer  # noqa: PLC0415 - lookups do without it

    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=brokers, group_id=group, isolation_level="read_committed",
        auto_offset_reset="earliest" if from_beginning else "latest",
        enable_auto_commit=group is not None,
    )  # fmt: skip
    changes = Changes()
    await consumer.start()
    try:
        async for message in consumer:
            change = changes.read(message.key, message.value)
            if change is not None:
                yield change
    finally:
        await consumer.stop()


def _strength(strength: float) -> float:
    if not 0 <= strength <= MOST_STRENGTH:
        raise ValueError(f"strength: expected 0 to {MOST_STRENGTH:g}, got {strength!r}")
    return strength


__all__ = [
    "AMBIGUOUS", "FALLBACKS", "HOLDOUT", "TIMEOUT", "UNKNOWN", "UNREACHABLE", "UNREADABLE",
    "AsyncPersonaClient", "Change", "Options", "PersonaClient", "Ranked", "Ranking", "Reason",
    "Shopper",
]  # fmt: skip
