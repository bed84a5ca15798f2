"""What a customer has done lately, what each of it weighs, and what was said of it. Pure.

An event counts in the record as its signal says, decayed to the record's clock; its share is of the
record's evidence, so the shares of all events of a customer sum to 1. Which events count is decided
by the worker's own code: what it has not applied yet, what is older than a deletion, and what a
producer has sent twice is left out.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec
import numpy as np
from msgspec import Struct

from stream_persona.domain.binning import levels
from stream_persona.domain.events import BEHAVIOURAL, KINDS, Browse, Purchase, milliseconds
from stream_persona.domain.features import (
    EPOCH_BITS,
    EPOCH_HALF_LIVES,
    granule_weights,
    granules_of,
    profiles,
)
from stream_persona.domain.record import Record
from stream_persona.domain.slots import EVENTS, WEIGHT_UNITS
from stream_persona.domain.tokenizer import Tokenizer
from stream_persona.kafka.router import MessageRouter
from stream_persona.pipeline.apply import APPLIED, Rules, clamped, draft_of
from stream_persona.pipeline.messages import change_message

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aiokafka import ConsumerRecord

    from stream_persona.api.customer_log import Found
    from stream_persona.domain.events import Behaviour, Engagement, Item
    from stream_persona.domain.features import Counts
    from stream_persona.domain.taxonomy import Features, Taxonomy
    from stream_persona.pipeline.apply import Draft
    from stream_persona.pipeline.types import Delivery
    from stream_persona.settings import Settings

    About = list[tuple[str, str]]

#: Most events and posteriors of an answer; the newest ones.
MOST_EVENTS: Final = 50
MOST_POSTERIORS: Final = 40
#: Most features that tell what an event was about, and most characters of a value.
MOST_ABOUT: Final = 4
MOST_SHOWN: Final = 120

_WITHIN: Final = (1 << EPOCH_BITS) - 1
_OLDER: Final = 1 << 16


class _Posterior(Struct, frozen=True):
    persona: str | None
    confidence: float
    ambiguous: bool
    source: str
    distribution: dict[str, float]


class _Change(Struct, frozen=True):
    """What is read of a message of the topic of changes."""

    change_id: str
    revision: int
    published_at: datetime
    cause: str
    current: _Posterior


_changes = msgspec.json.Decoder(_Change)


@dataclass(frozen=True, slots=True)
class Happened:
    """An event that counts, its time as the record has it, and its undecayed weight in quarters."""

    event: Behaviour
    kind: int
    at: int
    quarters: int


def answer(
    customer_id: str, record: Record, found: Found, settings: Settings, taxonomy: Taxonomy
) -> dict[str, Any]:
    """The customer's posteriors, oldest first, and events with their weights, newest first.

    ``record`` has something said, and was read after ``found``.
    """
    counts, features = record.counts, taxonomy.features
    evidence = float(profiles([counts], features).events[0])
    heard = happened(customer_id, record, found.events, settings, taxonomy)
    shown = sorted(heard, key=lambda each: -each.at)[:MOST_EVENTS]
    weights = weights_of(shown, counts, features)
    return {
        "customer_id": customer_id,
        "half_life_seconds": features.half_life_ms / 1_000,
        "clock": counts.clock if len(counts) else None,
        "evidence": evidence,
        "posteriors": posteriors(customer_id, record, found.changes),
        "events": [
            _told(each, weight, evidence, features.category_separator)
            for each, weight in zip(shown, weights, strict=True)
        ],
        "complete": found.complete and len(shown) == len(heard),
    }


# --- events ---


def happened(
    customer_id: str,
    record: Record,
    messages: Sequence[ConsumerRecord],
    settings: Settings,
    taxonomy: Taxonomy,
) -> list[Happened]:
    """The events among messages that the record counts; the last applied of each input first."""
    known = {
        (each.source, each.offset): each  # a topic's and its reroute's are one
        for each in MessageRouter(settings, taxonomy).read(messages).deliveries
        if each.event.customer_id == customer_id
        and each.kind in BEHAVIOURAL
        and each.offset < record.positions.get(each.source, 0)
    }
    deliveries = [known[at] for at in sorted(known)]
    rules = Rules.of(taxonomy, Tokenizer(taxonomy))  # its own, so that no query leaves names behind
    draft = draft_of(0, customer_id, Record(deleted_at=record.deleted_at), ())
    counted = [_counted(each, draft, rules) for each in deliveries]
    return [each for each in reversed(counted) if each is not None]


def _counted(delivery: Delivery, draft: Draft, rules: Rules) -> Happened | None:
    """What an event adds to a draft; None if nothing, since it is too old or was sent twice."""
    before = len(draft.observed)
    if draft.apply(delivery, rules) != APPLIED:
        return None
    quarters = draft.observed[-1].weights[EVENTS] if len(draft.observed) > before else 0
    event = cast("Behaviour", delivery.event)
    return Happened(event, delivery.kind, clamped(delivery, rules.max_future), quarters)


def weights_of(events: Sequence[Happened], counts: Counts, features: Features) -> list[float]:
    """What each event adds to the effective number of events, as of the record's clock.

    It is the arithmetic of ``features.profiles``, so that all of a customer's sum to the evidence.
    """
    granules = granules_of(np.array([each.at for each in events], np.int64), features)
    section = counts.epoch - (granules >> EPOCH_BITS)
    quarters = np.array([each.quarters for each in events], np.int64)
    values = (quarters * granule_weights()[granules & _WITHIN]).astype(np.float64)
    values[section == 1] *= _kept_of_older(counts)
    values[section > 1] = 0.0
    clock = int(granules_of(np.array([counts.clock], np.int64), features)[0])
    unit = int(granule_weights()[clock & _WITHIN]) * WEIGHT_UNITS
    return [value / unit for value in values.tolist()]


def _kept_of_older(counts: Counts) -> float:
    """How much of the older epoch's events is left as it is read: whole units of all together."""
    at = int(np.searchsorted(counts.keys, _OLDER | EVENTS))
    if at == len(counts.keys) or counts.keys[at] != _OLDER | EVENTS:
        return 0.0
    total = int(counts.values[at])
    return (total >> EPOCH_HALF_LIVES) / total


def _told(each: Happened, weight: float, evidence: float, separator: str) -> dict[str, Any]:
    return {
        "kind": KINDS[each.kind].__name__.lower(),
        "event_id": each.event.event_id,
        "occurred_at": each.at,
        "weight": weight,
        "share": weight / evidence if evidence else 0.0,
        "about": [
            {"feature": feature, "value": _short(value)}
            for feature, value in about(each.event, separator)
        ],
    }


def about(event: Behaviour, separator: str) -> About:
    """What a person would say of an event: up to ``MOST_ABOUT`` features with their values."""
    if isinstance(event, Purchase):
        told = _items(event.items, separator)
    elif isinstance(event, Browse):
        searched = [("query", event.query)] if event.query else []
        items = () if event.product is None else (event.product,)
        told = [("action", event.action), *searched, *_items(items, separator)]
    else:
        told = _reaction(event)
    return told[:MOST_ABOUT]


def _items(items: Sequence[Item], separator: str) -> About:
    """Categories at their most specific level, then products, then brands; the most frequent."""
    categories = (levels(each.category, separator)[-1] for each in items if each.category)
    return [
        *_ranked("category", categories),
        *_ranked("product", (each.product_id for each in items)),
        *_ranked("brand", (each.brand for each in items if each.brand)),
    ]


def _ranked(feature: str, values: Iterable[str]) -> About:
    return [(feature, value) for value, _ in Counter(values).most_common(MOST_ABOUT)]


def _reaction(event: Engagement) -> About:
    campaign = [("campaign", event.campaign)] if event.campaign else []
    return [("action", event.action), ("channel", event.channel), *campaign]


def _short(value: str) -> str:
    return value if len(value) <= MOST_SHOWN else f"{value[: MOST_SHOWN - 1]}…"


# --- posteriors ---


def posteriors(
    customer_id: str, record: Record, messages: Sequence[ConsumerRecord]
) -> list[dict[str, Any]]:
    """What was said of the customer since the last deletion, oldest first.

    The record's own word is the last one, whether the log has it yet or not. A log that knows more
    is of a life that was just forgotten: the tombstone is still on its way.
    """
    own = _changes.decode(change_message(customer_id, record))
    told = _last_life(messages)
    last = told.get(own.revision, own)
    if max(told, default=0) > own.revision or last.change_id != own.change_id:
        told = {}
    told[own.revision] = own
    return [_plain(told[revision]) for revision in sorted(told)[-MOST_POSTERIORS:]]


def _last_life(messages: Iterable[ConsumerRecord]) -> dict[int, _Change]:
    """By revision, what was said since revisions last began anew; what was said twice once."""
    told: dict[int, _Change] = {}
    for message in messages:
        if message.value is None:
            told = {}
        elif (change := _read(message.value)) is not None and change not in told.values():
            if change.revision <= max(told, default=0):
                told = {}  # the shop began anew: the same topic under another prefix
            told[change.revision] = change
    return told


def _read(value: bytes) -> _Change | None:
    try:
        return _changes.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _plain(change: _Change) -> dict[str, Any]:
    return {
        "at": milliseconds(change.published_at),
        "revision": change.revision,
        "cause": change.cause,
        **msgspec.to_builtins(change.current),
    }
