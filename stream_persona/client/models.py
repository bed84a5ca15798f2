"""What clients are told of a shopper, and of a change; typed, frozen, from the public JSON.

It needs ``orjson`` alone.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from stream_persona.client.ranking import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Why a lookup has no persona: nobody knows the customer; the model is not sure; Redis did not
#: answer in time; what is stored there is no public record. And why a ranking is the baseline
#: besides: the customer is held out, or the items' scores are no numbers.
UNKNOWN, AMBIGUOUS, UNREACHABLE, UNREADABLE = "unknown", "ambiguous", "unreachable", "unreadable"
HOLDOUT: Final = "holdout"
FALLBACKS: Final = (UNKNOWN, AMBIGUOUS, UNREACHABLE, UNREADABLE, HOLDOUT)


_NOTHING: Mapping[str, float] = MappingProxyType({})


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
    distribution: Mapping[str, float] = _NOTHING
    why: tuple[Reason, ...] = ()
    change_id: str = ""
    occurred_at: str = ""
    published_at: str = ""
    deleted: bool = False


def parsed(customer_id: str, blob: bytes | None) -> Shopper:
    """The shopper of a public record; whatever the bytes are, no exception."""
    if blob is None:
        return Shopper(customer_id)
    try:
        return _shopper(customer_id, orjson.loads(blob))
    except (KeyError, TypeError, ValueError, AttributeError):
        return Shopper(customer_id, fallback=UNREADABLE)


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
        _reasons(record),
        record["evidence"],
        record["revision"],
        record["updated_at"],
        record["model_version"],
        record["taxonomy_version"],
    )


def _reasons(record: dict[str, Any]) -> tuple[Reason, ...]:
    return tuple([Reason(why["feature"], why["value"], why["lift"]) for why in record["why"]])


def parsed_change(message: dict[str, Any]) -> Change:
    """The change of a message of ``persona-changes``; KeyError or TypeError when it is none."""
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
        _reasons(message),
        message["change_id"],
        message["occurred_at"],
        message["published_at"],
    )
