"""Applying a batch's events to drafts of records: positions, retries, deletions, labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self, cast

from msgspec import Struct

from stream_persona.domain.deduplication import RecentIds, hash_id, knows_id, with_id
from stream_persona.domain.events import (
    ASSIGNMENT,
    BEHAVIOURAL,
    DELETION,
    KINDS,
    TokenizedEvent,
    milliseconds,
)
from stream_persona.domain.features import Observation, fold
from stream_persona.domain.record import Label, Record
from stream_persona.pipeline.types import EventCounts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from stream_persona.domain.events import Assignment, Behaviour
    from stream_persona.domain.features import Counts
    from stream_persona.domain.taxonomy import Features, Taxonomy
    from stream_persona.domain.token_names import Name
    from stream_persona.domain.tokenizer import Tokenizer
    from stream_persona.pipeline.types import Delivery, Histories

#: What became of an event: it was applied; it was a producer's retry; it was older than a deletion;
#: it had been applied before.
APPLIED, DUPLICATE, DROPPED, REDELIVERED = range(4)
_EFFECTS: Final = 4


@dataclass(slots=True, frozen=True)
class Rules:
    """The rules by which events are applied; times in milliseconds."""

    tokenizer: Tokenizer
    max_future: int

    @classmethod
    def of(cls, taxonomy: Taxonomy, tokenizer: Tokenizer) -> Self:
        """Take the rules of a taxonomy."""
        return cls(tokenizer, whole_milliseconds(taxonomy.policy.max_future_seconds))


class Draft(Struct, gc=False):
    """A customer's record while a batch is applied to it, as the batch's ``row``-th customer.

    ``before`` is the stored record, ``base`` the one to whose counts ``observed`` will be added;
    ``behaviour`` are the deliveries that a deletion may have to fold again, ``carried`` names of
    tokens of which few carriers are known.
    """

    row: int
    customer_id: str
    before: Record
    base: Record
    label: Label | None
    deleted_at: int
    positions: dict[int, int]
    recent: dict[int, RecentIds]
    behaviour: list[Delivery]
    observed: list[Observation] = []
    carried: list[Name] = []
    applied: bool = False
    forgotten: bool = False

    def apply(self, delivery: Delivery, rules: Rules) -> int:
        """Apply an event unless its position shows that it was applied before.

        Returns ``APPLIED``, ``DUPLICATE``, ``DROPPED`` or ``REDELIVERED``.
        """
        if self.positions.get(delivery.source, 0) > delivery.offset:
            return REDELIVERED
        self.positions[delivery.source] = delivery.offset + 1
        self.applied = True
        at, kind = clamp_time(delivery, rules.max_future), delivery.kind
        if kind == DELETION:
            self._forget(at, rules)
        elif self.deleted_at and at <= self.deleted_at:
            return DROPPED
        elif kind == ASSIGNMENT:
            self._assign(cast("Assignment", delivery.event), at)
        else:
            self.behaviour.append(delivery)
            return self._observe(delivery, at, rules)
        return APPLIED

    def _observe(self, delivery: Delivery, at: int, rules: Rules) -> int:
        """Note the tokens of an event of behaviour, unless it is a producer's retry."""
        event = delivery.event
        if not isinstance(event, TokenizedEvent):
            event = rules.tokenizer.tokenize(cast("Behaviour", event))
        if event.slots:
            last, hashed = self.recent.get(delivery.source, b""), hash_id(event.event_id)
            if knows_id(last, hashed, delivery.arrived_at):
                return DUPLICATE
            self.recent[delivery.source] = with_id(last, hashed, delivery.arrived_at)
            self.observed.append(Observation(self.row, at, event.slots, event.weights))
            if event.names:
                self.carried += event.names
        return APPLIED

    def _forget(self, at: int, rules: Rules) -> None:
        """Begin again with what is newer: as if the deletion had come before everything."""
        at = max(at, 1)  # 0 stands for no deletion
        if at <= self.deleted_at:
            return
        self.base, self.deleted_at = Record(), at
        self.observed, self.carried, self.recent, self.forgotten = [], [], {}, True
        if self.label is not None and self.label.at <= at:
            self.label = None
        for past in self.behaviour:
            if (when := clamp_time(past, rules.max_future)) > at:
                self._observe(past, when, rules)

    def _assign(self, event: Assignment, at: int) -> None:
        label = self.label
        if label is None or (at, event.assignment_id) > (label.at, label.assignment_id):
            expires = None if event.expires_at is None else milliseconds(event.expires_at)
            self.label = Label(at, event.assignment_id, event.persona, expires, event.source)

    def finish(self, counts: Counts) -> Record:
        """Put the new record together."""
        return Record(
            counts, self.label, self.positions, self.recent, self.deleted_at,
            None if self.forgotten else self.before.published, self.before.packed,
            self.base.rates,
        )  # fmt: skip


def start_draft(row: int, customer_id: str, record: Record, past: Iterable[Delivery]) -> Draft:
    """Begin a draft of a record; ``past`` are the events applied to it before, where needed."""
    return Draft(
        row, customer_id, record, record, record.label, record.deleted_at,
        record.positions.copy(), record.recent.copy(),
        [each for each in past if each.kind in BEHAVIOURAL] if past else [],
    )  # fmt: skip


def apply_all(
    deliveries: Sequence[Delivery],
    records: Mapping[str, Record],
    rules: Rules,
    histories: Histories,
) -> tuple[list[Draft], EventCounts]:
    """Apply each event once; a draft of each customer, in the order of their first events."""
    drafts: dict[str, Draft] = {}
    applied, effects = [0] * len(KINDS), [0] * _EFFECTS
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
    return list(drafts.values()), EventCounts(
        tuple(applied), effects[DUPLICATE], effects[DROPPED], effects[REDELIVERED]
    )


def fold_all(drafts: Sequence[Draft], features: Features) -> dict[str, Record]:
    """Fold the observed tokens; the new records of customers with an applied event."""
    observed = [each for draft in drafts for each in draft.observed]
    counts: Sequence[Counts] = [draft.base.counts for draft in drafts]
    if observed:
        counts = fold(counts, observed, features)
    return {
        draft.customer_id: draft.finish(new)
        for draft, new in zip(drafts, counts, strict=True)
        if draft.applied
    }


def clamp_time(delivery: Delivery, max_future: int) -> int:
    """Event time; the arrival where it claims to be over ``policy.max_future_seconds`` later.

    One bad clock must not age everything else that is known of a customer. A time that is so wrong
    is worth nothing: only shortened, its assignment or deletion would outlast later ones.
    """
    at, arrived = delivery.at, delivery.arrived_at
    return at if arrived is None or at <= arrived + max_future else arrived


def whole_milliseconds(seconds: float) -> int:
    """Seconds of a policy in the unit of event times."""
    return round(seconds * 1_000)
