"""Workers on tables in memory: what they are given, and what they leave behind."""

import asyncio
import copy
import json
import random
from collections.abc import Sequence
from typing import Any

from aiokafka.structs import ConsumerRecord, TopicPartition

from stream_persona.clocks import Clocks
from stream_persona.domain import record_codec
from stream_persona.domain.events import Event
from stream_persona.domain.taxonomy import Taxonomy
from stream_persona.kafka.router import MessageRouter
from stream_persona.model.classifier import PersonaClassifier
from stream_persona.model.shard import decode_shard
from stream_persona.pipeline import training
from stream_persona.store.memory import MemoryTables
from stream_persona.worker.metrics import Metrics
from tests.support.constants import DAY, NOW
from tests.support.events import assignment, deletion, labelled_shoppers, purchase, shop
from tests.support.workers import (
    InMemoryLog,
    PatientWorker,
    RecordingPublisher,
    settle,
    worker,
    worker_settings,
)

SHOP = shop()
CHANGES = "persona-changes"


class FakeClock:
    """Seconds that a test sets; ``clocks`` are those of a worker that begins at ``NOW``."""

    def __init__(self) -> None:
        self.now = 0.0
        self.clocks = Clocks(self, lambda: NOW + round(1_000 * self.now))

    def __call__(self) -> float:
        return self.now


#: What a client of the tables knows by itself, whatever becomes of them.
KNOWN_OUTSIDE = {"_acked", "_last_token", "_clock"}


class Tables(MemoryTables):
    """Tables that can be put back."""

    def save(self) -> dict[str, Any]:
        return copy.deepcopy({k: v for k, v in vars(self).items() if k not in KNOWN_OUTSIDE})

    def put_back(self, saved: dict[str, Any]) -> None:
        vars(self).update(copy.deepcopy(saved))


def committed(batch: Sequence[ConsumerRecord]) -> dict[tuple[str, int], int | None]:
    """What a group has committed that has read a batch to its end."""
    return {(raw.topic, raw.partition): raw.offset + 1 for raw in batch}


def log_of(batch: Sequence[ConsumerRecord]) -> InMemoryLog:
    """A log of a batch, which is all that there is."""
    log = InMemoryLog(end=0)
    log.deliveries = MessageRouter(worker_settings(), SHOP).route(batch).deliveries
    log.ends = {TopicPartition(*at): end or 0 for at, end in committed(batch).items()}
    return log


class CachingClient:
    """A client that has looked all customers up by now, and keeps each until it is announced."""

    def __init__(self, tables: MemoryTables) -> None:
        self._tables = tables
        self._kept = dict(tables.public_records)
        self._received = len(tables.announced)

    def find_stale(self) -> set[str]:
        """Find the customers that it goes on showing as they are no more; unknown ones, too."""
        announced = self._tables.announced[self._received :]
        dropped = {json.loads(copy)["customer_id"] for copy in announced}
        now = self._tables.public_records
        return {
            n for n in self._kept.keys() | now.keys() if self._kept.get(n) != now.get(n)
        } - dropped


def clocked(
    tables: MemoryTables,
    clock: FakeClock,
    *,
    taxonomy: Taxonomy = SHOP,
    outbox: RecordingPublisher | None = None,
    **settings: Any,
) -> PatientWorker:
    """A new worker with this clock."""
    own, published = worker_settings(**settings), outbox or RecordingPublisher()
    return PatientWorker(own, taxonomy, tables, published, InMemoryLog(), Metrics(), clock.clocks)


async def assigned(tables: MemoryTables, outbox: RecordingPublisher) -> PatientWorker:
    """A new worker that owns the one partition."""
    working = worker(tables, outbox, SHOP)
    await working.assign([0])
    return working


async def processed(
    *batches: Sequence[ConsumerRecord], tables: MemoryTables | None = None
) -> tuple[MemoryTables, RecordingPublisher]:
    """What a new worker leaves behind that processes batches, one after another."""
    tables, outbox = tables or MemoryTables(), RecordingPublisher()
    working = await assigned(tables, outbox)
    for batch in batches:
        await working.process(batch)
    await settle(working)
    return tables, outbox


async def turns() -> None:
    """Let all tasks run as far as they come: with tables in memory, each step is a turn."""
    for _ in range(100):
        await asyncio.sleep(0)


def story() -> list[Event]:
    """Events of all kinds in some order: labels come and go, customers are deleted."""
    rng = random.Random(5)
    happened = labelled_shoppers(SHOP, customers=2)
    happened += [assignment(f"o{i}", NOW + i, f"gamer-{i}", "student") for i in range(2)]
    happened += [assignment("w", NOW + 9, "parent-0", None)]
    happened += [deletion("d", NOW + 40 * DAY, "parent-1")]
    happened += [assignment("x", NOW + 9, "builder-0", "athlete", NOW + DAY)]
    happened += [purchase(f"z{i}", NOW + i * DAY, "builder-0") for i in range(3)]
    rng.shuffle(happened)
    return happened


def cut(batch: list[ConsumerRecord], size: int) -> list[list[ConsumerRecord]]:
    return [batch[i : i + size] for i in range(0, len(batch), size)]


def changes(outbox: RecordingPublisher) -> list[Any]:
    """The published changes; None for a tombstone."""
    return [json.loads(v) if v is not None else None for v in outbox.values(CHANGES)]


def folded(tables: MemoryTables) -> dict[str, bytes]:
    """What is folded of each customer."""
    blobs = {**tables.markers, **tables.states}
    read = record_codec.decode_records(blobs, SHOP.fingerprint)
    return {c: record_codec.encode_folded(r, SHOP.fingerprint) for c, r in read.items()}


def sum_of(tables: MemoryTables) -> bytes:
    """The model that all stored records fold to."""
    stored = record_codec.decode_records(tables.states, SHOP.fingerprint)
    model = PersonaClassifier()
    for update in training.derive_updates(stored, SHOP):
        model.add(update.part, update.persona)
    return model.encode_canonically()


async def published_sum(tables: MemoryTables, partitions: int = 1) -> bytes:
    """The model that all published shards add up to."""
    total = PersonaClassifier()
    for _, blob in (await tables.load_shards(range(partitions))).values():
        total.merge(decode_shard(blob, SHOP).sums)
    return total.encode_canonically()


def assert_changes_have_no_hole(outbox: RecordingPublisher) -> None:
    """A change is the same whenever it is published, and no revision is skipped."""
    contents: dict[str, Any] = {}
    reached: dict[str, int] = {}
    for message in (message for message in outbox.messages if message.topic == CHANGES):
        customer = (message.key or b"").decode()
        if message.value is None:
            reached[customer] = 0
            continue
        change = json.loads(message.value)
        assert contents.setdefault(change["change_id"], message.value) == message.value
        assert change["revision"] <= reached.get(customer, 0) + 1
        reached[customer] = max(reached.get(customer, 0), change["revision"])
