"""A customer's recent events with their weights, and the posteriors published since. Pure.

An event counts in the record with its signal's weight, decayed to the record's clock; its share is
of the record's evidence, so the shares of all events of a customer sum to 1. The worker's own code
decides which events count: those not applied yet, those older than a deletion, and those that a
producer has sent twice are left out.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec
import numpy as np

from stream_persona.domain.binning import canonicalize_token, split_shown_levels
from stream_persona.domain.events import BEHAVIOURAL, KINDS, Browse, Purchase, to_milliseconds
from stream_persona.domain.features import (
    EPOCH_BITS,
    EPOCH_HALF_LIVES,
    compute_granule_weights,
    compute_profiles,
    find_granules,
)
from stream_persona.domain.record import Record
from stream_persona.domain.slots import EVENTS, WEIGHT_UNITS
from stream_persona.domain.tokenizer import Tokenizer
from stream_persona.kafka.router import MessageRouter
from stream_persona.pipeline.apply import APPLIED, ApplyRules, start_draft
from stream_persona.pipeline.logged_change import parse_logged_change
from stream_persona.pipeline.messages import encode_change

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aiokafka import ConsumerRecord

    from stream_persona.api.customer_log import CustomerMessages
    from stream_persona.domain.events import Behaviour, Item
    from stream_persona.domain.features import Counts
    from stream_persona.domain.taxonomy import Features, Taxonomy
    from stream_persona.pipeline.apply import RecordDraft
    from stream_persona.pipeline.logged_change import LoggedChange
    from stream_persona.pipeline.types import Delivery
    from stream_persona.settings import Settings

    Summary = list[tuple[str, str]]

#: Most events and posteriors of an answer; the newest ones.
MOST_EVENTS: Final = 50
MOST_POSTERIORS: Final = 40
#: Most features that summarize an event, and most characters of a value.
MOST_ABOUT: Final = 4
MOST_SHOWN: Final = 120

_WITHIN: Final = (1 << EPOCH_BITS) - 1
_OLDER: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class CountedEvent:
    """An event that counts, its time as the record has it, and its undecayed weight in quarters."""

    event: Behaviour
    kind: int
    at: int
    quarters: int


def answer_activity(
    customer_id: str,
    record: Record,
    found: CustomerMessages,
    settings: Settings,
    taxonomy: Taxonomy,
) -> dict[str, Any]:
    """Answer with posteriors, oldest first, and events with their weights, newest first.

    ``record`` has been published, and was read after ``found``.
    """
    counts, features = record.counts, taxonomy.features
    evidence = float(compute_profiles([counts], features).events[0])
    counted = select_counted(customer_id, record, found.events, settings, taxonomy)
    shown = sorted(counted, key=lambda each: -each.at)[:MOST_EVENTS]
    weights = weigh(shown, counts, features)
    return {
        "customer_id": customer_id,
        "half_life_seconds": features.half_life_ms / 1_000,
        "clock": counts.clock if len(counts) else None,
        "evidence": evidence,
        "posteriors": select_posteriors(customer_id, record, found.changes),
        "events": [
            _describe(each, weight, evidence, features.category_separator)
            for each, weight in zip(shown, weights, strict=True)
        ],
        "complete": found.complete and len(shown) == len(counted),
    }


# --- events ---


def select_counted(
    customer_id: str,
    record: Record,
    messages: Sequence[ConsumerRecord],
    settings: Settings,
    taxonomy: Taxonomy,
) -> list[CountedEvent]:
    """Select the events that the record counts; the last applied of each input comes first."""
    applied = {
        (each.source, each.offset): each  # a topic's and its reroute's are one
        for each in MessageRouter(settings, taxonomy).route(messages).deliveries
        if each.event.customer_id == customer_id
        and each.kind in BEHAVIOURAL
        and each.offset < record.positions.get(each.source, 0)
    }
    deliveries = [applied[at] for at in sorted(applied)]
    rules = ApplyRules.of(taxonomy, Tokenizer(taxonomy))  # its own: no query adds names
    draft = start_draft(0, customer_id, Record(deleted_at=record.deleted_at), ())
    counted = [_count(each, draft, rules) for each in deliveries]
    return [each for each in reversed(counted) if each is not None]


def _count(delivery: Delivery, draft: RecordDraft, rules: ApplyRules) -> CountedEvent | None:
    """Apply an event to a draft; None if it adds nothing, being too old or sent twice."""
    before = len(draft.observed)
    if draft.apply(delivery, rules) != APPLIED:
        return None
    quarters = draft.observed[-1].weights[EVENTS] if len(draft.observed) > before else 0
    event = cast("Behaviour", delivery.event)
    return CountedEvent(event, delivery.kind, rules.times.clamp(delivery), quarters)


def weigh(events: Sequence[CountedEvent], counts: Counts, features: Features) -> list[float]:
    """Return what each event adds to the effective number of events, as of the record's clock.

    It is the arithmetic of ``compute_profiles``, so that a customer's weights sum to the evidence.
    """
    granules = find_granules(np.array([each.at for each in events], np.int64), features)
    section = counts.epoch - (granules >> EPOCH_BITS)
    quarters = np.array([each.quarters for each in events], np.int64)
    values = (quarters * compute_granule_weights()[granules & _WITHIN]).astype(np.float64)
    values[section == 1] *= _compute_remainder_of_older_epoch(counts)
    values[section > 1] = 0.0
    clock = int(find_granules(np.array([counts.clock], np.int64), features)[0])
    unit = int(compute_granule_weights()[clock & _WITHIN]) * WEIGHT_UNITS
    return [value / unit for value in values.tolist()]


def _compute_remainder_of_older_epoch(counts: Counts) -> float:
    """Return which share of the older epoch's events is left: whole units of all together."""
    at = int(np.searchsorted(counts.keys, _OLDER | EVENTS))
    if at == len(counts.keys) or counts.keys[at] != _OLDER | EVENTS:
        return 0.0
    total = int(counts.values[at])
    return (total >> EPOCH_HALF_LIVES) / total


def _describe(each: CountedEvent, weight: float, evidence: float, separator: str) -> dict[str, Any]:
    return {
        "kind": KINDS[each.kind].__name__.lower(),
        "event_id": each.event.event_id,
        "occurred_at": each.at,
        "weight": weight,
        "share": weight / evidence if evidence else 0.0,
        "about": [
            {"feature": feature, "value": _shorten(value)}
            for feature, value in summarize(each.event, separator)
        ],
    }


def summarize(event: Behaviour, separator: str) -> Summary:
    """Summarize an event for people: up to ``MOST_ABOUT`` features with their values."""
    if isinstance(event, Purchase):
        features = _summarize_items(
            [each for each in event.items if not each.is_returned], separator
        )
    elif isinstance(event, Browse):
        searched = [("query", event.query)] if event.query else []
        seen = event.product
        items = () if seen is None or seen.is_returned else (seen,)
        features = [("action", event.action), *searched, *_summarize_items(items, separator)]
    else:
        campaign = [("campaign", event.campaign)] if event.campaign else []
        features = [("action", event.action), ("channel", event.channel), *campaign]
    return features[:MOST_ABOUT]


def _summarize_items(items: Sequence[Item], separator: str) -> Summary:
    """List the most frequent categories at their most specific level, then products, brands."""
    categories = (
        path for each in items for path in split_shown_levels(each.category or "", separator)[-1:]
    )
    return [
        *_list_most_common("category", categories),
        *_list_most_common("product", (each.product_id for each in items)),
        *_list_most_common("brand", (each.brand for each in items if each.brand)),
    ]


def _list_most_common(feature: str, values: Iterable[str]) -> Summary:
    """List the most frequent values, each as it came first."""
    counts, shown = Counter[str](), dict[str, str]()
    for value in values:
        token = canonicalize_token(f"{feature}:{value}")
        shown.setdefault(token, value)
        counts[token] += 1
    return [(feature, shown[token]) for token, _ in counts.most_common(MOST_ABOUT)]


def _shorten(value: str) -> str:
    return value if len(value) <= MOST_SHOWN else f"{value[: MOST_SHOWN - 1]}…"


# --- posteriors ---


def select_posteriors(
    customer_id: str, record: Record, messages: Sequence[ConsumerRecord]
) -> list[dict[str, Any]]:
    """Return the posteriors published since the customer's last deletion, oldest first.

    The record's own is the last one, whether the log has it yet or not. A log with later revisions
    is from before a deletion whose tombstone has not arrived.
    """
    own = cast("LoggedChange", parse_logged_change(encode_change(customer_id, record)))
    logged = _select_changes_since_deletion(messages)
    last = logged.get(own.revision, own)
    if max(logged, default=0) > own.revision or last.change_id != own.change_id:
        logged = {}
    logged[own.revision] = own
    return [_as_dict(logged[revision]) for revision in sorted(logged)[-MOST_POSTERIORS:]]


def _select_changes_since_deletion(messages: Iterable[ConsumerRecord]) -> dict[int, LoggedChange]:
    """Return changes by revision, since revisions last began anew; each once."""
    logged: dict[int, LoggedChange] = {}
    for message in messages:
        if message.value is None:
            logged = {}
        elif (
            change := parse_logged_change(message.value)
        ) is not None and change not in logged.values():
            if change.revision <= max(logged, default=0):
                logged = {}  # the shop began anew: the same topic under another prefix
            logged[change.revision] = change
    return logged


def _as_dict(change: LoggedChange) -> dict[str, Any]:
    return {
        "at": to_milliseconds(change.published_at),
        "revision": change.revision,
        "cause": change.cause,
        **msgspec.to_builtins(change.current),
    }
