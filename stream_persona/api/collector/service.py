"""The collector: reads the events of a request, sends them, and counts what became of each."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from starlette.exceptions import HTTPException

from stream_persona.api.collector.calls import read_batch, read_call
from stream_persona.api.collector.own_events import read_own_event
from stream_persona.api.collector.receipts import CollectOutcome, Receipt
from stream_persona.domain.events import encode
from stream_persona.domain.identity import NobodyIds
from stream_persona.domain.mapping.documents import map_document
from stream_persona.domain.mapping.sources import Source
from stream_persona.errors import DecodeError, KafkaUnavailableError
from stream_persona.kafka.producer import Message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import msgspec
    from prometheus_client import Counter

    from stream_persona.api.collector.calls import Call
    from stream_persona.domain.events import Event
    from stream_persona.domain.mapping.documents import MappedDocument
    from stream_persona.kafka.event_sender import EventSender
    from stream_persona.settings import Settings

#: How calls are read; there is no such topic.
_SOURCES: Final = (Source(topic="collector", preset="segment"),)
#: A body that is too large, or packed by other means.
_UNREADABLE: Final = frozenset({413, 415})
_BUSY: Final = "too many events are on their way to Kafka: try again in 1 s"
_AWAY: Final = "the Kafka broker does not confirm what it was sent: try again later"


class Collector:
    """Takes events of callers; ``clock`` gives epoch nanoseconds."""

    def __init__(
        self,
        settings: Settings,
        sender: EventSender,
        collected: Counter,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._topics = settings.input_topics
        self._sender = sender
        self._nobody = NobodyIds(settings.nobody)
        self._outcomes = {each: collected.labels(each.value) for each in CollectOutcome}
        self._clock = clock

    @contextmanager
    def count_if_unreadable(self) -> Iterator[None]:
        """Count a body of which nothing can be read as an event that was refused."""
        try:
            yield
        except (DecodeError, HTTPException) as error:
            if isinstance(error, DecodeError) or error.status_code in _UNREADABLE:
                self._outcomes[CollectOutcome.REFUSED].inc()
            raise

    async def collect_events(self, documents: Sequence[msgspec.Raw]) -> Receipt:
        """Take events of our own shapes.

        Raises:
            HTTPException: 429, too much is on its way to the broker.
            KafkaUnavailableError: the broker has not confirmed all of them.
        """
        receipt, at = Receipt(), self._now()
        for index, document in enumerate(documents):
            try:
                event = read_own_event(document, at, self._nobody)
            except DecodeError as error:
                receipt.refuse(index, error.detail)
            else:
                self._add(receipt, index, [event])
        return await self._send(receipt)

    async def collect_call(self, body: bytes, name: str) -> Receipt:
        """Take a body's one call of a name.

        Raises:
            DecodeError: there is none.
            HTTPException, KafkaUnavailableError: as by ``collect_events``.
        """
        return await self._collect_calls([read_call(body, name, self._now())])

    async def collect_batch(self, body: bytes, *, is_history: bool = False) -> Receipt:
        """Take a body's list of calls.

        Raises:
            DecodeError: there is none.
            HTTPException, KafkaUnavailableError: as by ``collect_events``.
        """
        return await self._collect_calls(read_batch(body, self._now(), is_history=is_history))

    async def _collect_calls(self, calls: Iterable[Call | DecodeError]) -> Receipt:
        receipt = Receipt()
        for index, call in enumerate(calls):
            try:
                if isinstance(call, DecodeError):
                    raise call
                mapped = map_document(_SOURCES, call, self._nobody)
            except DecodeError as error:
                receipt.refuse(index, error.detail)
            else:
                self._add_mapped(receipt, index, mapped)
        return await self._send(receipt)

    def _now(self) -> int:
        return self._clock() // 1_000_000

    def _add(self, receipt: Receipt, index: int, events: Sequence[tuple[int, Event]]) -> None:
        """Add the events of one document to the receipt."""
        known = [(kind, event) for kind, event in events if event.customer_id not in self._nobody]
        receipt.outcomes[index] = CollectOutcome.ACCEPTED if known else CollectOutcome.NOBODY
        for kind, event in known:
            message = Message(self._topics[kind], event.customer_id.encode(), encode(event))
            receipt.messages.append((index, message))

    def _add_mapped(self, receipt: Receipt, index: int, mapped: MappedDocument) -> None:
        """Add what a call is as events of ours, or why it is none."""
        if mapped.events:
            self._add(receipt, index, mapped.events)
        else:
            receipt.outcomes[index] = CollectOutcome(next(iter(mapped.left_out)))
        if mapped.faults:
            receipt.refuse(index, f"in part, while the rest is taken: {mapped.faults[0].detail}")

    async def _send(self, receipt: Receipt) -> Receipt:
        """Send what is to be sent; whatever comes of it is counted."""
        messages = [message for _, message in receipt.messages]
        try:
            if messages:
                self._check_room(messages)
                too_large = await self._sender.send(messages)
                for (index, message), is_too_large in zip(receipt.messages, too_large, strict=True):
                    if is_too_large:
                        receipt.refuse(index, f"larger than max.message.bytes of {message.topic}")
        except BaseException:  # callers who leave are cancelled
            for index, _ in receipt.messages:
                receipt.outcomes[index] = CollectOutcome.UNSENT
            raise
        finally:
            for outcome, number in receipt.counts.items():
                self._outcomes[outcome].inc(number)
        return receipt

    def _check_room(self, messages: Sequence[Message]) -> None:
        """Refuse what there is no room for: busy or away, whichever it is."""
        if self._sender.has_room(messages):
            return
        if self._sender.stalled:
            raise KafkaUnavailableError(_AWAY)
        raise HTTPException(429, _BUSY, {"Retry-After": "1"})
