"""What a worker and a replay do alike around the walk: read, load, write, fold a model's part."""

from __future__ import annotations

import asyncio
import heapq
from collections import OrderedDict
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from aiokafka.partitioner import murmur2

from stream_persona.domain import record_codec
from stream_persona.model import shard
from stream_persona.model.classifier import PersonaClassifier
from stream_persona.model.statistics import customer_key
from stream_persona.pipeline import process
from stream_persona.pipeline.messages import change_message
from stream_persona.tables import Write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from stream_persona.domain.record import Record
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.pipeline.messages import Change
    from stream_persona.pipeline.process import Lesson, Outcome
    from stream_persona.tables import Claim, Tables

#: Customers read at a time when a model's part is folded again.
_REBUILD_CHUNK: Final = 2_000


@lru_cache(maxsize=200_000)
def home(customer_id: str, partitions: int) -> int:
    """A customer's partition, as Java's and aiokafka's producers choose it."""
    return (int(murmur2(customer_id.encode())) & 0x7FFFFFFF) % partitions


@dataclass(slots=True)
class Share:
    """What an outcome means for one partition."""

    write: Write
    records: dict[str, Record] = field(default_factory=dict)
    lessons: list[Lesson] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)

    def keep(self, customer: str, record: Record, blob: bytes) -> None:
        """A customer's new record."""
        self.records[customer] = record
        if record.is_marker:
            self.write.states[customer] = None
            self.write.markers[customer] = blob
        else:
            self.write.states[customer] = blob

    def learn(self, lesson: Lesson) -> None:
        """A lesson; who is unlearned and learned in one go, in this order, is labelled."""
        self.lessons.append(lesson)
        if lesson.sign > 0:
            self.write.labelled.add(lesson.customer_id)
            self.write.unlabelled.discard(lesson.customer_id)
        else:
            self.write.unlabelled.add(lesson.customer_id)


def shares(
    outcome: Outcome, homes: Mapping[str, int], taxonomy: Taxonomy, marker_days: float
) -> dict[int, Share]:
    """An outcome by partition; ``homes`` are those of its customers.

    Records are encoded all at once, since that costs less than a few here and a few there.
    Deletions are remembered for ``marker_days``.
    """
    marker_ms, found = round(marker_days * 86_400_000), dict[int, Share]()
    blobs = record_codec.encode(list(outcome.records.values()), taxonomy.fingerprint)
    for (customer, record), blob in zip(outcome.records.items(), blobs, strict=True):
        share = found.get(homes[customer])
        if share is None:
            share = found[homes[customer]] = Share(Write(marker_ms=marker_ms))
        share.keep(customer, record, blob)
    for customer, public in outcome.spoken.items():
        found[homes[customer]].write.public[customer] = public
    for lesson in outcome.lessons:
        found[homes[lesson.customer_id]].learn(lesson)
    for change in outcome.messages:
        found[homes[change[0]]].changes.append(change)
    for share in found.values():
        share.write.pending = sorted(share.write.public)
    return found


def write_of(outcome: Outcome, taxonomy: Taxonomy, marker_days: float) -> Write:
    """What an outcome that has records changes in the tables, all of it in one partition."""
    return shares(outcome, dict.fromkeys(outcome.records, 0), taxonomy, marker_days)[0].write


class RecordCache:
    """The most recently used records. Only who has claimed their partition may trust it."""

    def __init__(self, tables: Tables, fingerprint: int) -> None:
        self._tables = tables
        self._fingerprint = fingerprint
        self._known: OrderedDict[str, Record] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def get(self, customer: str) -> Record | None:
        """A customer's record, if it is remembered."""
        return self._known.get(customer)

    async def load(self, customers: Iterable[str]) -> dict[str, Record]:
        """The records of those customers that have one."""
        wanted = dict.fromkeys(customers)
        missing = [customer for customer in wanted if customer not in self._known]
        self._known.update(await load(self._tables, missing, self._fingerprint))
        return {c: self._known[c] for c in wanted if c in self._known}

    def keep(self, changed: dict[str, Record], most: int) -> None:
        """Remember new records, and beside them the most recently changed ones up to ``most``.

        The new ones are never forgotten here, since they may not have been written yet.
        """
        for customer, record in changed.items():
            self._known[customer] = record
            self._known.move_to_end(customer)
        while len(self._known) > max(most, len(changed)):
            self._known.popitem(last=False)


async def load(
    tables: Tables,
    customers: list[str],
    fingerprint: int,
    decode: Callable[[Sequence[bytes], int], list[Record]] = record_codec.decode,
) -> dict[str, Record]:
    """The stored records of those customers that have one."""
    blobs = await tables.load(customers) if customers else {}
    return dict(zip(blobs, decode(list(blobs.values()), fingerprint), strict=True))


async def load_taught(
    tables: Tables, customers: list[str], taxonomy: Taxonomy
) -> dict[str, Record]:
    """Of those customers that the model learns from, their counts and labels alone."""
    loaded = await load(tables, customers, taxonomy.fingerprint, record_codec.decode_taught)
    return {name: each for name, each in loaded.items() if process.teaches(each, taxonomy)}


async def is_mine(tables: Tables, claim: Claim) -> bool:
    """Whether nobody has claimed the partition since."""
    tokens = await tables.owners([claim.partition])
    return tokens.get(claim.partition) == claim.token


async def unpublished(
    tables: Tables, partition: int, taxonomy: Taxonomy
) -> list[tuple[str, bytes | None]]:
    """The changes (None: tombstones) of a partition's last write, the same to the byte.

    Its writer may have died before it could publish them: the next owner does.
    """
    pending = await load(tables, await tables.pending(partition), taxonomy.fingerprint)
    found: list[tuple[str, bytes | None]] = []
    for name, record in pending.items():
        if record.deleted_at and (record.said is None or record.said.revision == 1):
            found.append((name, None))  # before the first change since
        if record.said is not None:
            found.append((name, change_message(name, record)))
    return found


async def fold_part(
    tables: Tables, partition: int, taxonomy: Taxonomy
) -> tuple[PersonaClassifier, dict[str, int]]:
    """A partition's sums, folded from its labelled customers' records; these with their keys."""
    sums, taught = PersonaClassifier(), dict[str, int]()
    customers = await tables.labelled(partition)
    for start in range(0, len(customers), _REBUILD_CHUNK):
        chunk = customers[start : start + _REBUILD_CHUNK]
        known = await load_taught(tables, chunk, taxonomy)
        keys = [customer_key(name) for name in known]
        rows = process.contributed(list(known.values()), keys, taxonomy)
        labels = [record.active_label() for record in known.values()]
        sums.add_rows(rows, labels, [1] * len(labels))
        taught.update(zip(known, keys, strict=True))
    return sums, taught


def teach(sums: PersonaClassifier, taught: dict[str, int], lessons: Sequence[Lesson]) -> None:
    """Learn and unlearn; ``taught`` are the customers whose contribution is in the sums."""
    sums.add_all([(lesson.part, lesson.persona, lesson.sign) for lesson in lessons])
    for lesson in lessons:
        if lesson.sign > 0:
            taught[lesson.customer_id] = customer_key(lesson.customer_id)
        else:
            taught.pop(lesson.customer_id, None)


async def panel(
    tables: Tables, taught: dict[str, int], most: int, taxonomy: Taxonomy
) -> list[tuple[int, str, Record]]:
    """Key, label and record of the ``most`` taught customers of the lowest keys."""
    names = heapq.nsmallest(most, taught, key=taught.__getitem__)
    known = await load_taught(tables, names, taxonomy)
    return [(taught[name], record.active_label() or "", record) for name, record in known.items()]


async def save_part(
    tables: Tables,
    claim: Claim,
    sums: PersonaClassifier,
    known: list[tuple[int, str, Record]],
    taxonomy: Taxonomy,
) -> bytes:
    """Publish a partition's share; its stamp, which is equal for equal content.

    Raises:
        FencedError: another worker owns the partition now.
    """
    blob, stamp = await asyncio.to_thread(shard.pack, sums.canonical(), known, taxonomy)
    await tables.save_part(claim, blob, stamp)
    return stamp
