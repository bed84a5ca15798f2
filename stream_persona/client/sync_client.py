"""The blocking client."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any, Self

from redis import Redis, RedisCluster
from redis.backoff import NoBackoff
from redis.retry import Retry

from stream_persona.client.base import (
    AFFINITY_SECONDS,
    AWAY,
    CHANNEL_SECONDS,
    TIMEOUT,
    Lookups,
    Options,
    Ranking,
)
from stream_persona.client.changes import watch
from stream_persona.client.models import (
    UNREACHABLE,
    Change,
    Shopper,
    parsed,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Unpack


class PersonaClient(Lookups):
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
        if self._recent is not None:
            return self.get_many([customer_id])[customer_id]
        try:
            blob = self._client().get(self._key(customer_id))
        except AWAY:
            return self._told(Shopper(customer_id, fallback=UNREACHABLE))
        return self._told(parsed(customer_id, blob))

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
        answers = [Shopper(customer, fallback=UNREACHABLE) for customer in missing]
        try:
            answers = self._looked_up(missing)
        finally:  # also when the caller is interrupted
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
        stream = watch(brokers, topic, group=group, from_beginning=from_beginning)
        asked: set[asyncio.Task[Any] | None] = set()

        async def following() -> Change:
            asked.add(task := asyncio.current_task())
            try:
                return await anext(stream)
            finally:
                asked.discard(task)

        async def closing() -> None:
            """End also what an interrupt has left behind, which may still be asking."""
            left = [task for task in asked if task is not None]
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
            await stream.aclose()

        with asyncio.Runner() as runner:
            try:
                while True:
                    yield runner.run(following())
            finally:
                runner.run(closing())

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
            blobs = redis.mget_nonatomic(keys) if self._clustered else redis.mget(keys)
        except AWAY:
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
        except AWAY:
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
            except AWAY:
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
