"""The walk: the whole journey of a batch, as one pure function.

``walk`` takes events with their positions, the records of their customers and the model's
weights, and gives the new records, what to publish and what the model learns. Live workers,
replay and tests call the same one; it does no I/O and reads no clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, cast

from msgspec import Struct
from msgspec.structs import replace

from stream_persona.change import BEHAVIOUR, Belief, change_message, decide, millionths
from stream_persona.events import ASSIGNMENT, DELETION, KINDS, milliseconds
from stream_persona.explain import reasons
from stream_persona.features import Counts, Observation, Profiles, fold, profiles
from stream_persona.outcome import Delivery, Histories, Lesson, Outcome, Overtaken, Trial
from stream_persona.records import Label, Recent, Record, event_hash, with_recent
from stream_persona.sums import FOLDS, contributions, customer_key

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stream_persona.events import Assignment, Browse, Engagement, Purchase
    from stream_persona.records import Said
    from stream_persona.taxonomy import Taxonomy
    from stream_persona.tokens import Tokenizer
    from stream_persona.weights import Weights


#: Kinds of events that are folded into counts.
_BEHAVIOUR = frozenset(range(len(KINDS))) - {ASSIGNMENT, DELETION}
_NONE: Histories = {}


def walk(
    deliveries: Sequence[Delivery],
    records: Mapping[str, Record],
    weights: Weights,
    taxonomy: Taxonomy,
    tokenizer: Tokenizer,
    now: int,
    histories: Histories = _NONE,
) -> Outcome:
    """The journey of one batch: what it does to the records, then what is said of them.

    ``records`` holds the stored record of every known customer among the deliveries; ``now``
    (epoch milliseconds) only dates what is said. ``tokenizer`` must be of the same taxonomy,
    ``histories`` hold what ``overtaken`` asks for.
    """
    outcome = absorb(deliveries, records, taxonomy, tokenizer, histories)
    speak(outcome, weights, taxonomy, tokenizer, now)
    return outcome


def absorb(
    deliveries: Sequence[Delivery],
    records: Mapping[str, Record],
    taxonomy: Taxonomy,
    tokenizer: Tokenizer,
    histories: Histories = _NONE,
) -> Outcome:
    """Apply each event once, fold, learn; nothing of it depends on what the model knows."""
    outcome, rules = Outcome(), _Rules.of(taxonomy, tokenizer)
    drafts = _drafts(deliveries, records, histories)
    for delivery in deliveries:
        drafts[delivery.event.customer_id].apply(delivery, rules, outcome)
    _fold(list(drafts.values()), taxonomy)
    changed = [draft for draft in drafts.values() if draft.applied]
    outcome.records = {draft.customer_id: draft.record for draft in changed}
    before = {draft.customer_id: draft.before for draft in changed}
    outcome.lessons = [*lessons(before, taxonomy, -1), *lessons(outcome.records, taxonomy)]
    for draft in changed:
        if draft.forgotten:
            outcome.say(draft.customer_id, None)
        if draft.label is None:
            continue
        label = draft.record.active_label()
        if label != draft.before.active_label() and teaches(draft.record, taxonomy):
            outcome.assigned.add(draft.customer_id)
    return outcome


def overtaken(
    deliveries: Iterable[Delivery], records: Mapping[str, Record], taxonomy: Taxonomy
) -> dict[str, Overtaken]:
    """The customers of whom ``absorb`` needs the events that were applied before."""
    found: dict[str, Overtaken] = {}
    for delivery in deliveries:
        if delivery.kind != DELETION:
            continue
        record = records.get(delivery.event.customer_id)
        if record is None:
            continue
        at = _clamped(delivery, _milliseconds(taxonomy.policy.max_future_seconds))
        known = found.get(delivery.event.customer_id)
        is_new = record.positions.get(delivery.source, 0) <= delivery.offset
        if is_new and record.deleted_at < at < record.counts.clock:
            since = at if known is None else min(at, known.since)
            found[delivery.event.customer_id] = Overtaken(since, record.positions)
    return found


def speak(
    outcome: Outcome,
    weights: Weights,
    taxonomy: Taxonomy,
    tokenizer: Tokenizer,
    now: int,
    cause: int = BEHAVIOUR,
) -> None:
    """Predict all customers of ``outcome.records`` at once; say what has shifted enough.

    ``cause`` is why they are looked at; a label that came or went is a cause of its own.
    """
    known = {
        name: record
        for name, record in outcome.records.items()
        if len(record.counts.keys) or record.label is not None
    }
    if not known:
        return
    seen = profiles([record.counts for record in known.values()], taxonomy.features)
    probabilities = weights.probabilities(seen)
    whole, evidence = millionths(probabilities), seen.events.tolist()
    changed: list[tuple[int, str, Said]] = []
    for row, (name, record) in enumerate(known.items()):
        if name in outcome.assigned:
            persona = record.active_label() or ""
            trial = Trial(name, persona, seen.row(row), tuple(probabilities[row].tolist()))
            outcome.trials.append(trial)
        belief = Belief(
            whole[row], evidence[row], weights.version, weights.threshold, weights.candidate_floor
        )
        said = decide(record, belief, taxonomy, now, cause)
        if said is not None:
            changed.append((row, name, said))
    _say(outcome, changed, seen, weights, taxonomy, tokenizer)


def _say(
    outcome: Outcome,
    changed: Sequence[tuple[int, str, Said]],
    seen: Profiles,
    weights: Weights,
    taxonomy: Taxonomy,
    tokenizer: Tokenizer,
) -> None:
    """Give the changes of rows of ``seen`` their reasons, all at once, and say them."""
    if not changed:
        return
    whys = reasons(
        weights,
        seen.rows([row for row, _, _ in changed]),
        [said.current.likeliest(said.personas) for _, _, said in changed],
        tokenizer.name,
        taxonomy.policy.reasons,
    )
    for (_, name, said), why in zip(changed, whys, strict=True):
        record = replace(outcome.records[name], said=replace(said, why=why))
        outcome.records[name] = record
        outcome.say(name, change_message(name, record))
        outcome.causes.append(said.cause)


def teaches(record: Record, taxonomy: Taxonomy) -> bool:
    """Whether a record contributes to the model: it has a label of the taxonomy and behaviour."""
    return (
        record.label is not None
        and len(record.counts.keys) > 0
        and record.active_label() in taxonomy.names
    )


def lessons(records: Mapping[str, Record], taxonomy: Taxonomy, sign: int = 1) -> list[Lesson]:
    """What the model learns from records, or unlearns: the fold that a rebuild does too."""
    known = {name: record for name, record in records.items() if teaches(record, taxonomy)}
    seen = profiles([record.counts for record in known.values()], taxonomy.features)
    parts = contributions(seen, [customer_key(name) % FOLDS for name in known])
    return [
        Lesson(name, record.active_label() or "", part, sign)
        for (name, record), part in zip(known.items(), parts, strict=True)
    ]


@dataclass(slots=True, frozen=True)
class _Rules:
    """What events are applied by; times in milliseconds."""

    tokenizer: Tokenizer
    max_future: int
    duplicate_window: int

    @classmethod
    def of(cls, taxonomy: Taxonomy, tokenizer: Tokenizer) -> Self:
        return cls(
            tokenizer,
            _milliseconds(taxonomy.policy.max_future_seconds),
            _milliseconds(taxonomy.features.duplicate_window_seconds),
        )


class _Draft(Struct, gc=False):
    """A customer's record while a batch is applied to it.

    ``observed`` are the event times, slots and weights of what is folded in the end.
    """

    customer_id: str
    before: Record
    record: Record
    label: Label | None
    deleted_at: int
    positions: dict[int, int]
    recent: dict[int, Recent]
    heard: list[Delivery]
    observed: list[tuple[int, list[int], list[int]]] = []
    applied: bool = False
    forgotten: bool = False

    def apply(self, delivery: Delivery, rules: _Rules, outcome: Outcome) -> None:
        """Apply an event unless its position says that it was applied before."""
        if self.positions.get(delivery.source, 0) > delivery.offset:
            outcome.redelivered += 1
            return
        self.positions[delivery.source] = delivery.offset + 1
        self.applied = True
        event, at, kind = delivery.event, _clamped(delivery, rules.max_future), delivery.kind
        outcome.applied[kind] += 1
        if kind == DELETION:
            self._forget(at, rules)
        elif self.deleted_at and at <= self.deleted_at:
            outcome.dropped += 1
        elif kind == ASSIGNMENT:
            self._assign(cast("Assignment", event), at)
        else:
            self.heard.append(delivery)
            outcome.duplicates += not self._observe(delivery, at, rules)

    def _observe(self, delivery: Delivery, at: int, rules: _Rules) -> bool:
        """Note what an event says; False for a producer's retry."""
        event = cast("Purchase | Browse | Engagement", delivery.event)
        slots, weights = rules.tokenizer.read(event)
        if slots:
            # Whether its input had no event of this id lately, in event time.
            last, key = self.recent.get(delivery.source, ()), event_hash(event.event_id)
            recent = with_recent(last, key, at, rules.duplicate_window)
            if recent is None:
                return False
            self.recent[delivery.source] = recent
            self.observed.append((at, slots, weights))
        return True

    def _forget(self, at: int, rules: _Rules) -> None:
        """Begin again with what is newer: as if the deletion had come before everything."""
        at = max(at, 1)  # 0 stands for no deletion
        if at <= self.deleted_at:
            return
        self.record, self.deleted_at = Record(), at
        self.observed, self.recent, self.forgotten = [], {}, True
        if self.label is not None and self.label.at <= at:
            self.label = None
        for past in self.heard:
            if (when := _clamped(past, rules.max_future)) > at:
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
            None if self.forgotten else self.before.said,
        )  # fmt: skip


def _drafts(
    deliveries: Iterable[Delivery], records: Mapping[str, Record], histories: Histories
) -> dict[str, _Draft]:
    drafts: dict[str, _Draft] = {}
    for delivery in deliveries:
        customer_id = delivery.event.customer_id
        if customer_id not in drafts:
            record = records.get(customer_id) or Record()
            past = histories.get(customer_id) or ()
            drafts[customer_id] = _Draft(
                customer_id, record, record, record.label,
                record.deleted_at, record.positions.copy(), record.recent.copy(),
                [each for each in past if each.kind in _BEHAVIOUR],
            )  # fmt: skip
    return drafts


def _clamped(delivery: Delivery, max_future: int) -> int:
    """Event time; the arrival where it claims to be over ``policy.max_future_seconds`` later.

    One bad clock must not age everything else that is known of a customer. A clock that is so
    wrong tells nothing: half believed, its assignment or deletion would outlast later ones.
    """
    at, arrived = delivery.at, delivery.arrived_at
    return at if arrived is None or at <= arrived + max_future else arrived


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1_000)


def _fold(drafts: Sequence[_Draft], taxonomy: Taxonomy) -> None:
    observed = [
        Observation(row, *each) for row, draft in enumerate(drafts) for each in draft.observed
    ]
    counts: Sequence[Counts] = [draft.record.counts for draft in drafts]
    if observed:
        counts = fold(counts, observed, taxonomy.features)
    for draft, new in zip(drafts, counts, strict=True):
        if draft.applied:
            draft.finish(new)


__all__ = [
    "Delivery", "Histories", "Lesson", "Outcome", "Overtaken", "Trial",
    "absorb", "lessons", "overtaken", "speak", "teaches", "walk",
]  # fmt: skip
