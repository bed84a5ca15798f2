"""What the blocking and the asynchronous client share: everything but waiting for an answer."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, TypedDict

import orjson
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisClusterException, RedisError

from stream_persona.client import decision
from stream_persona.client.cache import ShopperCache
from stream_persona.client.decision import AMBIGUOUS_RANKINGS, Choice
from stream_persona.client.models import HOLDOUT, UNKNOWN, UNREACHABLE, Shopper
from stream_persona.client.own_tastes import (
    MOST_OWN,
    OFF,
    CommonShares,
    Own,
    find_own,
)
from stream_persona.client.ranking import MOST_STRENGTH, Affinities
from stream_persona.client.renewal import Renewal
from stream_persona.domain.common_tastes import decode_common
from stream_persona.domain.identity import NobodyIds, is_customer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Unpack

    from stream_persona.client.decision import Ranking

#: Seconds that a lookup may take before the baseline is the better answer.
TIMEOUT: Final = 0.05
#: Seconds of silence on the channel of changes after which the connection is pinged.
CHANNEL_SECONDS: Final = 5.0
#: Seconds between the loss of that channel and the next attempt to subscribe.
RECONNECT_SECONDS: Final = 0.5

#: What Redis's clients raise when it can't answer.
REDIS_ERRORS: Final = (RedisError, RedisClusterException, OSError)


class Options(TypedDict, total=False):
    """The options of a client; ``prefix`` and ``category_separator`` as the workers have them.

    ``timeout`` is in seconds, for connecting and for each answer; nothing is tried twice.
    ``cluster`` is for a Redis Cluster, ``cache`` is how many shoppers are kept in memory,
    ``strength`` how far ``rank`` moves scores (0 to 10) and ``own`` how far the shopper's own
    tastes do (0 to 10; 0, the default, is off), ``ambiguous`` whether ambiguous shoppers keep the
    ``baseline`` or are ranked by the ``mixture`` of their personas. ``clock`` gives seconds that
    only grow, by default those of ``time.monotonic``. ``nobody_ids`` are the ids that stand for
    nobody, where the workers have others than the default ones.
    """

    prefix: str
    timeout: float
    cluster: bool
    cache: int
    strength: float
    own: float
    ambiguous: str
    holdout: float
    salt: str
    category_separator: str
    nobody_ids: Iterable[str]
    clock: Callable[[], float]


class BaseClient:
    """The state of a client, and what it does between a question and the next one.

    Raises:
        ValueError: ``holdout``, ``strength`` or ``own`` is out of its bounds, ``ambiguous`` is
            neither of the two, or the separator is empty.
    """

    def __init__(self, **options: Unpack[Options]) -> None:
        self._prefix = options.get("prefix", "")
        self._choice = Choice()
        self._choice = self._choose(
            options.get("strength"), options.get("own"), options.get("ambiguous")
        )
        self._holdout, self._salt = options.get("holdout", 0.0), options.get("salt", "")
        self._separator = options.get("category_separator", "/")
        if not 0 <= self._holdout <= 1:
            raise ValueError(f"holdout: expected a share from 0 to 1, got {self._holdout!r}")
        if not self._separator:
            raise ValueError("category_separator: expected a text that is not empty")
        self._nobody = NobodyIds(options.get("nobody_ids", ()))
        capacity = options.get("cache", 0)
        self._cache = ShopperCache(capacity) if capacity > 0 else None
        self._clock = options.get("clock", time.monotonic)
        self._affinities = Affinities({})
        self._common = CommonShares()
        self._renewal = Renewal[dict[str, float]](self._clock)
        self._renewal_of_common = Renewal[CommonShares](self._clock)
        #: Guards what is made once, or by one caller at a time.
        self._lock = Lock()
        #: Lookups and rankings without a persona since the start, by reason.
        self.fallbacks: Counter[str] = Counter()
        #: Rankings that own tastes have not moved, though asked for, by reason.
        self.own_fallbacks: Counter[str] = Counter()

    @property
    def _channel(self) -> str:
        return f"{self._prefix}persona-changes"

    def _make_record_keys(self, customer_ids: Iterable[str]) -> list[str]:
        return [f"{self._prefix}persona:{customer}" for customer in customer_ids]

    def _make_affinity_keys(self, personas: Iterable[str]) -> list[str]:
        return [f"{self._prefix}persona-affinity:{persona}" for persona in personas]

    def _make_tastes_key(self, customer_id: str) -> str:
        return f"{self._prefix}persona-tastes:{customer_id}"

    @property
    def _common_key(self) -> str:
        return f"{self._prefix}persona-common-tastes"

    def _may_be_known(self, customer_id: object) -> bool:
        """Whether Redis may know an id, whatever its type; others are not looked up."""
        return is_customer(customer_id, self._nobody)

    def _choose(self, strength: float | None, own: float | None, ambiguous: str | None) -> Choice:
        """Return the client's own choice with what is not None in its place.

        Raises:
            ValueError: ``strength`` or ``own`` is out of its bounds, or ``ambiguous`` neither.
        """
        given = self._choice
        return Choice(
            given.strength if strength is None else _check("strength", strength, MOST_STRENGTH),
            given.own if own is None else _check("own", own, MOST_OWN),
            given.ambiguous if ambiguous is None else _check_ambiguous(ambiguous),
        )

    def _count(self, fallback: str | None) -> None:
        if fallback is not None:
            self.fallbacks[fallback] += 1

    def _receive(self, message: Mapping[str, Any] | None, *, is_pinged: bool) -> bool:
        """Handle a message of the channel, None after a silence; return whether to ping.

        Raises:
            RedisConnectionError: the channel is silent although it was pinged.
        """
        if self._cache is None or message is None:
            if is_pinged:
                raise RedisConnectionError("the channel of changes is silent")
            return True
        if message["type"] == "subscribe":
            self._cache.resume()
        elif message["type"] == "message":
            with suppress(KeyError, TypeError, ValueError):
                self._cache.invalidate(orjson.loads(message["data"])["customer_id"])
        return False

    def _keep_affinities(self, personas: Sequence[str], hashes: Sequence[dict[Any, Any]]) -> None:
        """Use the lifts of ``persona-affinity:*``, which Redis gave for these personas."""
        lifts = [dict(_read_lifts(fields)) for fields in hashes]
        with self._lock:
            known = self._renewal.keep(dict(zip(personas, lifts, strict=True)))
            self._affinities = Affinities(known)

    def _keep_common(self, fields: Mapping[bytes, bytes]) -> None:
        """Use the shares of ``persona-common-tastes``, which Redis gave."""
        self._common = CommonShares(*decode_common(fields))
        self._renewal_of_common.keep({self._common_key: self._common})

    def _hold_out(self, customer_id: str) -> Shopper | None:
        """Return the shopper to rank for without a lookup; None where there has to be one."""
        if not self._may_be_known(customer_id):
            return Shopper(customer_id)
        return decision.hold_out(customer_id, self._holdout, self._salt)

    def _find_own(self, customer_id: str, tastes: bytes | None, choice: Choice) -> Own:
        return find_own(customer_id, tastes, self._common, choice.own)

    def _rank(
        self, shopper: Shopper, items: Sequence[Mapping[str, Any]], choice: Choice, own: Own
    ) -> Ranking:
        ranking = decision.rank_for(
            shopper, items, self._affinities, choice.strength, self._separator,
            own=own, ambiguous=choice.ambiguous,
        )  # fmt: skip
        self._count(ranking.fallback)
        if ranking.own_fallback is not None:
            self.own_fallbacks[ranking.own_fallback] += 1
        return ranking


def find_own_without_lookup(shopper: Shopper, choice: Choice, *, is_known: bool) -> Own | None:
    """Return a shopper's own tastes where they need no lookup; None where they do."""
    if not choice.own:
        return OFF
    if shopper.fallback in {HOLDOUT, UNREACHABLE}:
        return Own(choice.own, fallback=shopper.fallback)
    return None if is_known else Own(choice.own, fallback=UNKNOWN)


def _read_lifts(lifts: Mapping[bytes, bytes]) -> Iterator[tuple[str, float]]:
    """Yield tokens and their lifts; what is damaged of them is left out."""
    for token, lift in lifts.items():
        with suppress(ValueError):
            yield token.decode(), float(lift)


def _check(name: str, value: float, most: float) -> float:
    if not isinstance(value, int | float) or not 0 <= value <= most:
        raise ValueError(f"{name}: expected 0 to {most:g}, got {value!r}")
    return value


def _check_ambiguous(ambiguous: str) -> str:
    if ambiguous not in AMBIGUOUS_RANKINGS:
        named = " or ".join(AMBIGUOUS_RANKINGS)
        raise ValueError(f"ambiguous: expected {named}, got {ambiguous!r}")
    return ambiguous
