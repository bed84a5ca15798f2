"""One worker: fetch batches in, records, changes and model parts out. It knows nothing of Faust.

Order within a batch is what makes it effectively once: load, walk, one atomic write that holds
the positions together with their effects, publish and wait for the broker; the caller acks last.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from aiokafka.partitioner import murmur2

from stream_persona import pipeline, records
from stream_persona.affinity import affinities
from stream_persona.change import CAUSES, change_message, public_record
from stream_persona.errors import DecodeError, FencedError
from stream_persona.events import KINDS, Assignment, decode, encode
from stream_persona.model import PersonaClassifier, derive, seeds
from stream_persona.pipeline import Delivery
from stream_persona.publish import Message
from stream_persona.tables import Write
from stream_persona.tokens import Tokenizer

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from aiokafka import ConsumerRecord

    from stream_persona.metrics import Metrics
    from stream_persona.model import Weights
    from stream_persona.pipeline import Outcome
    from stream_persona.publish import Publisher
    from stream_persona.records import Record
    from stream_persona.settings import Settings
    from stream_persona.tables import Claim, Tables
    from stream_persona.taxonomy import Taxonomy

logger = logging.getLogger(__name__)

#: Customers read at a time when a model part is folded again.
_REBUILD_CHUNK = 2_000
#: Seconds between two writes of the affinities.
_AFFINITY_SECONDS = 5.0


@lru_cache(maxsize=200_000)
def home(customer_id: str, partitions: int) -> int:
    """A customer's partition, as Java's and aiokafka's producers choose it."""
    return (int(murmur2(customer_id.encode())) & 0x7FFFFFFF) % partitions


@dataclass(slots=True)
class Owned:
    """What a worker holds of a partition: its claim, its share of the model, recent records."""

    claim: Claim
    part: PersonaClassifier
    stamp: bytes = b""
    changed: bool = True
    cache: OrderedDict[str, Record] = field(default_factory=OrderedDict)


@dataclass(slots=True)
class _Read:
    deliveries: list[Delivery] = field(default_factory=list)
    letters: list[Message] = field(default_factory=list)
    reroutes: list[Message] = field(default_factory=list)


class Worker:
    """The state of one worker process and what it does with a batch."""

    def __init__(
        self,
        settings: Settings,
        taxonomy: Taxonomy,
        tables: Tables,
        publisher: Publisher,
        metrics: Metrics,
    ) -> None:
        self._settings = settings
        self._taxonomy = taxonomy
        self._tables = tables
        self._publisher = publisher
        self._metrics = metrics
        self._kinds = {topic: kind for kind, topic in enumerate(settings.input_topics)}
        self._tokenizer = Tokenizer(taxonomy)
        self._seeds = seeds(taxonomy)
        self._owned: dict[int, Owned] = {}
        self._others: dict[int, tuple[bytes, PersonaClassifier]] = {}
        self._weights = derive(PersonaClassifier(), taxonomy.names, self._seeds)
        self._claiming = asyncio.Lock()
        self._affinities_of = ""
        self._affinities_at = 0.0

    @property
    def weights(self) -> Weights:
        """The weights in use."""
        return self._weights

    @property
    def owned(self) -> frozenset[int]:
        """The partitions that this worker has claimed."""
        return frozenset(self._owned)

    async def start(self) -> None:
        """Read the names of slots and the model as others left it."""
        for slot, token in await self._tables.names():
            self._tokenizer.learn_name(slot, token)
        await self.refresh()

    async def assign(self, partitions: Collection[int]) -> None:
        """Own exactly these partitions: keep what is still ours, claim and fold the rest."""
        tokens = await self._tables.owners(list(partitions))
        self._owned = {
            p: owned
            for p, owned in self._owned.items()
            if p in partitions and tokens.get(p) == owned.claim.token
        }
        for partition in sorted(partitions):
            await self._own(partition)
        self._metrics.partitions.set(len(self._owned))
        await self.refresh()

    async def process(self, batch: Sequence[ConsumerRecord]) -> None:
        """The whole journey of what one fetch brought from one partition.

        Raises:
            FencedError: another worker owns the partition now; nothing was written.
            UnavailableError: Redis or Kafka stayed away; nothing may be acked.
        """
        started, partition = time.perf_counter(), batch[0].partition
        owned = self._owned.get(partition)
        if owned is None:
            raise FencedError(partition)
        read = self._read(batch)
        now = time.time_ns() // 1_000_000
        stored = await self._load(owned, read.deliveries)
        outcome = pipeline.walk(
            read.deliveries, stored, self._weights, self._taxonomy, self._tokenizer, now
        )
        await self._commit(owned, outcome)
        await self._publish(outcome, read)
        self._count(outcome, read, batch, started)

    async def refresh(self) -> None:
        """Publish our parts, read the others', derive new weights when anything has changed."""
        started = time.perf_counter()
        everything = list(range(self._settings.partitions))
        stamps = await self._tables.stamps(everything)
        changed = await self._read_parts({p: s for p, s in stamps.items() if p not in self._owned})
        for partition, owned in list(self._owned.items()):
            if owned.changed or stamps.get(partition) != owned.stamp:
                changed |= owned.changed
                await self._save_part(owned)
        await self._save_names()
        if changed:
            total = PersonaClassifier()
            for part in (o.part for o in self._owned.values()):
                total.merge(part)
            for _, part in self._others.values():
                total.merge(part)
            self._weights = derive(total, self._taxonomy.names, self._seeds)
            self._metrics.model_refresh.observe(time.perf_counter() - started)
            labelled = sum(o.part.customers for o in self._owned.values())
            self._metrics.labelled.set(labelled)
        self._metrics.cached.set(sum(len(o.cache) for o in self._owned.values()))
        await self._save_affinities()

    # --- a batch, step by step ---

    def _read(self, batch: Sequence[ConsumerRecord]) -> _Read:
        """Events that are at home here; what can't be read; what belongs elsewhere."""
        read, partitions = _Read(), self._settings.partitions
        for raw in batch:
            delivery = self._delivery(raw, read)
            if delivery is None:
                continue
            at_home = home(delivery.event.customer_id, partitions)
            if at_home == raw.partition:
                read.deliveries.append(delivery)
            else:
                read.reroutes.append(self._reroute(raw, delivery, at_home))
        return read

    def _delivery(self, raw: ConsumerRecord, read: _Read) -> Delivery | None:
        """The event of a message, at the position where it first arrived."""
        try:
            topic, partition, offset, arrived = self._origin(raw)
            kind = self._kinds[topic]
            event = decode(kind, raw.value)
            if isinstance(event, Assignment) and event.persona not in {None, *self._taxonomy.names}:
                known = ", ".join(self._taxonomy.names)
                detail = (
                    f"persona {event.persona!r} is not of the taxonomy; expected one of {known}"
                )
                raise DecodeError("unknown_persona", detail)  # noqa: TRY301 - one way out
        except DecodeError as error:
            read.letters.append(self._dead_letter(raw, error))
            return None
        return Delivery(event, kind, partition, offset, arrived if arrived >= 0 else None)

    def _origin(self, raw: ConsumerRecord) -> tuple[str, int, int, int]:
        """Topic, partition, offset and arrival where a message first came in."""
        if raw.topic != self._settings.topic_reroutes:
            return raw.topic, raw.partition, raw.offset, raw.timestamp
        origin = dict(raw.headers)
        try:
            numbers = [int(origin[name]) for name in ("partition", "offset", "timestamp")]
            topic = origin["topic"].decode()
            self._kinds[topic]
            partition, offset, arrived = numbers
        except (KeyError, ValueError):
            raise DecodeError("invalid_field", "the headers do not say where it came in") from None
        return topic, partition, offset, arrived

    def _dead_letter(self, raw: ConsumerRecord, error: DecodeError) -> Message:
        self._metrics.dead_letters.labels(error.reason).inc()
        headers = (
            ("reason", error.reason.encode()), ("detail", error.detail.encode()),
            ("topic", raw.topic.encode()), ("partition", str(raw.partition).encode()),
            ("offset", str(raw.offset).encode()),
        )  # fmt: skip
        return Message(self._settings.topic_dead_letters, raw.key, raw.value, headers)

    def _reroute(self, raw: ConsumerRecord, delivery: Delivery, partition: int) -> Message:
        headers = (
            ("topic", self._settings.input_topics[delivery.kind].encode()),
            ("partition", str(delivery.partition).encode()),
            ("offset", str(delivery.offset).encode()),
            ("timestamp", str(raw.timestamp).encode()),
        )
        key = delivery.event.customer_id.encode()
        return Message(self._settings.topic_reroutes, key, raw.value, headers, partition)

    async def _load(self, owned: Owned, deliveries: Sequence[Delivery]) -> dict[str, Record]:
        customers = dict.fromkeys(delivery.event.customer_id for delivery in deliveries)
        missing = [customer for customer in customers if customer not in owned.cache]
        if missing:
            blobs = await self._tables.load(missing)
            loaded = records.decode(list(blobs.values()), self._taxonomy.fingerprint)
            owned.cache.update(zip(blobs, loaded, strict=True))
        return {c: owned.cache[c] for c in customers if c in owned.cache}

    async def _commit(self, owned: Owned, outcome: Outcome) -> None:
        """One atomic write, then what it means in memory."""
        if outcome.records:
            try:
                await self._tables.commit(owned.claim, self._write(outcome))
            except FencedError:
                self._metrics.fenced.inc()
                self._owned.pop(owned.claim.partition, None)
                raise
        for lesson in outcome.lessons:
            owned.part.add(lesson.part, lesson.persona, lesson.sign)
            owned.changed = True
        cache = owned.cache
        for customer, record in outcome.records.items():
            cache[customer] = record
            cache.move_to_end(customer)
        most = max(1, self._settings.cached_customers // max(1, len(self._owned)))
        while len(cache) > most:
            cache.popitem(last=False)

    def _write(self, outcome: Outcome) -> Write:
        write = Write(marker_ms=round(self._settings.deletion_marker_days * 86_400_000))
        blobs = records.encode(list(outcome.records.values()), self._taxonomy.fingerprint)
        coverage = self._taxonomy.policy.candidate_coverage
        for (customer, record), blob in zip(outcome.records.items(), blobs, strict=True):
            write.states[customer] = None if record.is_marker else blob
            if record.is_marker:
                write.markers[customer] = blob
            if customer in outcome.spoken:
                said = record.said
                public = public_record(customer, said, coverage) if said else None
                write.public[customer] = public
        write.pending = sorted(outcome.spoken)
        for lesson in outcome.lessons:
            (write.labelled if lesson.sign > 0 else write.unlabelled).add(lesson.customer_id)
        write.unlabelled -= write.labelled
        return write

    async def _publish(self, outcome: Outcome, read: _Read) -> None:
        changes = [self._change(name, value) for name, value in outcome.messages]
        await self._publisher.publish([*changes, *read.letters, *read.reroutes])
        await self._tables.announce([_copy(name, value) for name, value in outcome.messages])

    def _change(self, customer: str, value: bytes | None) -> Message:
        return Message(self._settings.topic_changes, customer.encode(), value)

    def _count(
        self, outcome: Outcome, read: _Read, batch: Sequence[ConsumerRecord], started: float
    ) -> None:
        metrics = self._metrics
        for kind, number in enumerate(outcome.applied):
            if number:
                metrics.events.labels(KINDS[kind].__name__.lower()).inc(number)
        for cause in outcome.causes:
            metrics.changes.labels(CAUSES[cause]).inc()
        metrics.redelivered.inc(outcome.redelivered)
        metrics.duplicates.inc(outcome.duplicates)
        metrics.dropped.inc(outcome.dropped)
        metrics.rerouted.inc(len(read.reroutes))
        metrics.batch_seconds.observe(time.perf_counter() - started)
        if outcome.causes:
            metrics.change_seconds.observe(max(0.0, time.time() - batch[-1].timestamp / 1_000))

    # --- the model's parts ---

    async def _own(self, partition: int) -> Owned:
        """The partition as this worker holds it, claimed first when it does not yet."""
        async with self._claiming:
            if partition not in self._owned:
                self._owned[partition] = await self._claim(partition)
                self._others.pop(partition, None)
            return self._owned[partition]

    async def _claim(self, partition: int) -> Owned:
        """Become the owner, and fold the partition's share of the model from the records."""
        claim = (await self._tables.claim([partition]))[partition]
        await self._publish_pending(partition)
        owned = Owned(claim, PersonaClassifier())
        customers = await self._tables.labelled(partition)
        for start in range(0, len(customers), _REBUILD_CHUNK):
            blobs = await self._tables.load(customers[start : start + _REBUILD_CHUNK])
            loaded = records.decode(list(blobs.values()), self._taxonomy.fingerprint)
            for lesson in pipeline.lessons(dict(zip(blobs, loaded, strict=True)), self._taxonomy):
                owned.part.add(lesson.part, lesson.persona, lesson.sign)
        logger.info("own partition %d: %d labelled customers", partition, owned.part.customers)
        return owned

    async def _publish_pending(self, partition: int) -> None:
        """Say once more what the last batch wrote: its writer may have died before it could.

        The record's last change is the outbox, so what is said again is the same to the byte.
        """
        customers = await self._tables.pending(partition)
        blobs = await self._tables.load(customers)
        stored = records.decode(list(blobs.values()), self._taxonomy.fingerprint)
        again = {
            name: change_message(name, record) if record.said else None
            for name, record in zip(blobs, stored, strict=True)
        }
        await self._publisher.publish([self._change(*each) for each in again.items()])
        await self._tables.announce([_copy(*each) for each in again.items()])

    async def _read_parts(self, stamps: dict[int, bytes]) -> bool:
        """Fetch the parts of other workers that have moved; whether any had."""
        moved = [p for p, stamp in stamps.items() if self._others.get(p, (b"",))[0] != stamp]
        gone = self._others.keys() - stamps.keys()
        for partition in gone:
            del self._others[partition]
        for partition, (stamp, blob) in (await self._tables.parts(moved)).items():
            if partition not in self._owned:  # claimed while we were reading
                self._others[partition] = (stamp, PersonaClassifier.from_bytes(blob))
        return bool(moved or gone)

    async def _save_part(self, owned: Owned) -> None:
        owned.changed = False
        canonical = owned.part.canonical()
        owned.stamp = hashlib.blake2b(canonical, digest_size=8).digest()
        blob = await asyncio.to_thread(PersonaClassifier.compress, canonical)
        try:
            await self._tables.save_part(owned.claim, blob, owned.stamp)
        except FencedError:
            self._owned.pop(owned.claim.partition, None)

    async def _save_names(self) -> None:
        fresh, self._tokenizer.fresh = self._tokenizer.fresh, []
        await self._tables.add_names(fresh)

    async def _save_affinities(self) -> None:
        """The owner of the first partition keeps the affinities fresh."""
        due = time.monotonic() - self._affinities_at > _AFFINITY_SECONDS
        if 0 in self._owned and due and self._affinities_of != self._weights.version:
            await self._tables.save_affinities(affinities(self._weights, self._tokenizer.name))
            self._affinities_of, self._affinities_at = self._weights.version, time.monotonic()


def _copy(customer: str, change: bytes | None) -> bytes:
    """The pub/sub copy of a message; a tombstone says whom it is for."""
    return change if change is not None else encode({"customer_id": customer, "deleted": True})
