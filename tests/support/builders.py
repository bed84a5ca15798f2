"""Small builders of events, deliveries, records and taxonomies: test bodies stay short."""

import itertools
import random
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from aiokafka.structs import ConsumerRecord

from stream_persona.domain import events, record_codec
from stream_persona.domain.events import (
    Assignment,
    Browse,
    Deletion,
    Engagement,
    Event,
    Item,
    Purchase,
)
from stream_persona.domain.features import Observation, Profiles, profiles
from stream_persona.domain.record import Record
from stream_persona.domain.slots import SLOT_TYPE, WEIGHT_TYPE
from stream_persona.domain.taxonomy import Taxonomy
from stream_persona.domain.tokenizer import Tokenizer
from stream_persona.errors import FencedError, UnavailableError
from stream_persona.kafka.publisher import IsMine, Message
from stream_persona.model.classifier import PersonaClassifier
from stream_persona.model.estimator import derive
from stream_persona.model.weights import Weights
from stream_persona.pipeline import process
from stream_persona.pipeline.messages import Change
from stream_persona.pipeline.process import Delivery, Histories, LateDeletion, Outcome
from stream_persona.settings import Settings
from stream_persona.store.memory import MemoryTables
from stream_persona.worker.metrics import Metrics
from stream_persona.worker.worker import Worker
from tests.support.waiting import eventually

#: A moment in event time, and units of it, in milliseconds.
NOW = 1_700_000_000_000
SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000

PERSONAS = ("parent", "student", "builder", "athlete", "gamer")


def shop(names: Iterable[str] = PERSONAS, **parts: Any) -> Taxonomy:
    """A taxonomy of these personas; ``parts`` are its other tables."""
    return Taxonomy.model_validate({"persona": [{"name": name} for name in names], **parts})


def quick_shop(**features: Any) -> Taxonomy:
    """One with a half-life of about a quarter of an hour, and so epochs of about four hours."""
    return shop(features={"half_life_days": 0.01, **features})


def purchase(
    name: str, at: int = NOW, customer: str = "c", categories: Iterable[str] = ("food",)
) -> Purchase:
    items = tuple(Item(f"p-{category}", category=category) for category in categories)
    return Purchase(name, customer, at, items)


def browse(name: str, at: int = NOW, customer: str = "c", query: str = "shoes") -> Browse:
    return Browse(name, customer, at, "search", query=query)


def engagement(name: str, at: int = NOW, customer: str = "c") -> Engagement:
    return Engagement(name, customer, at, "email", "click", campaign="spring")


def assignment(
    name: str,
    at: int = NOW,
    customer: str = "c",
    persona: str | None = "parent",
    expires_at: int | None = None,
) -> Assignment:
    return Assignment(name, customer, at, persona, expires_at=expires_at)


def deletion(name: str, at: int = NOW, customer: str = "c") -> Deletion:
    return Deletion(name, customer, at)


def kind_of(event: Event) -> int:
    return events.KINDS.index(type(event))


def delivered(*happened: Event, partition: int = 0, first: int = 0) -> list[Delivery]:
    """Each event at the next offset of its topic."""
    offsets = [itertools.count(first) for _ in events.KINDS]
    return [Delivery.of(e, kind_of(e), partition, next(offsets[kind_of(e)])) for e in happened]


def interleaved(inputs: Sequence[Sequence[Delivery]], rng: random.Random) -> list[Delivery]:
    """One order of all deliveries in which each input keeps its own."""
    rest, order = [list(run) for run in inputs if run], []
    while rest:
        order.append(rng.choice(rest).pop(0))
        rest = [run for run in rest if run]
    return order


def redelivered(deliveries: Sequence[Delivery], rng: random.Random) -> list[Delivery]:
    """The same, with copies of some deliveries somewhere behind them."""
    order = list(deliveries)
    for delivery in rng.sample(order, len(order) // 3):
        order.insert(rng.randint(order.index(delivery) + 1, len(order)), delivery)
    return order


def batches(deliveries: Sequence[Delivery], rng: random.Random) -> Iterator[list[Delivery]]:
    """The deliveries in batches of random sizes."""
    at = 0
    while at < len(deliveries):
        size = rng.randint(1, max(1, len(deliveries)))
        yield list(deliveries[at : at + size])
        at += size


def absorbed(
    runs: Iterable[Sequence[Delivery]], taxonomy: Taxonomy, stored: Mapping[str, bytes] = {}
) -> dict[str, bytes]:
    """The folded bytes of each customer after batches, each by a worker that starts anew."""
    known, mark = dict(stored), taxonomy.fingerprint
    told: dict[tuple[int, int], Delivery] = {}
    for run in runs:
        before = dict(
            zip(known, record_codec.decode_records(list(known.values()), mark), strict=True)
        )
        histories = {
            name: [d for d in told.values() if d.event.customer_id == name]
            for name in process.find_late_deletions(run, before, taxonomy)
        }
        outcome = process.apply_events(run, before, taxonomy, Tokenizer(taxonomy), histories)
        told |= {(d.source, d.offset): d for d in run if (d.source, d.offset) not in told}
        known |= {
            c: record_codec.encode_folded(record, mark) for c, record in outcome.records.items()
        }
    return known


def walked(
    deliveries: Sequence[Delivery],
    taxonomy: Taxonomy,
    stored: Mapping[str, Record] = {},
    weights: Weights | None = None,
    now: int = NOW,
    histories: Histories = MappingProxyType({}),
) -> Outcome:
    """What a batch leads to; the model knows nothing unless ``weights`` are given."""
    known, tokenizer = weights or derive(PersonaClassifier(), taxonomy.names), Tokenizer(taxonomy)
    return process.process_batch(deliveries, stored, known, taxonomy, tokenizer, now, histories)


def record_of(*happened: Event, taxonomy: Taxonomy) -> Record:
    """The record of the one customer of these events."""
    (record,) = walked(delivered(*happened), taxonomy).records.values()
    return record


async def settled(working: Worker) -> None:
    """Let a worker follow the model until its weights are those of all that was learned."""

    async def follows() -> bool:
        await working.refresh()
        return working._model.follower.settled

    await eventually(follows, 20, "the weights do not settle")


def observation(row: int, at: int, tokens: Sequence[tuple[int, int]]) -> Observation:
    """An event of ``(slot, weight)`` for the customer in a row."""
    slots, weights = np.array(tokens, np.int64).reshape(-1, 2).T
    return Observation(
        row, at, slots.astype(SLOT_TYPE).tobytes(), weights.astype(WEIGHT_TYPE).tobytes()
    )


def unpacked(slots: bytes, weights: bytes) -> list[tuple[int, int]]:
    """Slot and weight of each token that a tokenizer has read."""
    numbers = np.frombuffer(slots, SLOT_TYPE), np.frombuffer(weights, WEIGHT_TYPE)
    return list(zip(*(each.tolist() for each in numbers), strict=True))


def profile_after(*happened: Event, taxonomy: Taxonomy) -> Profiles:
    return profiles([record_of(*happened, taxonomy=taxonomy).counts], taxonomy.features)


def tastes(taxonomy: Taxonomy, customers: int = 4, seed: int = 1) -> list[Event]:
    """Labelled customers of each persona, who mostly buy in the category of its name."""
    rng, made = random.Random(seed), []
    for persona, number in itertools.product(taxonomy.names, range(customers)):
        customer = f"{persona}-{number}"
        made.append(assignment(f"a-{customer}", NOW, customer, persona))
        for i in range(rng.randint(3, 12)):
            category = persona if rng.random() < 0.7 else rng.choice(taxonomy.names)
            at = NOW + rng.randint(0, 30 * DAY)
            made.append(purchase(f"{customer}-{i}", at, customer, (category, "food")))
    return made


def model_of(happened: Sequence[Event], taxonomy: Taxonomy) -> PersonaClassifier:
    model = PersonaClassifier()
    for lesson in walked(delivered(*happened), taxonomy).model_updates:
        model.add(lesson.part, lesson.persona, lesson.sign)
    return model


# --- a worker and what it works on ---


class Crash(Exception):  # noqa: N818 - it is no error of the package's
    """The process ends here."""


class Outbox:
    """A publisher that keeps what it was given; ``crashes`` says how often it ends instead."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.crashes = 0

    async def publish(self, messages: Sequence[Message]) -> None:
        if messages and self.crashes:
            self.crashes -= 1
            raise Crash
        self.sent += messages

    async def own(self, partition: int, changes: Sequence[Change], is_mine: IsMine) -> None:
        if not await is_mine():
            raise FencedError(partition)
        await self.change(partition, changes)

    async def change(self, partition: int, changes: Sequence[Change]) -> None:
        topic = Settings.model_fields["topic_changes"].default
        sent = [Message(topic, name.encode(), value, (), partition) for name, value in changes]
        await self.publish(sent)

    async def disown(self, partitions: Collection[int]) -> None:
        """Nobody else publishes here."""

    def values(self, topic: str) -> list[bytes | None]:
        return [message.value for message in self.sent if message.topic == topic]


class Log:
    """A history of what a test says that the topics hold."""

    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []

    async def read(self, wanted: Mapping[str, LateDeletion]) -> dict[str, list[Delivery]]:
        found: dict[str, list[Delivery]] = {name: [] for name in wanted}
        for delivery in self.deliveries:
            late_deletions = wanted.get(delivery.event.customer_id)
            if late_deletions and delivery.offset < late_deletions.positions.get(
                delivery.source, 0
            ):
                found[delivery.event.customer_id].append(delivery)
        return found


class LostTables(MemoryTables):
    """A server that stays away."""

    async def load(self, customers: Sequence[str]) -> dict[str, bytes]:
        if customers:
            raise UnavailableError("Redis stayed away")
        return {}


def worker_settings(partitions: int = 1, **values: Any) -> Settings:
    return Settings(partitions=partitions, **values)


def worker(
    tables: MemoryTables,
    outbox: Outbox,
    taxonomy: Taxonomy,
    settings: Settings | None = None,
    log: Log | None = None,
) -> Worker:
    settings = settings or worker_settings()
    return Worker(settings, taxonomy, tables, outbox, log or Log(), Metrics())


def raw(
    topic: str,
    value: bytes | None,
    offset: int = 0,
    partition: int = 0,
    headers: Sequence[tuple[str, bytes]] = (),
    at: int = NOW,
) -> ConsumerRecord:
    """A message as aiokafka hands it over."""
    size = len(value or b"")
    return ConsumerRecord(
        topic, partition, offset, at, 0, b"key", value, None, 3, size, tuple(headers)
    )


def fetched(
    *happened: Event, partition: int = 0, first: int = 0, settings: Settings | None = None
) -> list[ConsumerRecord]:
    """The messages of events of one customer-keyed topic or several."""
    topics = (settings or worker_settings()).input_topics
    return [
        raw(topics[d.kind], events.encode(d.event), d.offset, partition)
        for d in delivered(*happened, partition=partition, first=first)
    ]
