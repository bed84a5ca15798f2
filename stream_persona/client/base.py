"""What the blocking and the asynchronous client share: everything but waiting for an answer."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypedDict

import orjson
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisClusterException, RedisError

from stream_persona.client import ranking
from stream_persona.client.cache import Recent
from stream_persona.client.models import HOLDOUT, UNKNOWN, UNREACHABLE, Shopper
from stream_persona.client.ranking import STRENGTH, Affinities, Ranked

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Unpack

#: Seconds that a lookup may take before the baseline is the better answer.
TIMEOUT: Final = 0.05
#: Seconds for which affinities are used before they are read again, in the background.
AFFINITY_SECONDS: Final = 30.0
#: Seconds of silence on the channel of changes after which it is asked whether it is there.
CHANNEL_SECONDS: Final = 5.0
MOST_STRENGTH: Final = 10.0

#: What a client raises when Redis can't answer.
AWAY = (RedisError, RedisClusterException, OSError)


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


class Lookups:
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


def _strength(strength: float) -> float:
    if not 0 <= strength <= MOST_STRENGTH:
        raise ValueError(f"strength: expected 0 to {MOST_STRENGTH:g}, got {strength!r}")
    return strength
