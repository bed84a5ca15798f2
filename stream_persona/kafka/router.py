"""From a fetched batch to deliveries, dead letters and reroutes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from stream_persona.domain import events
from stream_persona.domain.anomaly import Anomaly
from stream_persona.domain.events import BEHAVIOURAL
from stream_persona.domain.identity import NobodyIds
from stream_persona.errors import DecodeError
from stream_persona.kafka import partitioner
from stream_persona.kafka.letters import make_letter
from stream_persona.kafka.origins import check_origin, parse_origin
from stream_persona.kafka.producer import Message
from stream_persona.pipeline.process import Delivery

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from aiokafka import ConsumerRecord

    from stream_persona.domain.events import Behaviour
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.domain.tokenizer import Tokenizer
    from stream_persona.kafka.origins import LogEnds
    from stream_persona.settings import Settings


@dataclass(slots=True)
class RoutedBatch:
    """A batch sorted out: deliveries of events at home here, dead ``letters`` and ``reroutes``.

    ``homes`` are the partitions of the deliveries' customers, ``reasons`` those of the letters,
    ``anomalies`` counts by reason what was ignored (``domain.anomaly``).
    """

    deliveries: list[Delivery] = field(default_factory=list)
    homes: dict[str, int] = field(default_factory=dict)
    letters: list[Message] = field(default_factory=list)
    reroutes: list[Message] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    anomalies: Counter[str] = field(default_factory=Counter)


class MessageRouter:
    """Routes the messages of all input topics, each to one of three destinations."""

    def __init__(
        self, settings: Settings, taxonomy: Taxonomy, tokenizer: Tokenizer | None = None
    ) -> None:
        """With a tokenizer, events of behaviour are delivered as tokens; otherwise as they came."""
        self._settings = settings
        self._taxonomy = taxonomy
        self._tokenizer = tokenizer
        self._nobody = NobodyIds(settings.nobody)
        self._kinds = {topic: kind for kind, topic in enumerate(settings.input_topics)}
        #: Topics of another number of partitions: none of these is any customer's home.
        self.repartitioned: Collection[str] = ()

    def route(self, batch: Sequence[ConsumerRecord], ends: LogEnds | None = None) -> RoutedBatch:
        """Make a delivery, a dead letter or a reroute of each message; none is lost.

        Messages of nobody are only counted.

        Origins of reroutes are checked against ``ends``, where these are given: a caller who
        applies the deliveries gives them.
        """
        routed, partitions = RoutedBatch(), self._settings.partitions
        for raw in batch:
            try:
                kind, partition, offset, arrived = self._find_origin(raw, ends)
                event = events.decode_for_taxonomy(kind, raw.value, self._taxonomy, self._nobody)
            except DecodeError as error:
                letters = self._settings.topic_dead_letters
                routed.letters.append(make_letter(raw, error, letters))
                routed.reasons.append(error.reason)
                continue
            customer = event.customer_id
            at_home = routed.homes.get(customer, -1)
            if at_home < 0:
                if customer in self._nobody:
                    routed.anomalies[Anomaly.NOBODY] += 1
                    continue
                at_home = partitioner.home_partition(customer, partitions)
            if at_home != raw.partition or raw.topic in self.repartitioned:
                position = kind, partition, offset, arrived
                routed.reroutes.append(self._make_reroute(raw, customer, position, at_home))
                continue
            routed.homes[customer] = at_home
            reached = arrived if arrived >= 0 else None
            if self._tokenizer is None or kind not in BEHAVIOURAL:
                routed.deliveries.append(Delivery.of(event, kind, partition, offset, reached))
                continue
            # Made while the event is in the processor's caches, and without a call for each.
            tokens = self._tokenizer.tokenize(cast("Behaviour", event))
            at, source = tokens.occurred_at, kind << 16 | partition
            routed.deliveries.append(Delivery(tokens, kind, partition, offset, reached, at, source))
        return routed

    def _find_origin(self, raw: ConsumerRecord, ends: LogEnds | None) -> tuple[int, int, int, int]:
        """Return kind, partition, offset and arrival where a message first came in."""
        kind = self._kinds.get(raw.topic)
        if kind is not None:
            return kind, raw.partition, raw.offset, raw.timestamp
        origin = parse_origin(raw, self._kinds)
        if ends is not None:
            check_origin(origin, raw, ends)
        return origin

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
