"""The client on an event loop; import it from ``stream_persona.client``."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from stream_persona.client.base import (
    CHANNEL_SECONDS,
    RECONNECT_SECONDS,
    REDIS_ERRORS,
    TIMEOUT,
    BaseClient,
    find_own_without_lookup,
)
from stream_persona.client.changes import watch
from stream_persona.client.decision import uses_affinities
from stream_persona.client.lookup import Lookup, as_list
from stream_persona.client.models import UNREACHABLE, Shopper, parse_shopper
from stream_persona.client.own_tastes import Own
from stream_persona.client.renewal import When

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
    from typing import Unpack

    from stream_persona.client.base import Options
    from stream_persona.client.cache import ShopperCache
    from stream_persona.client.decision import Choice, Ranking
    from stream_persona.client.models import Change
    from stream_persona.client.renewal import Renewal

#: Seconds until a cancellation is taken for lost.
_CANCEL_SECONDS = 0.5


class AsyncPersonaClient(BaseClient):
    """Lookups on one event loop. See ``Options``."""

    def __init__(self, url: str = "redis://localhost:6379/0", **options: Unpack[Options]) -> None:
        super().__init__(**options)
        timeout = options.get("timeout", TIMEOUT)
        self._is_cluster = bool(options.get("cluster"))
        kind: Any = RedisCluster if self._is_cluster else Redis
        self._redis: Any = kind.from_url(
            url, socket_timeout=timeout, socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 0),
        )  # fmt: skip
        self._listener: asyncio.Task[None] | None = None
        self._renewing: set[asyncio.Task[None]] = set()

    async def get(self, customer_id: str) -> Shopper:
        """Return a customer's persona of now."""
        shopper = await self._look_up_one(customer_id)
        self._count(shopper.fallback)
        return shopper

    async def get_many(self, customer_ids: Iterable[str]) -> dict[str, Shopper]:
        """Return the personas of several customers, in one round trip."""
        shoppers = await self._look_up(customer_ids)
        for shopper in shoppers.values():
            self._count(shopper.fallback)
        return shoppers

    async def rank(
        self,
        items: Iterable[Mapping[str, Any]],
        customer_id: str,
        *,
        strength: float | None = None,
        own: float | None = None,
        ambiguous: str | None = None,
    ) -> Ranking:
        """Put items in the order that suits the shopper; see ``PersonaClient.rank``."""
        given, choice = as_list(items), self._choose(strength, own, ambiguous)
        shopper = self._hold_out(customer_id) or await self._look_up_one(customer_id)
        if uses_affinities(shopper, choice.ambiguous):
            await self._renew(self._renewal, self._load_affinities, tuple(shopper.distribution))
        return self._rank(shopper, given, choice, await self._look_up_own(shopper, choice))

    def watch(
        self,
        brokers: str = "localhost:9092",
        topic: str = "persona-changes",
        *,
        group: str | None = None,
        from_beginning: bool = False,
        connection: Mapping[str, Any] | None = None,
    ) -> AsyncIterator[Change]:
        """Yield changes as they happen, each once, for ever; wait while the broker is away.

        ``from_beginning=True`` starts with the last known change of every customer (the topic is
        compacted). ``group`` shares the partitions among the watchers of one name, and begins
        where these have ended; what was yielded last before a crash may come again. ``connection``
        are options of ``AIOKafkaConsumer`` for a login and certificates, such as those that
        ``stream_persona.kafka.connection.connection_options(load_settings())`` makes.

        Raises:
            ImportError: ``aiokafka`` is not installed.
        """
        return watch(
            brokers,
            topic,
            self._nobody,
            group=group,
            from_beginning=from_beginning,
            connection=connection,
        )

    async def close(self) -> None:
        """Give the connections back."""
        pending = {task for task in (self._listener, *self._renewing) if task is not None}
        while pending:  # up to Python 3.11, what writes to Redis may lose a cancellation
            for task in pending:
                task.cancel()
            _, pending = await asyncio.wait(pending, timeout=_CANCEL_SECONDS)
        await self._redis.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _look_up_one(self, customer_id: str) -> Shopper:
        """Look a customer up; without a cache, by nothing but the question and its answer."""
        if not self._may_be_known(customer_id):
            return Shopper(customer_id)
        if self._cache is not None:
            return (await self._look_up([customer_id]))[customer_id]
        try:
            (record,) = await self._read_records([customer_id])
        except REDIS_ERRORS:
            return Shopper(customer_id, fallback=UNREACHABLE)
        return parse_shopper(customer_id, record)

    async def _look_up(self, customer_ids: Iterable[str]) -> dict[str, Shopper]:
        if self._cache is not None and self._listener is None:
            self._listener = asyncio.create_task(self._listen(self._cache))
        found = Lookup(customer_ids, self._cache, self._nobody)
        with found as lookup, suppress(*REDIS_ERRORS):
            lookup.answer(await self._read_records(lookup.missing))
        return lookup.shoppers

    async def _renew(
        self,
        renewal: Renewal[Any],
        load: Callable[[Sequence[str]], Coroutine[Any, Any, None]],
        wanted: Sequence[str],
    ) -> None:
        """Read what is shared by shoppers if it is time: at once, or while others use the old."""
        when = renewal.claim(wanted)
        if when is When.NOT:
            return
        reading = load(renewal.list_parts(wanted))
        if when is When.AT_ONCE:
            await reading
        else:
            task = asyncio.create_task(reading)
            self._renewing.add(task)
            task.add_done_callback(self._renewing.discard)

    async def _look_up_own(self, shopper: Shopper, choice: Choice) -> Own:
        """Look a shopper's own tastes up, unless they are off or cannot be known."""
        customer = shopper.customer_id
        known = find_own_without_lookup(shopper, choice, is_known=self._may_be_known(customer))
        if known is not None:
            return known
        await self._renew(self._renewal_of_common, self._load_common, (self._common_key,))
        try:
            return self._find_own(customer, await self._read_tastes(customer), choice)
        except REDIS_ERRORS:
            return Own(choice.own, fallback=UNREACHABLE)

    async def _load_common(self, _: Sequence[str]) -> None:
        with suppress(*REDIS_ERRORS):
            self._keep_common(await self._read_common())

    async def _load_affinities(self, personas: Sequence[str]) -> None:
        with suppress(*REDIS_ERRORS):
            self._keep_affinities(personas, await self._read_affinities(personas))

    async def _read_records(self, customer_ids: Sequence[str]) -> Sequence[bytes | None]:
        """Return the public records; raises one of ``REDIS_ERRORS``."""
        if not customer_ids:
            return []
        redis, keys = self._redis, self._make_record_keys(customer_ids)
        if len(keys) == 1:
            return [await redis.get(keys[0])]
        records: list[bytes | None] = await (
            redis.mget_nonatomic if self._is_cluster else redis.mget
        )(keys)
        return records

    async def _read_affinities(self, personas: Sequence[str]) -> Sequence[dict[Any, Any]]:
        """Return the personas' hashes of lifts; raises one of ``REDIS_ERRORS``."""
        pipeline = self._redis.pipeline(transaction=False)
        for key in self._make_affinity_keys(personas):
            pipeline.hgetall(key)
        hashes: list[dict[Any, Any]] = await pipeline.execute()
        return hashes

    async def _read_tastes(self, customer_id: str) -> bytes | None:
        """Return a customer's stored tastes; raises one of ``REDIS_ERRORS``."""
        tastes: bytes | None = await self._redis.get(self._make_tastes_key(customer_id))
        return tastes

    async def _read_common(self) -> dict[Any, Any]:
        """Return the hash of common shares; raises one of ``REDIS_ERRORS``."""
        fields: dict[Any, Any] = await self._redis.hgetall(self._common_key)
        return fields

    async def _listen(self, cache: ShopperCache) -> None:
        while True:
            try:
                await self._follow_channel()
            except REDIS_ERRORS:
                pass
            finally:
                cache.suspend()
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _follow_channel(self) -> None:
        if self._is_cluster:  # its client finds the nodes with the first command, but not for this
            await self._redis.initialize()
        async with self._redis.pubsub() as pubsub:
            await pubsub.subscribe(self._channel)
            is_pinged = False
            while True:
                message = await pubsub.get_message(timeout=CHANNEL_SECONDS)
                is_pinged = self._receive(message, is_pinged=is_pinged)
                if is_pinged:
                    await pubsub.ping()
