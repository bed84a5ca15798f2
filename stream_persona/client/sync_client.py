"""The blocking client; import it from ``stream_persona.client``."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Self

from redis import Redis, RedisCluster
from redis.backoff import NoBackoff
from redis.retry import Retry

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
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Unpack

    from stream_persona.client.base import Options
    from stream_persona.client.cache import ShopperCache
    from stream_persona.client.decision import Choice, Ranking
    from stream_persona.client.models import Change
    from stream_persona.client.renewal import Renewal

#: Seconds after which the listener looks whether the client was closed.
_CLOSE_SECONDS = 0.1


class PersonaClient(BaseClient):
    """Lookups from threads; one client serves all of them. See ``Options``."""

    def __init__(self, url: str = "redis://localhost:6379/0", **options: Unpack[Options]) -> None:
        super().__init__(**options)
        timeout = options.get("timeout", TIMEOUT)
        self._is_cluster = bool(options.get("cluster"))
        kind: Any = RedisCluster if self._is_cluster else Redis
        self._redis: Any = None
        self._connect: Callable[[], Any] = lambda: kind.from_url(
            url, socket_timeout=timeout, socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 0),
        )  # fmt: skip
        self._closed = Event()
        self._listener: Thread | None = None

    def get(self, customer_id: str) -> Shopper:
        """Return a customer's persona of now; whatever stands for nobody is unknown."""
        shopper = self._look_up_one(customer_id)
        self._count(shopper.fallback)
        return shopper

    def get_many(self, customer_ids: Iterable[str]) -> dict[str, Shopper]:
        """Return the personas of several customers, in one round trip.

        What cannot be a key of the answer, such as a list, is left out.
        """
        shoppers = self._look_up(customer_ids)
        for shopper in shoppers.values():
            self._count(shopper.fallback)
        return shoppers

    def rank(
        self,
        items: Iterable[Mapping[str, Any]],
        customer_id: str,
        *,
        strength: float | None = None,
        own: float | None = None,
        ambiguous: str | None = None,
    ) -> Ranking:
        """Put items in the order that suits the shopper; see ``stream_persona.client.ranking``.

        An item is a mapping with an optional ``score`` and the fields of an event's item:
        ``product_id``, ``category``, ``brand``, ``price``, ``attributes``. What is none keeps its
        place among the others. ``own`` moves items by the shopper's own tastes as well
        (``stream_persona.client.own_tastes`` recommends a strength for each task).

        Raises:
            ValueError: ``strength`` or ``own`` is not from 0 to 10, or ``ambiguous`` neither
                ``baseline`` nor ``mixture``.
        """
        given, choice = as_list(items), self._choose(strength, own, ambiguous)
        shopper = self._hold_out(customer_id) or self._look_up_one(customer_id)
        if uses_affinities(shopper, choice.ambiguous):
            self._renew(self._renewal, self._load_affinities, tuple(shopper.distribution))
        return self._rank(shopper, given, choice, self._look_up_own(shopper, choice))

    def watch(
        self,
        brokers: str = "localhost:9092",
        topic: str = "persona-changes",
        *,
        group: str | None = None,
        from_beginning: bool = False,
        connection: Mapping[str, Any] | None = None,
    ) -> Iterator[Change]:
        """Yield changes as they happen; see ``AsyncPersonaClient.watch``."""
        stream = watch(
            brokers, topic, self._nobody,
            group=group, from_beginning=from_beginning, connection=connection,
        )  # fmt: skip
        reading: set[asyncio.Task[Any] | None] = set()

        async def read_next() -> Change:
            reading.add(task := asyncio.current_task())
            try:
                return await anext(stream)
            finally:
                reading.discard(task)

        async def close() -> None:
            """End the stream, and the task that an interrupt has left reading from it."""
            left = [task for task in reading if task is not None]
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
            await stream.aclose()

        with asyncio.Runner() as runner:
            try:
                while True:
                    yield runner.run(read_next())
            finally:
                runner.run(close())

    def close(self) -> None:
        """Give the connections back."""
        self._closed.set()
        if self._listener is not None:
            self._listener.join()
        if self._redis is not None:
            self._redis.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _look_up_one(self, customer_id: str) -> Shopper:
        """Look a customer up; without a cache, by nothing but the question and its answer."""
        if not self._may_be_known(customer_id):
            return Shopper(customer_id)
        if self._cache is not None:
            return self._look_up([customer_id])[customer_id]
        try:
            (record,) = self._read_records([customer_id])
        except REDIS_ERRORS:
            return Shopper(customer_id, fallback=UNREACHABLE)
        return parse_shopper(customer_id, record)

    def _look_up(self, customer_ids: Iterable[str]) -> dict[str, Shopper]:
        if self._cache is not None and self._listener is None:
            self._start_listener(self._cache)
        found = Lookup(customer_ids, self._cache, self._nobody)
        with found as lookup, suppress(*REDIS_ERRORS):
            lookup.answer(self._read_records(lookup.missing))
        return lookup.shoppers

    def _renew(
        self,
        renewal: Renewal[Any],
        load: Callable[[Sequence[str]], None],
        wanted: Sequence[str],
    ) -> None:
        """Read what is shared by shoppers if it is time: at once, or while others use the old."""
        when = renewal.claim(wanted)
        if when is When.NOT:
            return
        parts = renewal.list_parts(wanted)
        if when is When.AT_ONCE:
            load(parts)
        else:
            Thread(target=load, args=[parts], daemon=True).start()

    def _look_up_own(self, shopper: Shopper, choice: Choice) -> Own:
        """Look a shopper's own tastes up, unless they are off or cannot be known."""
        customer = shopper.customer_id
        known = find_own_without_lookup(shopper, choice, is_known=self._may_be_known(customer))
        if known is not None:
            return known
        self._renew(self._renewal_of_common, self._load_common, (self._common_key,))
        try:
            return self._find_own(customer, self._read_tastes(customer), choice)
        except REDIS_ERRORS:
            return Own(choice.own, fallback=UNREACHABLE)

    def _load_common(self, _: Sequence[str]) -> None:
        with suppress(*REDIS_ERRORS):
            self._keep_common(self._read_common())

    def _load_affinities(self, personas: Sequence[str]) -> None:
        with suppress(*REDIS_ERRORS):
            self._keep_affinities(personas, self._read_affinities(personas))

    def _open(self) -> Any:  # noqa: ANN401 - a server's client or a Cluster's
        if self._redis is None:  # a Cluster is asked for its nodes as soon as it is made
            with self._lock:
                self._redis = self._redis or self._connect()
        return self._redis

    def _read_records(self, customer_ids: Sequence[str]) -> Sequence[bytes | None]:
        """Return the public records; raises one of ``REDIS_ERRORS``."""
        if not customer_ids:
            return []
        redis = self._redis or self._open()
        keys = self._make_record_keys(customer_ids)
        if len(keys) == 1:
            return [redis.get(keys[0])]
        records: list[bytes | None] = (redis.mget_nonatomic if self._is_cluster else redis.mget)(
            keys
        )
        return records

    def _read_affinities(self, personas: Sequence[str]) -> Sequence[dict[Any, Any]]:
        """Return the personas' hashes of lifts; raises one of ``REDIS_ERRORS``."""
        pipeline = self._open().pipeline(transaction=False)
        for key in self._make_affinity_keys(personas):
            pipeline.hgetall(key)
        hashes: list[dict[Any, Any]] = pipeline.execute()
        return hashes

    def _read_tastes(self, customer_id: str) -> bytes | None:
        """Return a customer's stored tastes; raises one of ``REDIS_ERRORS``."""
        tastes: bytes | None = self._open().get(self._make_tastes_key(customer_id))
        return tastes

    def _read_common(self) -> dict[Any, Any]:
        """Return the hash of common shares; raises one of ``REDIS_ERRORS``."""
        fields: dict[Any, Any] = self._open().hgetall(self._common_key)
        return fields

    def _start_listener(self, cache: ShopperCache) -> None:
        with self._lock:
            if self._listener is None:
                self._listener = Thread(target=self._listen, args=[cache], daemon=True)
                self._listener.start()

    def _listen(self, cache: ShopperCache) -> None:
        while not self._closed.is_set():
            try:
                self._follow_channel()
            except REDIS_ERRORS:
                pass
            finally:
                cache.suspend()
            self._closed.wait(RECONNECT_SECONDS)

    def _follow_channel(self) -> None:
        with self._open().pubsub() as pubsub:
            pubsub.subscribe(self._channel)
            is_pinged, deadline = False, self._clock() + CHANNEL_SECONDS
            while not self._closed.is_set():
                message = pubsub.get_message(timeout=_CLOSE_SECONDS)
                if message is None and self._clock() < deadline:
                    continue
                is_pinged = self._receive(message, is_pinged=is_pinged)
                deadline = self._clock() + CHANNEL_SECONDS
                if is_pinged:
                    pubsub.ping()
