"""Reads all labelled customers as examples, from their stored records: what River learns from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stream_persona.domain.features import compute_profiles
from stream_persona.model.river_adapter import Example, sort_by_hash
from stream_persona.pipeline import training
from stream_persona.store import repository

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stream_persona.domain.record import Record
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.store.tables import Tables

#: Customers read at a time.
_CHUNK: Final = 2_000


async def read_examples(
    tables: Tables,
    partitions: int,
    taxonomy: Taxonomy,
    progress: Callable[[int], None] = lambda _: None,
) -> list[Example]:
    """Read the labelled customers of all partitions that have behaviour, sorted by a hash.

    ``progress`` is called with each number of customers read.

    Raises:
        UnavailableError: Redis stayed away.
    """
    found: list[Example] = []
    for partition in range(partitions):
        customers = await tables.load_labelled(partition)
        for start in range(0, len(customers), _CHUNK):
            chunk = customers[start : start + _CHUNK]
            records, _ = await repository.load_training_examples(tables, chunk, taxonomy)
            found += make_examples(records, taxonomy)
            progress(len(chunk))
    return sort_by_hash(found)


def make_examples(records: Mapping[str, Record], taxonomy: Taxonomy) -> list[Example]:
    """Make examples of the records that the model learns from, each as of its own clock."""
    known = {
        c: record for c, record in records.items() if training.is_training_example(record, taxonomy)
    }
    seen = compute_profiles([record.counts for record in known.values()], taxonomy.features)
    return [
        Example(
            customer,
            training.find_label(record, taxonomy) or "",
            seen.select_row(row),
            record.label.at if record.label else 0,
        )
        for row, (customer, record) in enumerate(known.items())
    ]
