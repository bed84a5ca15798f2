"""What must hold of any bytes on any input topic; for Hypothesis and for the fuzzer alike.

``Path.follow`` takes one message the whole way: inbox, walk, record, bytes. Either a typed event
comes out of it, whose effect is bounded and which survives its own JSON, or one dead letter.
"""

import json
from functools import cached_property

from stream_persona.domain import events, record_codec
from stream_persona.domain.events import KINDS, REASONS, Event, decode, encode
from stream_persona.domain.record import Record
from stream_persona.domain.taxonomy import FIELDS
from stream_persona.domain.tokenizer import EVENTS, MAX_NAME, MAX_TOKENS, SLOTS, Tokenizer
from stream_persona.kafka.publisher import Message
from stream_persona.kafka.router import MAX_DETAIL, MessageRouter
from stream_persona.model.estimator import derive
from stream_persona.pipeline import process
from stream_persona.pipeline.process import Delivery, Outcome
from stream_persona.settings import Settings
from tests.support.builders import (
    DAY,
    NOW,
    assignment,
    browse,
    deletion,
    delivered,
    engagement,
    model_of,
    purchase,
    raw,
    shop,
    tastes,
    unpacked,
    walked,
)

#: What ``follow`` says of a message that was an event.
EVENT = "event"

Blob = bytes | None


def examples() -> list[tuple[int, bytes]]:
    """Kind and value of events of every kind, small and large: where a search begins."""
    item = events.Item("p-1", "baby/diapers", "brand", 12.5, 2.0, {"colour": "red"})
    told: list[Event] = [
        purchase("e1"),
        events.Purchase("e2", "c", NOW, (item, item), "order-1", {"shop": "north"}),
        browse("e3"),
        events.Browse("e4", "c", NOW, "view", item, None, {"device": "phone"}),
        engagement("e5"),
        events.Engagement("e6", "c", NOW, "onsite", "dismiss", None, {"banner": "3"}),
        assignment("e7"),
        events.Assignment("e8", "c", NOW, None, "crm", NOW + DAY),
        deletion("e9"),
    ]
    found = [(KINDS.index(type(event)), encode(event)) for event in told]
    return [*found, *((kind, _with_rfc3339(value)) for kind, value in found)]


def _with_rfc3339(value: bytes) -> bytes:
    return value.replace(str(NOW).encode(), b'"2023-11-14T23:13:20.123+01:00"')


class Path:
    """The way of a message through one process; it keeps its caches, as a worker does."""

    def __init__(self) -> None:
        self.taxonomy = shop(features={"fields": FIELDS})
        self._settings = Settings(_env_file=None, partitions=1)
        self._tokenizer = Tokenizer(self.taxonomy)
        self._inbox = MessageRouter(self._settings, self.taxonomy, self._tokenizer)
        told = tastes(self.taxonomy)
        self._weights = derive(model_of(told, self.taxonomy), self.taxonomy.names)

    @cached_property
    def known(self) -> Record:
        """A customer with a history, a label and a persona that was said."""
        told: list[Event] = [
            purchase("p", NOW - DAY),
            browse("b", NOW - 1),
            assignment("a", NOW - DAY),
        ]
        return walked(delivered(*told, first=0), self.taxonomy).records["c"]

    def follow(self, kind: int, value: Blob) -> str:
        """``EVENT``, or the reason of the dead letter; an assertion fails where a law does not."""
        read = self._inbox.read([raw(self._settings.input_topics[kind], value, 7)])
        assert len(read.deliveries) + len(read.letters) == 1
        assert not read.reroutes
        if read.letters:
            return checked(read.letters[0], value, read.reasons)
        (delivery,) = read.deliveries
        event = decode(kind, value)
        assert decode(kind, encode(event)) == event
        self.tokens_are_sound(event)
        for before in (None, self.known):
            self._walk(delivery, before)
        self._tokenizer.fresh.clear()
        return EVENT

    def tokens_are_sound(self, event: Event) -> None:
        if isinstance(event, events.Assignment | events.Deletion):
            return
        tokens = unpacked(*self._tokenizer.read(event))
        assert tokens[0][0] == EVENTS
        assert len(tokens) <= MAX_TOKENS
        assert all(0 <= slot < SLOTS and weight > 0 for slot, weight in tokens)
        assert all(len(name) <= MAX_NAME for _, name in self._tokenizer.fresh)

    def _walk(self, delivery: Delivery, before: Record | None) -> None:
        stored = {} if before is None else {delivery.event.customer_id: before}
        outcome = process.walk(
            [delivery], stored, self._weights, self.taxonomy, self._tokenizer, NOW
        )
        assert sum(outcome.applied) == 1
        self._stored_whole(outcome)
        again = process.apply_events([delivery], outcome.records, self.taxonomy, self._tokenizer)
        assert (again.redelivered, again.records) == (1, {})

    def _stored_whole(self, outcome: Outcome) -> None:
        mark, kept = self.taxonomy.fingerprint, list(outcome.records.values())
        blobs = record_codec.encode(kept, mark)
        assert record_codec.encode(record_codec.decode(blobs, mark), mark) == blobs
        for record in kept:
            assert record.counts.clock <= NOW + 1_000 * self.taxonomy.policy.max_future_seconds
            assert not len(record.counts.values) or record.counts.values.min() > 0
        for _, message in outcome.messages:
            assert message is None or json.loads(message)["customer_id"] in outcome.records


def checked(letter: Message, value: Blob, reasons: list[str]) -> str:
    """The reason of a dead letter that holds its message untouched."""
    assert (letter.key, letter.value) == (b"key", value)
    headers = dict(letter.headers)
    reason = headers["reason"].decode()
    assert reason in REASONS
    assert reasons == [reason]
    assert 0 < len(headers["detail"].decode()) <= MAX_DETAIL
    return reason
