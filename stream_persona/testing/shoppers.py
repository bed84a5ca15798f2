"""The shoppers that a test gives to a client's stub, as Redis and Kafka would hold them."""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, Any, Final

import orjson
from redis.exceptions import ConnectionError as RedisConnectionError

from stream_persona.client.changes import ChangeReader
from stream_persona.domain.binning import canonicalize_token
from stream_persona.domain.common_tastes import CommonShare, encode_common
from stream_persona.domain.taste_bytes import UNITS, encode_tastes, find_level

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from stream_persona.client.models import Change

#: When everything in a test happens, unless events have times of their own.
TIMESTAMP: Final = "2026-01-01T00:00:00.000Z"

#: Personas of distributions that a test does not give: the likeliest where none is named, and the
#: one that has what the likeliest has not.
UNNAMED: Final = "an_unnamed_persona"
OTHERS: Final = "any_other_persona"
#: The version of the taxonomy that all tastes here are of.
_TAXONOMY: Final = "0" * 12


class StubShoppers:
    """Public records and tastes by customer, affinities by persona, common shares, and changes.

    All of them are plain containers of what the real servers would hold, so a test may also put in
    the bytes that it has.
    """

    def __init__(self) -> None:
        self.records: dict[str, bytes] = {}
        self.affinities: dict[str, dict[str, float]] = {}
        self.tastes: dict[str, bytes] = {}
        self.common: dict[str, str] = {}
        self.messages: list[tuple[bytes, bytes | None]] = []
        self._slots: dict[str, int] = {}
        self._is_reachable = True
        self._watched = 0

    def set(
        self,
        customer_id: str,
        persona: str | None,
        *,
        confidence: float = 0.9,
        source: str = "predicted",
        distribution: Mapping[str, float] | None = None,
        evidence: float = 10.0,
    ) -> None:
        """Give a customer a persona, None for an ambiguous one, and publish the change.

        ``source`` is ``predicted`` or ``assigned``. Without a ``distribution`` the persona has its
        confidence, and the rest belongs to another one, which has no affinities.

        Raises:
            ValueError: a distribution does not sum to 1.
        """
        if distribution is None:
            distribution = _divide(persona or UNNAMED, confidence)
        if not math.isclose(total := math.fsum(distribution.values()), 1.0, abs_tol=1e-6):
            raise ValueError(f"a distribution sums to 1; the one of {customer_id} to {total:g}")
        current = {
            "persona": persona, "confidence": confidence, "ambiguous": persona is None,
            "source": source, "distribution": dict(distribution),
        }  # fmt: skip
        last = orjson.loads(self.records.get(customer_id, b"{}"))
        revision = last.get("revision", 0) + 1
        self.records[customer_id] = _encode_record(customer_id, current, revision, evidence)
        previous = {name: last[name] for name in current} if last else None
        change = _encode_change(customer_id, current, revision, previous)
        self.messages.append((customer_id.encode(), change))

    def forget(self, customer_id: str) -> None:
        """Delete a customer, and publish the tombstone."""
        self.records.pop(customer_id, None)
        self.tastes.pop(customer_id, None)
        self.messages.append((customer_id.encode(), None))

    def set_affinities(self, persona: str, lifts: Mapping[str, float]) -> None:
        """Give a persona its lifts by feature, ``category:baby`` or ``brand:Softie``."""
        self.affinities[persona] = dict(lifts)

    def set_tastes(
        self, customer_id: str, shares: Mapping[str, float], *, events: float = 10.0
    ) -> None:
        """Give a customer own tastes: the share of their events with each category or type.

        Keys are tokens such as ``category:baby`` or ``attributes.product_type:cat food``.
        """
        levels = {
            self._number_slot(each): find_level(round(q * UNITS)) for each, q in shares.items()
        }
        slots = sorted(levels)
        self.tastes[customer_id] = encode_tastes(
            customer_id, _TAXONOMY, events, struct.pack(f">{len(slots)}H", *slots),
            bytes(levels[slot] for slot in slots),
        )  # fmt: skip

    def set_common(self, shares: Mapping[str, float]) -> None:
        """Set the common shares of categories and types: shares of all events, by token."""
        known = {canonicalize_token(token): share for token, share in shares.items()}
        self.common = encode_common(
            {token: CommonShare(self._number_slot(token), share) for token, share in known.items()},
            _TAXONOMY,
        )

    def fail(self) -> None:
        """Let lookups find no Redis, until ``recover``."""
        self._is_reachable = False

    def recover(self) -> None:
        """Let lookups be answered again."""
        self._is_reachable = True

    def _stub_records(self, customer_ids: Sequence[str]) -> list[bytes | None]:
        self._check_reachable()
        return [self.records.get(customer) for customer in customer_ids]

    def _stub_affinities(self, personas: Sequence[str]) -> list[dict[Any, Any]]:
        self._check_reachable()
        found = [self.affinities.get(persona, {}) for persona in personas]
        return [{token.encode(): lift for token, lift in lifts.items()} for lifts in found]

    def _stub_tastes(self, customer_id: str) -> bytes | None:
        self._check_reachable()
        return self.tastes.get(customer_id)

    def _stub_common(self) -> dict[Any, Any]:
        self._check_reachable()
        return {field.encode(): text.encode() for field, text in self.common.items()}

    def _number_slot(self, token: str) -> int:
        """Return the slot of a token here; a real one is a hash."""
        return self._slots.setdefault(canonicalize_token(token), len(self._slots) + 1)

    def _stub_changes(self, *, from_beginning: bool) -> Iterator[Change]:
        """Yield the changes that were not watched before, or all, and end after the last."""
        reader = ChangeReader()
        self._watched = 0 if from_beginning else self._watched
        while self._watched < len(self.messages):
            change = reader.read(*self.messages[self._watched])
            self._watched += 1
            if change is not None:
                yield change

    def _check_reachable(self) -> None:
        if not self._is_reachable:
            raise RedisConnectionError("the test let Redis fail")


def _divide(persona: str, confidence: float) -> dict[str, float]:
    """Return the distribution, in millionths as published, of a persona and all others."""
    share = round(1_000_000 * confidence)
    return {persona: share / 1_000_000, OTHERS: (1_000_000 - share) / 1_000_000}


def _encode_record(
    customer_id: str, current: Mapping[str, Any], revision: int, evidence: float
) -> bytes:
    possible = [current["persona"]] if current["persona"] else list(current["distribution"])
    return orjson.dumps({
        "customer_id": customer_id, **current, "candidates": possible, "why": [],
        "evidence": evidence, "revision": revision, "updated_at": TIMESTAMP,
        "model_version": "stub", "taxonomy_version": "stub",
    })  # fmt: skip


def _encode_change(
    customer_id: str,
    current: Mapping[str, Any],
    revision: int,
    previous: Mapping[str, Any] | None,
) -> bytes:
    return orjson.dumps({
        "change_id": f"{customer_id}-{revision}", "customer_id": customer_id, "revision": revision,
        "occurred_at": TIMESTAMP, "published_at": TIMESTAMP,
        "cause": "assignment" if current["source"] == "assigned" else "behaviour",
        "previous": previous, "current": current, "why": [],
        "model_version": "stub", "taxonomy_version": "stub",
    })  # fmt: skip
