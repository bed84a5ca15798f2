"""A partition's part of the model: folded from its records, taught, published."""

from __future__ import annotations

import asyncio
import heapq
from typing import TYPE_CHECKING, Final

from stream_persona.model import shard
from stream_persona.model.classifier import PersonaClassifier
from stream_persona.model.statistics import customer_key
from stream_persona.pipeline import process
from stream_persona.store.repository import load_training_examples

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stream_persona.domain.record import Record
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.model.shard import Part
    from stream_persona.pipeline.process import ModelUpdate
    from stream_persona.store.tables import Claim, Tables

#: Customers read at a time when a model's part is folded again.
_REBUILD_CHUNK: Final = 2_000


async def read_shards(
    tables: Tables,
    stamps: Mapping[int, bytes],
    known: Mapping[int, tuple[bytes, Part]],
    taxonomy: Taxonomy,
) -> tuple[dict[int, tuple[bytes, Part]], bool]:
    """Return the published shards of the partitions in ``stamps``, and whether any has changed.

    ``known`` holds the shards last read, each with its stamp. Only those whose stamp has moved are
    read again; those of partitions without a stamp are left out.

    Raises:
        UnavailableError: Redis stayed away.
    """
    moved = [p for p, stamp in stamps.items() if p not in known or known[p][0] != stamp]
    found = {p: each for p, each in known.items() if p in stamps}
    for partition, (stamp, blob) in (await tables.parts(moved)).items():
        before = found[partition][1] if partition in found else None
        found[partition] = (stamp, shard.unpack(blob, taxonomy, before))
    return found, bool(moved) or len(found) < len(known)


async def fold_part(
    tables: Tables, partition: int, taxonomy: Taxonomy
) -> tuple[PersonaClassifier, dict[str, int]]:
    """A partition's sums, folded from its labelled customers' records; these with their keys."""
    sums, taught = PersonaClassifier(), dict[str, int]()
    customers = await tables.labelled(partition)
    for start in range(0, len(customers), _REBUILD_CHUNK):
        chunk = customers[start : start + _REBUILD_CHUNK]
        known = await load_training_examples(tables, chunk, taxonomy)
        keys = [customer_key(name) for name in known]
        rows = process.contributed(list(known.values()), keys, taxonomy)
        labels = [record.active_label() for record in known.values()]
        sums.add_rows(rows, labels, [1] * len(labels))
        taught.update(zip(known, keys, strict=True))
    return sums, taught


def teach(
    sums: PersonaClassifier, taught: dict[str, int], model_updates: Sequence[ModelUpdate]
) -> None:
    """Learn and unlearn; ``taught`` are the customers whose contribution is in the sums."""
    sums.add_all([(lesson.part, lesson.persona, lesson.sign) for lesson in model_updates])
    for lesson in model_updates:
        if lesson.sign > 0:
            taught[lesson.customer_id] = customer_key(lesson.customer_id)
        else:
            taught.pop(lesson.customer_id, None)


async def panel(
    tables: Tables, taught: dict[str, int], most: int, taxonomy: Taxonomy
) -> list[tuple[int, str, Record]]:
    """Key, label and record of the ``most`` taught customers of the lowest keys."""
    names = heapq.nsmallest(most, taught, key=taught.__getitem__)
    known = await load_training_examples(tables, names, taxonomy)
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
