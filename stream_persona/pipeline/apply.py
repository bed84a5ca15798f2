"""A customer's record while a batch is applied to it: positions, retries, deletions, labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, cast

from msgspec import Struct

from stream_persona.domain.deduplication import Recent, event_hash, with_recent
from stream_persona.domain.events import (
    ASSIGNMENT,
    BEHAVIOURAL,
    DELETION,
    TokenizedEvent,
    milliseconds,
)
from stream_persona.domain.features import Observation
from stream_persona.domain.record import Label, Record

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stream_persona.domain.events import Assignment, Behaviour
    from stream_persona.domain.features import Counts
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.domain.tokenizer import Tokenizer
    from stream_persona.pipeline.types import Delivery, Outcome


@dataclass(slots=True, frozen=True)
class Rules:
    """What events are applied by; times in milliseconds."""

    tokenizer: Tokenizer
    max_future: int
    duplicate_window: int

    @classmethod
    def of(cls, taxonomy: Taxonomy, tokenizer: Tokenizer) -> Self:
        """Those of a taxonomy."""
        return cls(
            tokenizer,
            whole_milliseconds(taxonomy.policy.max_future_seconds),
            whole_milliseconds(taxonomy.features.duplicate_window_seconds),
        )


class Draft(Struct, gc=False):
    """A customer's record while a batch is applied to it, as the batch's ``row``-th customer.

    ``observed`` is what is folded in the end.
    """

    row: int
    customer_id: str
    before: Record
    record: Record
    label: Label | None
    deleted_at: int
    positions: dict[int, int]
    recent: dict[int, Recent]
    tokenize: list[Delivery]
    observed: list[Observation] = []
    applied: bool = False
    forgotten: bool = False

    def apply(self, delivery: Delivery, rules: Rules, outcome: Outcome) -> None:
        """Apply an event unless its position says that it was applied before."""
        if self.positions.get(delivery.source, 0) > delivery.offset:
            outcome.redelivered += 1
            return
        self.positions[delivery.source] = delivery.offset + 1
        self.applied = True
        event, at, kind = delivery.event, clamped(delivery, rules.max_future), delivery.kind
        outcome.applied[kind] += 1
        if kind == DELETION:
            self._forget(at, rules)
        elif self.deleted_at and at <= self.deleted_at:
            outcome.dropped += 1
        elif kind == ASSIGNMENT:
            self._assign(cast("Assignment", event), at)
        else:
            self.tokenize.append(delivery)
            outcome.duplicates += not self._observe(delivery, at, rules)

    def _observe(self, delivery: Delivery, at: int, rules: Rules) -> bool:
        """Note what an event says; False for a producer's retry."""
        event = delivery.event
        if not isinstance(event, TokenizedEvent):
            event = rules.tokenizer.tokenize(cast("Behaviour", event))
        if event.slots:
            # Whether its input had no event of this id lately, in event time.
            last, key = self.recent.get(delivery.source, ()), event_hash(event.event_id)
            recent = with_recent(last, key, at, rules.duplicate_window)
            if recent is None:
                return False
            self.recent[delivery.source] = recent
            self.observed.append(Observation(self.row, at, event.slots, event.weights))
        return True

    def _forget(self, at: int, rules: Rules) -> None:
        """Begin again with what is newer: as if the deletion had come before everything."""
        at = max(at, 1)  # 0 stands for no deletion
        if at <= self.deleted_at:
            return
        self.record, self.deleted_at = Record(), at
        self.observed, self.recent, self.forgotten = [], {}, True
        if self.label is not None and self.label.at <= at:
            self.label = None
        for past in self.tokenize:
            if (when := clamped(past, rules.max_future)) > at:
                self._observe(past, when, rules)

    def _assign(self, event: Assignment, at: int) -> None:
        label = self.label
        if label is None or (at, event.assignment_id) > (label.at, label.assignment_id):
            expires = None if event.expires_at is None else milliseconds(event.expires_at)
            self.label = Label(at, event.assignment_id, event.persona, expires, event.source)

    def finish(self, counts: Counts) -> None:
        """Put the new record together."""
        self.record = Record(
            counts, self.label, self.positions, self.recent, self.deleted_at,
            None if self.forgotten else self.before.published, self.before.packed,
        )  # fmt: skip


def draft_of(row: int, customer_id: str, record: Record, past: Iterable[Delivery]) -> Draft:
    """A draft of a record as it stands; ``past`` is what was applied to it before, if asked for."""
    return Draft(
        row, customer_id, record, record, record.label, record.deleted_at,
        record.positions.copy(), record.recent.copy(),
        [each for each in past if each.kind in BEHAVIOURAL] if past else [],
    )  # fmt: skip


def clamped(delivery: Delivery, max_future: int) -> int:
    """Event time; the arrival where it claims to be over ``policy.max_future_seconds`` later.

    One bad clock must not age everything else that is known of a customer. A clock that is so
    wrong tells nothing: half believed, its assignment or deletion would outlast later ones.
    """
    at, arrived = delivery.at, delivery.arrived_at
    return at if arrived is None or at <= arrived + max_future else arrived


def whole_milliseconds(seconds: float) -> int:
    """Seconds of a policy in the unit of event times."""
    return round(seconds * 1_000)
