"""From a fetched batch to deliveries: what can't be read, and what belongs elsewhere, set aside."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast

from stream_persona import journal
from stream_persona.errors import DecodeError
from stream_persona.events import BEHAVIOURAL
from stream_persona.pipeline import Delivery
from stream_persona.publish import Message

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from aiokafka import ConsumerRecord

    from stream_persona.events import Behaviour
    from stream_persona.settings import Settings
    from stream_persona.taxonomy import Taxonomy
    from stream_persona.tokens import Tokenizer

#: Most characters of a dead letter's detail: what was wrong may be of any size.
MAX_DETAIL: Final = 500
#: Where a reroute says that its event first came in, and the bounds of each number.
_ORIGIN: Final = {"partition": (0, 1 << 16), "offset": (0, 1 << 62), "timestamp": (-1, 1 << 62)}


@dataclass(slots=True)
class Read:
    """What a batch holds: events at home here, dead letters, and events of other partitions.

    ``homes`` are the partitions of the deliveries' customers.
    """

    deliveries: list[Delivery] = field(default_factory=list)
    homes: dict[str, int] = field(default_factory=dict)
    letters: list[Message] = field(default_factory=list)
    reroutes: list[Message] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)


class Inbox:
    """Reads the batches of all input topics."""

    def __init__(
        self, settings: Settings, taxonomy: Taxonomy, tokenizer: Tokenizer | None = None
    ) -> None:
        """With a tokenizer, events of behaviour are kept as their tokens; else as they came."""
        self._settings = settings
        self._taxonomy = taxonomy
        self._tokenizer = tokenizer
        self._kinds = {topic: kind for kind, topic in enumerate(settings.input_topics)}
        #: Topics of another number of partitions: none of their partitions is anybody's home.
        self.repartitioned: Collection[str] = ()

    def read(self, batch: Sequence[ConsumerRecord]) -> Read:
        """Nothing of the batch is lost: each message becomes one of three."""
        read, partitions = Read(), self._settings.partitions
        for raw in batch:
            try:
                delivery = self._delivery(raw)
            except DecodeError as error:
                read.letters.append(self._dead_letter(raw, error))
                read.reasons.append(error.reason)
                continue
            customer = delivery.event.customer_id
            at_home = read.homes.get(customer, -1)
            if at_home < 0:
                at_home = journal.home(customer, partitions)
            if at_home == raw.partition and raw.topic not in self.repartitioned:
                read.deliveries.append(self._kept(delivery))
                read.homes[customer] = at_home
            else:
                read.reroutes.append(self._reroute(raw, delivery, at_home))
        return read

    def _kept(self, delivery: Delivery) -> Delivery:
        """What a batch keeps of it, made while the event is in the processor's caches."""
        if self._tokenizer is not None and delivery.kind in BEHAVIOURAL:
            delivery.event = self._tokenizer.heard(cast("Behaviour", delivery.event))
        return delivery

    def _delivery(self, raw: ConsumerRecord) -> Delivery:
        """The event of a message, at the position where it first arrived."""
        topic, partition, offset, arrived = raw.topic, raw.partition, raw.offset, raw.timestamp
        if topic == self._settings.topic_reroutes:
            topic, partition, offset, arrived = self._origin(raw)
        kind = self._kinds[topic]
        event = journal.read(kind, raw.value, self._taxonomy)
        return Delivery(event, kind, partition, offset, arrived if arrived >= 0 else None)

    def _origin(self, raw: ConsumerRecord) -> tuple[str, int, int, int]:
        """Topic, partition, offset and arrival where a rerouted message first came in."""
        origin = dict(raw.headers)
        try:
            partition, offset, arrived = (_within(origin[name], *_ORIGIN[name]) for name in _ORIGIN)
            topic = origin["topic"].decode()
            self._kinds[topic]
        except (AttributeError, KeyError, TypeError, ValueError):  # a header may have no value
            raise DecodeError("invalid_field", "the headers do not say where it came in") from None
        return topic, partition, offset, arrived

    def _dead_letter(self, raw: ConsumerRecord, error: DecodeError) -> Message:
        headers = (
            ("reason", error.reason.encode()), ("detail", error.detail[:MAX_DETAIL].encode()),
            ("topic", raw.topic.encode()), ("partition", str(raw.partition).encode()),
            ("offset", str(raw.offset).encode()),
        )  # fmt: skip
        return Message(self._settings.topic_dead_letters, raw.key, raw.value, headers)

    def _reroute(self, raw: ConsumerRecord, delivery: Delivery, partition: int) -> Message:
        arrived = -1 if delivery.arrived_at is None else delivery.arrived_at
        headers = (
            ("topic", self._settings.input_topics[delivery.kind].encode()),
            ("partition", str(delivery.partition).encode()),
            ("offset", str(delivery.offset).encode()),
            ("timestamp", str(arrived).encode()),
        )
        key = delivery.event.customer_id.encode()
        return Message(self._settings.topic_reroutes, key, raw.value, headers, partition)


def _within(digits: bytes, low: int, end: int) -> int:
    number = int(digits)
    if not low <= number < end:
        raise ValueError(digits)
    return number
