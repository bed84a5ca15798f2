"""Applying a batch's events to drafts of records: positions, retries, deletions, labels."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self, cast

from msgspec import Struct

from stream_persona.domain.anomaly import Anomaly
from stream_persona.domain.deduplication import (
    ORDER_IDS,
    RecentIds,
    count_ids,
    hash_id,
    knows_id,
    with_id,
)
from stream_persona.domain.events import (
    ASSIGNMENT,
    DELETION,
    KINDS,
    TokenizedEvent,
    to_milliseconds,
)
from stream_persona.domain.features import Observation, fold_counting
from stream_persona.domain.record import Label, Record
from stream_persona.pipeline.event_times import TimeRules
from stream_persona.pipeline.types import EventCounts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from stream_persona.domain.events import Assignment, Behaviour
    from stream_persona.domain.features import Counts
    from stream_persona.domain.taxonomy import Features, Taxonomy
    from stream_persona.domain.token_names import Name
    from stream_persona.domain.tokenizer import Tokenizer
    from stream_persona.pipeline.types import Delivery, Histories

#: What became of an event: it was applied; it was a producer's retry, or an order edited; it was
#: one too many of its minute; it was older than a deletion; it had been applied before.
APPLIED, DUPLICATE, EDITED, EXCESS, DROPPED, REDELIVERED = range(6)
#: Those that leave an event out are counted.
_ANOMALIES: Final = {
    DUPLICATE: Anomaly.RETRY, EDITED: Anomaly.EDITED_ORDER, EXCESS: Anomaly.EXCESS,
    DROPPED: Anomaly.FORGOTTEN,
}  # fmt: skip
#: Ids known of an input from which on its events are counted by the minute: most customers never
#: have as many, and their records hold no such count.
_FEW_IDS: Final = 64
_MINUTE_MS: Final = 60_000


@dataclass(slots=True, frozen=True)
class ApplyRules:
    """The rules by which events are applied.

    Of an input's newest minute, ``uncounted`` events may have come before its count begins, and
    ``counted`` more are taken: together at most ``policy.max_events_per_minute``.
    """

    tokenizer: Tokenizer
    times: TimeRules
    uncounted: int
    counted: int

    @classmethod
    def of(cls, taxonomy: Taxonomy, tokenizer: Tokenizer) -> Self:
        """Take the rules of a taxonomy."""
        most = taxonomy.policy.max_events_per_minute
        uncounted = min(_FEW_IDS, most // 2)
        return cls(tokenizer, TimeRules.of(taxonomy.policy), uncounted, most - uncounted)


class RecordDraft(Struct, gc=False):
    """A customer's record while a batch is applied to it, as the batch's ``row``-th customer.

    ``before`` is the stored record, ``base`` the one to whose counts ``observed`` will be added;
    ``past`` are the deliveries that a deletion may have to take again, ``anomalies`` what was odd
    about those that are taken, ``carried`` names of tokens of which few carriers are known.
    """

    row: int
    customer_id: str
    before: Record
    base: Record
    label: Label | None
    deleted_at: int
    positions: dict[int, int]
    recent: dict[int, RecentIds]
    rates: dict[int, tuple[int, int]]
    left_out_at: int
    past: list[Delivery]
    observed: list[Observation] = []
    anomalies: list[str] = []
    carried: list[Name] = []
    applied: bool = False
    forgotten: bool = False

    def apply(self, delivery: Delivery, rules: ApplyRules) -> int:
        """Apply an event unless its position shows that it was applied before.

        Returns ``APPLIED``, ``DUPLICATE``, ``EDITED``, ``EXCESS``, ``DROPPED`` or ``REDELIVERED``.
        """
        if self.positions.get(delivery.source, 0) > delivery.offset:
            return REDELIVERED
        self.positions[delivery.source] = delivery.offset + 1
        self.applied = True
        times, at = rules.times, rules.times.clamp(delivery)
        if at != delivery.at:
            self.anomalies.append(Anomaly.FUTURE)
        if delivery.kind == DELETION:
            self._forget(times.find_reach(delivery), rules)
            return APPLIED
        if self.deleted_at and times.find_latest(at, delivery.arrived_at) <= self.deleted_at:
            return DROPPED
        self.past.append(delivery)
        return self._take(delivery, at, rules)

    def _take(self, delivery: Delivery, at: int, rules: ApplyRules) -> int:
        """Take an assignment, or the tokens of an event of behaviour unless it is left out."""
        if delivery.kind == ASSIGNMENT:
            self._assign(delivery, at)
            return APPLIED
        event = delivery.event
        if not isinstance(event, TokenizedEvent):
            event = rules.tokenizer.tokenize(cast("Behaviour", event))
        if event.slots:
            effect = self._remember(event, delivery, at, rules)
            if effect != APPLIED:
                self.left_out_at = max(self.left_out_at, at)
                return effect
            self.observed.append(Observation(self.row, at, event.slots, event.weights))
            if event.names:
                self.carried += event.names
        if event.anomalies:
            self.anomalies += event.anomalies
        return APPLIED

    def _remember(
        self, event: TokenizedEvent, delivery: Delivery, at: int, rules: ApplyRules
    ) -> int:
        """Remember the ids of an event that counts; otherwise return why it does not."""
        recent, source, arrived = self.recent, delivery.source, delivery.arrived_at
        known, event_id = recent.get(source, b""), hash_id(event.event_id)
        if knows_id(known, event_id, arrived):
            return DUPLICATE
        orders, order_id = b"", b""
        if event.order_id is not None:
            orders, order_id = recent.get(source | ORDER_IDS, b""), hash_id(event.order_id)
            if knows_id(orders, order_id, arrived):
                return EDITED
        if count_ids(known) >= rules.uncounted and self._is_excess(source, at, rules.counted):
            return EXCESS
        recent[source] = with_id(known, event_id, arrived)
        if order_id:
            recent[source | ORDER_IDS] = with_id(orders, order_id, arrived)
        return APPLIED

    def _is_excess(self, source: int, at: int, most: int) -> bool:
        """Count an event into its input's newest minute, unless that has as many as it may have.

        What is of an older minute is late, and let through: a shop may send a past of any size.
        """
        minute = at // _MINUTE_MS
        newest, count = self.rates.get(source, (minute, 0))
        if minute < newest:
            return False
        count = count + 1 if minute == newest else 1
        if count > most:
            return True
        self.rates[source] = minute, count
        return False

    def _forget(self, reach: int, rules: ApplyRules) -> None:
        """Begin again with what is newer: as if the deletion had come before everything."""
        if reach <= self.deleted_at:
            return
        times = rules.times
        self.base, self.deleted_at, self.forgotten = Record(), reach, True
        self.observed, self.carried = [], []
        self.recent, self.rates, self.left_out_at = {}, {}, 0
        if self.label is not None and times.find_latest_of_label(self.label) <= reach:
            self.label = None
        timed = [(past, times.clamp(past)) for past in self.past]
        left = [(past, at) for past, at in timed if times.find_latest(at, past.arrived_at) > reach]
        self.past = [past for past, _ in left]
        noted = len(self.anomalies)
        for past, at in left:
            self._take(past, at, rules)
        del self.anomalies[noted:]  # each was counted when it came

    def _assign(self, delivery: Delivery, at: int) -> None:
        """Take an assignment as the label unless a later one is known."""
        event, arrived = cast("Assignment", delivery.event), delivery.arrived_at
        expires = None if event.expires_at is None else to_milliseconds(event.expires_at)
        label = Label(
            at, event.assignment_id, event.persona, expires, event.source,
            -1 if arrived is None else arrived, delivery.partition, delivery.offset,
        )  # fmt: skip
        if self.label is None or label.order > self.label.order:
            self.label = label

    def finish(self, counts: Counts) -> Record:
        """Put the new record together."""
        return Record(
            counts, self.label, self.positions, self.recent, self.deleted_at,
            None if self.forgotten else self.before.published, self.before.packed, self.rates,
            left_out_at=self.left_out_at if self.left_out_at > counts.clock else 0,
        )  # fmt: skip


def start_draft(
    row: int, customer_id: str, record: Record, past: Iterable[Delivery]
) -> RecordDraft:
    """Begin a draft of a record; ``past`` are the events applied to it before, where needed."""
    return RecordDraft(
        row, customer_id, record, record, record.label, record.deleted_at,
        record.positions.copy(), record.recent.copy(), record.rates.copy(), record.left_out_at,
        [each for each in past if each.kind != DELETION] if past else [],
    )  # fmt: skip


def apply_all(
    deliveries: Sequence[Delivery],
    records: Mapping[str, Record],
    rules: ApplyRules,
    histories: Histories,
) -> tuple[list[RecordDraft], EventCounts]:
    """Apply each event once; a draft of each customer, in the order of their first events."""
    drafts: dict[str, RecordDraft] = {}
    applied, effects = [0] * len(KINDS), [0] * (REDELIVERED + 1)
    for delivery in deliveries:
        name = delivery.event.customer_id
        draft = drafts.get(name)
        if draft is None:
            past = histories.get(name, ())
            draft = start_draft(len(drafts), name, records.get(name) or Record(), past)
            drafts[name] = draft
        effect = draft.apply(delivery, rules)
        effects[effect] += 1
        if effect != REDELIVERED:
            applied[delivery.kind] += 1
    begun = list(drafts.values())
    return begun, EventCounts(
        tuple(applied), effects[DUPLICATE] + effects[EDITED], effects[DROPPED],
        effects[REDELIVERED], _count_anomalies(begun, effects),
    )  # fmt: skip


def _count_anomalies(drafts: Sequence[RecordDraft], effects: Sequence[int]) -> Counter[str]:
    """Count by reason what was left out, and what was odd about events that were not."""
    found = Counter[str](reason for draft in drafts for reason in draft.anomalies)
    for effect, reason in _ANOMALIES.items():
        if effects[effect]:
            found[reason] += effects[effect]
    return found


def fold_all(
    drafts: Sequence[RecordDraft], counts: EventCounts, features: Features
) -> tuple[dict[str, Record], EventCounts]:
    """Fold the observed tokens; the new records of customers with an applied event.

    The counts come back with the events that had faded before they came.
    """
    observed = [each for draft in drafts for each in draft.observed]
    folded: Sequence[Counts] = [draft.base.counts for draft in drafts]
    if observed:
        folded, faded = fold_counting(folded, observed, features)
        if faded:
            anomalies = Counter(counts.anomalies) + Counter({Anomaly.FADED: faded})
            counts = counts._replace(anomalies=anomalies)
    records = {
        draft.customer_id: draft.finish(new)
        for draft, new in zip(drafts, folded, strict=True)
        if draft.applied
    }
    return records, counts
