"""A shopper and a change of one, parsed from the public JSON: typed and immutable.

This module needs ``orjson`` alone.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from stream_persona.client.ranking import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Why a lookup has no persona: the customer has no record; the model is not sure; Redis did not
#: answer in time; the value in Redis is no public record. A ranking also keeps the caller's order
#: where no affinities of the personas are known (``unreachable``) and for who is held out.
UNKNOWN, AMBIGUOUS, UNREACHABLE, UNREADABLE = "unknown", "ambiguous", "unreachable", "unreadable"
HOLDOUT: Final = "holdout"
FALLBACKS: Final = (UNKNOWN, AMBIGUOUS, UNREACHABLE, UNREADABLE, HOLDOUT)

_EMPTY: Mapping[str, float] = MappingProxyType({})


class Shopper(NamedTuple):
    """What is known of a customer. ``persona`` None means: rank as you would without it.

    ``fallback`` is why there is no persona, None where there is one. ``distribution`` has a
    probability for each persona, also while none is named; ``candidates`` are those that remain
    possible. ``evidence`` is the decayed number of events, ``revision`` that of the last change.
    """

    customer_id: str
    persona: str | None = None
    fallback: str | None = UNKNOWN
    confidence: float = 0.0
    ambiguous: bool = True
    source: str = "predicted"
    distribution: Mapping[str, float] = _EMPTY
    candidates: tuple[str, ...] = ()
    why: tuple[Reason, ...] = ()
    evidence: float = 0.0
    revision: int = 0
    updated_at: str = ""
    model_version: str = ""
    taxonomy_version: str = ""


class Change(NamedTuple):
    """A change of a customer's persona, or their deletion (``deleted``, with nothing else).

    ``previous`` is the persona named before; None, like ``persona``, while none was.
    """

    customer_id: str
    revision: int = 0
    persona: str | None = None
    previous: str | None = None
    cause: str = ""
    confidence: float = 0.0
    ambiguous: bool = True
    source: str = "predicted"
    distribution: Mapping[str, float] = _EMPTY
    why: tuple[Reason, ...] = ()
    change_id: str = ""
    occurred_at: str = ""
    published_at: str = ""
    deleted: bool = False


def parse_shopper(customer_id: str, record: bytes | None) -> Shopper:
    """Parse a public record, None where there is none; no bytes raise an exception.

    >>> parse_shopper("C-1", b"not JSON").fallback
    'unreadable'
    """
    if record is None:
        return Shopper(customer_id)
    try:
        return _build_shopper(customer_id, orjson.loads(record))
    except (KeyError, TypeError, ValueError, AttributeError):
        return Shopper(customer_id, fallback=UNREADABLE)


def _build_shopper(customer_id: str, record: dict[str, Any]) -> Shopper:
    if record["customer_id"] != customer_id:
        raise ValueError("the record is another customer's")
    persona = record["persona"]
    if not isinstance(persona, str | None):
        raise TypeError("the persona is no name")
    return Shopper(
        customer_id,
        persona,
        AMBIGUOUS if persona is None else None,
        record["confidence"],
        record["ambiguous"],
        record["source"],
        MappingProxyType(record["distribution"]),
        tuple(record["candidates"]),
        _read_reasons(record),
        record["evidence"],
        record["revision"],
        record["updated_at"],
        record["model_version"],
        record["taxonomy_version"],
    )


def _read_reasons(record: dict[str, Any]) -> tuple[Reason, ...]:
    return tuple([Reason(why["feature"], why["value"], why["lift"]) for why in record["why"]])


def parse_change(value: bytes) -> Change:
    """Parse the value of a message of ``persona-changes`` that is no tombstone.

    Raises:
        ValueError: the value is no JSON.
        KeyError, TypeError, AttributeError: it is no change.
    """
    message = orjson.loads(value)
    current, previous = message["current"], message["previous"]
    return Change(
        message["customer_id"],
        message["revision"],
        current["persona"],
        previous["persona"] if previous else None,
        message["cause"],
        current["confidence"],
        current["ambiguous"],
        current["source"],
        MappingProxyType(current["distribution"]),
        _read_reasons(message),
        message["change_id"],
        message["occurred_at"],
        message["published_at"],
    )
