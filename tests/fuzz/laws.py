"""What must hold of any bytes on any input topic; for Hypothesis and for the fuzzer alike.

``Path.follow`` takes one message the whole way: router, batch, record, bytes. Either a typed event
comes out of it, whose effect is bounded and which survives its own JSON, or one dead letter.
"""

import json
from functools import cached_property

from aiokafka import ConsumerRecord

from stream_persona.domain import events, record_codec
from stream_persona.domain.events import KINDS, REASONS, Event, decode_event, encode
from stream_persona.domain.record import Record
from stream_persona.domain.slots import EVENTS, SLOTS
from stream_persona.domain.taxonomy import FIELDS
from stream_persona.domain.token_names import MAX_NAME
from stream_persona.domain.tokenizer import MAX_TOKENS, Tokenizer
from stream_persona.kafka.letters import MAX_DETAIL
from stream_persona.kafka.origins import LogEnds
from stream_persona.kafka.producer import Message
from stream_persona.kafka.router import MessageRouter, RoutedBatch
from stream_persona.model.estimator import derive
from stream_persona.pipeline import process
from stream_persona.pipeline.process import Delivery, Outcome
from stream_persona.settings import Settings
from tests.support.constants import DAY, NOW
from tests.support.events import (
    assignment,
    browse,
    deletion,
    deliver,
    engagement,
    labelled_shoppers,
    purchase,
    shop,
)
from tests.support.processing import model_of, process_batch, unpack_tokens
from tests.support.workers import raw

#: What ``follow`` returns for a message that was an event, and for one of nobody.
EVENT, NOBODY = "event", "nobody"

Blob = bytes | None


def examples() -> list[tuple[int, bytes]]:
    """Kind and value of events of every kind, small and large: where a search begins."""
    item = events.Item("p-1", "baby/diapers", "brand", 12.5, 2.0, {"colour": "red"})
    made: list[Event] = [
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
    found = [(KINDS.index(type(event)), encode(event)) for event in made]
    return [*found, *((kind, _with_rfc3339(value)) for kind, value in found)]


def _with_rfc3339(value: bytes) -> bytes:
    return value.replace(str(NOW).encode(), b'"2023-11-14T23:13:20.123+01:00"')


class Path:
    """The way of a message through one process; it keeps its caches, as a worker does."""

    def __init__(self) -> None:
        self.taxonomy = shop(features={"fields": FIELDS})
        self._settings = Settings(_env_file=None, partitions=1)
        self._tokenizer = Tokenizer(self.taxonomy)
        self._router = MessageRouter(self._settings, self.taxonomy, self._tokenizer)
        model = model_of(labelled_shoppers(self.taxonomy), self.taxonomy)
        self._weights = derive(model, self.taxonomy.names)

    @cached_property
    def known(self) -> Record:
        """A customer with a history, a label and a published persona."""
        past: list[Event] = [
            purchase("p", NOW - DAY),
            browse("b", NOW - 1),
            assignment("a", NOW - DAY),
        ]
        return process_batch(deliver(*past, first=0), self.taxonomy).records["c"]

    def follow(self, kind: int, value: Blob) -> str:
        """``EVENT``, or the reason of the dead letter; an assertion fails where a law does not."""
        read = self._router.route([raw(self._settings.input_topics[kind], value, 7)])
        assert len(read.deliveries) + len(read.letters) + read.anomalies.total() == 1
        assert not read.reroutes
        if read.anomalies:
            return check_nobody(read)
        if read.letters:
            return check_letter(read.letters[0], b"key", value, read.reasons)
        (delivery,) = read.deliveries
        event = decode_event(kind, value)
        assert decode_event(kind, encode(event)) == event
        self._check_tokens(event)
        for before in (None, self.known):
            self._process(delivery, before)
        return EVENT

    def receive(self, message: ConsumerRecord, ends: LogEnds) -> str:
        """The same of a message with any key, headers, timestamp and origin."""
        read = self._router.route([message], ends)
        made = len(read.deliveries) + len(read.letters) + len(read.reroutes)
        assert made + read.anomalies.total() == 1
        if read.anomalies:
            return check_nobody(read)
        if read.letters:
            return check_letter(read.letters[0], message.key, message.value, read.reasons)
        for delivery in read.deliveries:
            assert delivery.arrived_at is None or delivery.arrived_at >= 0
            if message.topic == self._settings.topic_reroutes:
                assert delivery.offset < ends[delivery.kind, delivery.partition]
        for moved in read.reroutes:
            back = raw(moved.topic, moved.value, 0, 0, moved.headers)
            assert self.receive(back, ends) in {EVENT, "invalid_field"}
        return EVENT

    def _check_tokens(self, event: Event) -> None:
        if isinstance(event, events.Assignment | events.Deletion):
            return
        read = self._tokenizer.tokenize(event)
        tokens = unpack_tokens(read.slots, read.weights)
        if isinstance(event, events.Purchase) and all(item.is_returned for item in event.items):
            assert tokens == []
            assert len(read.anomalies) == len(event.items)
            return
        assert tokens[0][0] == EVENTS
        assert len(tokens) <= MAX_TOKENS
        assert all(0 <= slot < SLOTS and weight > 0 for slot, weight in tokens)
        assert all(len(name) <= MAX_NAME for each in read.names for name in each[1:])

    def _process(self, delivery: Delivery, before: Record | None) -> None:
        stored = {} if before is None else {delivery.event.customer_id: before}
        outcome = process.process_batch(
            [delivery], stored, self._weights, self.taxonomy, self._tokenizer, NOW
        )
        assert sum(outcome.applied) == 1
        self._check_stored(outcome)
        again = process.apply_events([delivery], outcome.records, self.taxonomy, self._tokenizer)
        assert (again.redelivered, again.records) == (1, {})

    def _check_stored(self, outcome: Outcome) -> None:
        mark, kept = self.taxonomy.fingerprint, outcome.records
        blobs = record_codec.encode_records(kept, mark)
        assert record_codec.encode_records(record_codec.decode_records(blobs, mark), mark) == blobs
        for record in kept.values():
            assert record.counts.clock <= NOW + 1_000 * self.taxonomy.policy.max_future_seconds
            assert not len(record.counts.values) or record.counts.values.min() > 0
        for _, message in outcome.messages:
            assert message is None or json.loads(message)["customer_id"] in outcome.records


def check_nobody(read: RoutedBatch) -> str:
    """Return ``NOBODY`` if that is all that was counted."""
    assert read.anomalies == {NOBODY: 1}
    return NOBODY


def check_letter(letter: Message, key: Blob, value: Blob, reasons: list[str]) -> str:
    """Return the reason of a dead letter that holds its message untouched."""
    assert (letter.key, letter.value) == (key, value)
    headers = dict(letter.headers)
    reason = headers["reason"].decode()
    assert reason in REASONS
    assert reasons == [reason]
    assert 0 < len(headers["detail"].decode()) <= MAX_DETAIL
    return reason
