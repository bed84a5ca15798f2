"""The client on an event loop; import it from ``stream_persona.client``."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from stream_persona.client.base import AWAY, CHANNEL_SECONDS, TIMEOUT, Lookups
from stream_persona.client.changes import watch
from stream_persona.client.models import UNREACHABLE, Shopper, parsed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
    from typing import Unpack

    from stream_persona.client.base import Options, Ranking
    from stream_persona.client.models import Change


class AsyncPersonaClient(Lookups):
    """The same on an event loop."""

    def __init__(self, url: str = "redis://localhost:6379/0", **options: Unpack[Options]) -> None:
        super().__init__(**options)
        timeout = options.get("timeout", TIMEOUT)
        self._clustered = bool(options.get("cluster"))
        kind: Any = RedisCluster if self._clustered else Redis
        self._redis: Any = kind.from_url(
            url, socket_timeout=timeout, socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 0),
        )  # fmt: skip
        self._following: asyncio.Task[None] | None = None
        self._renewing: asyncio.Task[None] | None = None

    async def get(self, customer_id: str) -> Shopper:
        """A customer's persona of now."""
        if self._recent is not None:
            return (await self.get_many([customer_id]))[customer_id]
        try:
            blob = await self._redis.get(self._key(customer_id))
        except AWAY:
            return self._told(Shopper(customer_id, fallback=UNREACHABLE))
        return self._told(parsed(customer_id, blob))

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
        answers = [Shopper(customer, fallback=UNREACHABLE) for customer in missing]
        try:
            answers = await self._looked_up(missing)
        finally:  # also when the caller gives up
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
        return watch(brokers, topic, group=group, from_beginning=from_beginning)

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
            ask = redis.mget_nonatomic if self._clustered else redis.mget
            blobs = await ask(keys)
        except AWAY:
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
        except AWAY:
            return

    async def _listen(self) -> None:
        recent = self._recent
        while recent is not None:
            try:
                await self._subscribed()
            except AWAY:
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
