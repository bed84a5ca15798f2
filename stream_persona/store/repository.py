"""Records from the tables, and a cache of those used most recently."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from stream_persona.domain import record_codec
from stream_persona.pipeline import training

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from stream_persona.domain.record import Record
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.store.tables import Tables

    Decode = Callable[[Mapping[str, bytes], int], dict[str, Record]]


class RecordCache:
    """The most recently used records; right only for as long as their partition is claimed."""

    def __init__(self, tables: Tables, fingerprint: int) -> None:
        self._tables = tables
        self._fingerprint = fingerprint
        self._known: OrderedDict[str, Record] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def get(self, customer: str) -> Record | None:
        """Return a customer's record, if it is cached."""
        return self._known.get(customer)

    async def load(self, customers: Iterable[str]) -> dict[str, Record]:
        """Return the records of those customers that have one, read where they are not cached."""
        wanted = dict.fromkeys(customers)
        missing = [customer for customer in wanted if customer not in self._known]
        self._known.update(await load(self._tables, missing, self._fingerprint))
        return {c: self._known[c] for c in wanted if c in self._known}

    def keep(self, changed: dict[str, Record], most: int) -> None:
        """Cache new records, and beside them the most recently changed ones, ``most`` together.

        The new ones are never evicted here, since they may not have been written yet.
        """
        for customer, record in changed.items():
            self._known[customer] = record
            self._known.move_to_end(customer)
        while len(self._known) > max(most, len(changed)):
            self._known.popitem(last=False)


async def load(tables: Tables, customers: list[str], fingerprint: int) -> dict[str, Record]:
    """Return the stored records of those customers that have one.

    Raises:
        DamagedRecordError: some of them are damaged.
    """
    blobs = await tables.load(customers) if customers else {}
    return record_codec.decode_records(blobs, fingerprint)


async def load_intact(
    tables: Tables,
    customers: list[str],
    fingerprint: int,
    decode: Decode = record_codec.decode_records,
) -> tuple[dict[str, Record], dict[str, bytes]]:
    """Return the stored records of those customers that have one, and the bytes of damaged ones."""
    blobs = await tables.load(customers) if customers else {}
    return record_codec.decode_intact(blobs, fingerprint, decode)


async def load_training_examples(
    tables: Tables, customers: list[str], taxonomy: Taxonomy
) -> tuple[dict[str, Record], set[str]]:
    """Return counts and labels alone, of those customers that the model learns from.

    Customers whose record is damaged are set aside: the second value names them.
    """
    learned, _, damaged = await load_labelled(tables, customers, taxonomy)
    return learned, damaged


async def load_labelled(
    tables: Tables, customers: list[str], taxonomy: Taxonomy
) -> tuple[dict[str, Record], dict[str, str], set[str]]:
    """Do as ``load_training_examples``; return unknown labels between the two as well.

    These are by customer.
    """
    loaded, damaged = await load_intact(
        tables, customers, taxonomy.fingerprint, record_codec.decode_counts_and_labels
    )
    learned = {
        name: each for name, each in loaded.items() if training.is_training_example(each, taxonomy)
    }
    labels = {name: training.find_unknown_label(each, taxonomy) for name, each in loaded.items()}
    unknown = {name: label for name, label in labels.items() if label is not None}
    return learned, unknown, set(damaged)
