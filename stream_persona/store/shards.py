"""A partition's shard of the model: folded from its records, updated, published, read again."""

from __future__ import annotations

import asyncio
import heapq
from typing import TYPE_CHECKING, Final, NamedTuple

from stream_persona.model import shard
from stream_persona.model.classifier import PersonaClassifier
from stream_persona.model.statistics import hash_customer
from stream_persona.pipeline import training
from stream_persona.store.redis_errors import make_foreign_key_error
from stream_persona.store.repository import load_labelled, load_training_examples

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stream_persona.domain.record import Record
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.model.shard import Shard
    from stream_persona.pipeline.process import ModelUpdate
    from stream_persona.store.tables import Claim, Tables

_STAMP_BYTES: Final = 8
#: Customers read at a time when a shard is folded.
_REBUILD_CHUNK: Final = 2_000


class ReadShards(NamedTuple):
    """The shards by partition, each with its stamp; whether any differs from those known before.

    ``damaged`` are the partitions whose shard is not what was published: where one was known
    before, it is that one.
    """

    shards: dict[int, tuple[bytes, Shard]]
    changed: bool
    damaged: tuple[int, ...]


class FoldedShard(NamedTuple):
    """A partition's sums, the keys of their customers, and the customers with damaged records.

    ``unknown_labels`` are those that the taxonomy does not know, by customer: not in the sums
    either.
    """

    sums: PersonaClassifier
    labelled: dict[str, int]
    damaged: set[str]
    unknown_labels: dict[str, str]


async def read_shards(
    tables: Tables,
    stamps: Mapping[int, bytes],
    known: Mapping[int, tuple[bytes, Shard]],
    taxonomy: Taxonomy,
) -> ReadShards:
    """Read the published shards of the partitions in ``stamps``, with their stamps.

    ``known`` holds the shards last read. Only those whose stamp has moved are read again; those of
    partitions without a stamp are left out.

    Raises:
        UnavailableError: Redis stayed away.
        TopologyError: what is there is no shard of this deployment.
    """
    moved = [p for p, stamp in stamps.items() if p not in known or known[p][0] != stamp]
    found, damaged = {p: each for p, each in known.items() if p in stamps}, []
    for partition, (stamp, blob) in (await tables.load_shards(moved)).items():
        if len(stamp) < _STAMP_BYTES:
            raise make_foreign_key_error(
                f"persona-model:{partition} holds something else than ours"
            )
        if not shard.is_intact(blob, stamp):
            damaged.append(partition)
            continue
        before = found[partition][1] if partition in found else None
        found[partition] = (stamp, shard.decode_shard(blob, taxonomy, before))
    changed = len(moved) > len(damaged) or len(found) < len(known)
    return ReadShards(found, changed, tuple(damaged))


async def is_damaged(tables: Tables, partition: int, stamp: bytes) -> bool:
    """Whether what was published of a partition under this stamp is gone, or not what it was.

    Raises:
        UnavailableError: Redis stayed away.
    """
    found = (await tables.load_shards([partition])).get(partition)
    return found is None or (found[0] == stamp and not shard.is_intact(found[1], stamp))


async def fold_shard(tables: Tables, partition: int, taxonomy: Taxonomy) -> FoldedShard:
    """Fold a partition's sums from its labelled customers' records; damaged ones are set aside.

    Raises:
        UnavailableError: Redis stayed away.
    """
    sums, labelled, damaged = PersonaClassifier(), dict[str, int](), set[str]()
    unknown_labels = dict[str, str]()
    customers = await tables.load_labelled(partition)
    for start in range(0, len(customers), _REBUILD_CHUNK):
        chunk = customers[start : start + _REBUILD_CHUNK]
        known, unknown, broken = await load_labelled(tables, chunk, taxonomy)
        unknown_labels |= unknown
        damaged |= broken
        keys = [hash_customer(name) for name in known]
        rows = training.compute_contributions(list(known.values()), keys, taxonomy)
        labels = [training.find_label(record, taxonomy) for record in known.values()]
        sums.add_rows(rows, labels, [1] * len(labels))
        labelled.update(zip(known, keys, strict=True))
    return FoldedShard(sums, labelled, damaged, unknown_labels)


def update_sums(
    sums: PersonaClassifier, labelled: dict[str, int], model_updates: Sequence[ModelUpdate]
) -> None:
    """Apply model updates to sums, and to the keys of the customers in them."""
    sums.add_all([(update.part, update.persona, update.sign) for update in model_updates])
    for update in model_updates:
        if update.sign > 0:
            labelled[update.customer_id] = hash_customer(update.customer_id)
        else:
            labelled.pop(update.customer_id, None)


async def load_panel(
    tables: Tables, labelled: dict[str, int], most: int, taxonomy: Taxonomy
) -> tuple[list[tuple[int, str, Record]], set[str]]:
    """Read key, label and record of the ``most`` labelled customers of the lowest keys.

    The second value names those that are left out, since their records are damaged.

    Raises:
        UnavailableError: Redis stayed away.
    """
    names = heapq.nsmallest(most, labelled, key=labelled.__getitem__)
    known, damaged = await load_training_examples(tables, names, taxonomy)
    entries = [
        (labelled[name], training.find_label(each, taxonomy) or "", each)
        for name, each in known.items()
    ]
    return entries, damaged


async def publish_shard(
    tables: Tables,
    claim: Claim,
    sums: PersonaClassifier,
    known: list[tuple[int, str, Record]],
    taxonomy: Taxonomy,
) -> bytes:
    """Publish a partition's shard; return its stamp, which is equal for equal content.

    ``known`` are key, label and record of its panel.

    Raises:
        FencedError: another worker owns the partition now.
    """
    blob, stamp = await asyncio.to_thread(
        shard.encode_shard, sums.encode_canonically(), known, taxonomy
    )
    await tables.save_shard(claim, blob, stamp)
    return stamp
