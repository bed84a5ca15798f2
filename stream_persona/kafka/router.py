"""From a fetched batch to deliveries, dead letters and reroutes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from stream_persona.clocks import epoch_ms
from stream_persona.domain import events
from stream_persona.domain.anomaly import Anomaly
from stream_persona.domain.events import BEHAVIOURAL, get_event_time
from stream_persona.domain.identity import NobodyIds
from stream_persona.errors import DecodeError
from stream_persona.kafka import partitioner
from stream_persona.kafka.arrivals import EventReader, find_arrival
from stream_persona.kafka.letters import make_letter
from stream_persona.kafka.mapped_reroutes import deliver_mapped, make_reroute, read_reroute
from stream_persona.kafka.origins import check_origin, is_mapped, parse_origin
from stream_persona.kafka.producer import Message
from stream_persona.kafka.source_reader import SourceReader
from stream_persona.pipeline.process import Delivery

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from aiokafka import ConsumerRecord

    from stream_persona.domain.events import Behaviour, Event
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.domain.tokenizer import Tokenizer
    from stream_persona.kafka.origins import LogEnds
    from stream_persona.kafka.source_reader import MappedMessage
    from stream_persona.settings import Settings


@dataclass(slots=True)
class RoutedBatch:
    """A batch sorted out: deliveries of events at home here, dead ``letters`` and ``reroutes``.

    ``homes`` are the partitions of the deliveries' customers, ``reasons`` those of the letters,
    ``anomalies`` counts by reason what was ignored (``domain.anomaly``), ``more`` the events and
    reroutes beyond one of a message.
    """

    deliveries: list[Delivery] = field(default_factory=list)
    homes: dict[str, int] = field(default_factory=dict)
    letters: list[Message] = field(default_factory=list)
    reroutes: list[Message] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    anomalies: Counter[str] = field(default_factory=Counter)
    more: int = 0

    def count_read(self, messages: int) -> int:
        """Count the events read here, of ``messages`` messages; forwarded ones are left out."""
        return messages - len(self.reroutes) + self.more


class MessageRouter:
    """Routes the messages of all input topics, each to one of three destinations.

    ``now`` gives epoch milliseconds: it bounds the times of events of which no arrival is known.
    """

    def __init__(
        self,
        settings: Settings,
        taxonomy: Taxonomy,
        tokenizer: Tokenizer | None = None,
        now: Callable[[], int] = epoch_ms,
    ) -> None:
        """With a tokenizer, events of behaviour are delivered as tokens; otherwise as they came."""
        self._settings = settings
        self._taxonomy = taxonomy
        self._tokenizer = tokenizer
        self._nobody = NobodyIds(settings.nobody)
        self._reader = EventReader(taxonomy, now, self._nobody)
        self.sources = SourceReader(settings, taxonomy, self._reader, self._nobody)
        self._all_kinds = {topic: kind for kind, topic in enumerate(settings.input_topics)}
        #: Those whose messages are all in our own shape.
        self._kinds = {t: k for t, k in self._all_kinds.items() if t not in self.sources.topics}
        #: Topics of sources, or of more partitions: none of these is any customer's home.
        self.forwarded: Collection[str] = ()

    def route(self, batch: Sequence[ConsumerRecord], ends: LogEnds | None = None) -> RoutedBatch:
        """Make a delivery, a dead letter or a reroute of each message; those of nobody are counted.

        Origins of reroutes are checked against ``ends``, where these are given: a caller who
        applies the deliveries gives them.
        """
        routed, partitions = RoutedBatch(), self._settings.partitions
        for raw in batch:
            try:
                origin = self._find_origin(raw, ends, routed)
                if origin is None:
                    continue
                kind, partition, offset, arrived = origin
                event = events.decode_for_taxonomy(kind, raw.value, self._taxonomy, self._nobody)
                bounded = None if arrived >= 0 else self._bound_time(kind, event, routed)
            except DecodeError as error:
                self._reject(raw, error, routed)
                continue
            customer = event.customer_id
            at_home = routed.homes.get(customer, -1)
            if at_home < 0:
                if customer in self._nobody:
                    routed.anomalies[Anomaly.NOBODY] += 1
                    continue
                at_home = partitioner.find_home_partition(customer, partitions)
            if at_home != raw.partition or raw.topic in self.forwarded:
                routed.reroutes.append(self._make_reroute(raw, customer, origin, at_home))
                continue
            routed.homes[customer] = at_home
            reached = arrived if arrived >= 0 else None
            if self._tokenizer is None or kind not in BEHAVIOURAL:
                plain = Delivery.of(event, kind, partition, offset, reached)
                plain.at = plain.at if bounded is None else bounded
                routed.deliveries.append(plain)
                continue
            # Made while the event is in the processor's caches, and without a call for each.
            tokens = self._tokenizer.tokenize(cast("Behaviour", event))
            at, source = tokens.occurred_at, kind << 16 | partition
            routed.deliveries.append(Delivery(tokens, kind, partition, offset, reached, at, source))
        return routed

    def _bound_time(self, kind: int, event: Event, routed: RoutedBatch) -> int:
        """Return the time that counts of an event without an arrival; count a wrong one."""
        at = get_event_time(event)
        bounded = self._reader.bound_time(kind, at)
        if bounded != at:
            routed.anomalies[Anomaly.FUTURE] += 1
        return bounded

    def _find_origin(
        self, raw: ConsumerRecord, ends: LogEnds | None, routed: RoutedBatch
    ) -> tuple[int, int, int, int] | None:
        """Return kind, partition, offset and arrival where a message in our shape first came in.

        None is a message of a source, or mapped events: these have been routed.
        """
        kind = self._kinds.get(raw.topic)
        if kind is not None:
            return kind, raw.partition, raw.offset, find_arrival(raw)
        if raw.topic in self.sources.topics:
            if self._take_mapped(raw, routed):
                return None
            return self._all_kinds[raw.topic], raw.partition, raw.offset, find_arrival(raw)
        if is_mapped(raw):
            self._deliver_mapped(raw, ends, routed)
            return None
        origin = parse_origin(raw, self._all_kinds)
        if ends is not None:
            check_origin(origin, raw, ends)
        return origin

    def _take_mapped(self, raw: ConsumerRecord, routed: RoutedBatch) -> bool:
        """Forward what a source's mapping makes of a message; False if no source takes it."""
        mapped = self.sources.read(raw)
        if mapped is not None:
            self._forward(raw, mapped, routed)
        return mapped is not None

    def _forward(self, raw: ConsumerRecord, mapped: MappedMessage, routed: RoutedBatch) -> None:
        """Forward what a mapping made of a message to its customers' homes, all or nothing."""
        settings = self._settings
        reroutes = [
            make_reroute(
                settings.topic_reroutes, settings.group, mapped.origin, own,
                partitioner.find_home_partition(customer, settings.partitions),
            )
            for customer, own in mapped.events.items()
        ]  # fmt: skip
        routed.reroutes += reroutes
        routed.anomalies.update(mapped.anomalies)
        routed.more += max(0, len(reroutes) - 1)
        if mapped.fault is not None:
            self._reject(raw, mapped.fault, routed)

    def _deliver_mapped(
        self, raw: ConsumerRecord, ends: LogEnds | None, routed: RoutedBatch
    ) -> None:
        """Deliver the events of a reroute of mapped ones, all or nothing, where they are at home.

        Those of another deployment that shares the topic are its own.
        """
        held = read_reroute(raw)
        if held.group != self._settings.group:
            routed.more -= 1
            return
        if ends is not None:
            check_origin(held.origin, raw, ends)
        deliveries = deliver_mapped(held, self._taxonomy, self._nobody)
        customer = deliveries[0].event.customer_id
        at_home = partitioner.find_home_partition(customer, self._settings.partitions)
        if customer in self._nobody:
            routed.anomalies[Anomaly.NOBODY] += len(deliveries)
        elif at_home != raw.partition:
            headers = tuple(raw.headers)
            routed.reroutes.append(Message(raw.topic, raw.key, raw.value, headers, at_home))
        else:
            for each in deliveries:
                self._settle(each, routed)
            routed.homes[customer] = at_home
            routed.deliveries += deliveries
            routed.more += len(deliveries) - 1

    def _settle(self, delivery: Delivery, routed: RoutedBatch) -> None:
        """Bound the time of a mapped event without an arrival, and make its tokens."""
        at, event = delivery.at, delivery.event
        if self._reader.bound(delivery).at != at:
            routed.anomalies[Anomaly.FUTURE] += 1
        if self._tokenizer is not None and delivery.kind in BEHAVIOURAL:
            delivery.event = self._tokenizer.tokenize(cast("Behaviour", event))

    def _reject(self, raw: ConsumerRecord, error: DecodeError, routed: RoutedBatch) -> None:
        routed.letters.append(make_letter(raw, error, self._settings.topic_dead_letters))
        routed.reasons.append(error.reason)

    def _make_reroute(
        self, raw: ConsumerRecord, customer: str, position: tuple[int, int, int, int], home: int
    ) -> Message:
        kind, partition, offset, arrived = position
        headers = (
            ("topic", self._settings.input_topics[kind].encode()),
            ("partition", str(partition).encode()),
            ("offset", str(offset).encode()),
            ("timestamp", str(max(arrived, -1)).encode()),
        )
        return Message(self._settings.topic_reroutes, customer.encode(), raw.value, headers, home)


class RereadRouter(MessageRouter):
    """Routes what was read before, as it was mapped then: mapped events are among the reroutes.

    Of a topic of ours that is a source as well, no message says whether it was mapped when it came.
    One whose events are among the reroutes was (``drop_mapped``), and so, as far as can be known,
    was one of which today's mapping leaves nothing.
    """

    def _take_mapped(self, raw: ConsumerRecord, routed: RoutedBatch) -> bool:  # noqa: ARG002
        return raw.topic not in self._all_kinds or self.is_left_out(raw)

    def is_left_out(self, raw: ConsumerRecord) -> bool:
        """Whether a mapping takes a message of a topic of ours and leaves nothing of it."""
        try:
            mapped = self.sources.read(raw)
        except DecodeError:
            return False
        return mapped is not None and not mapped.events
