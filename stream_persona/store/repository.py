"""Records from the tables, and those that were used most recently."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from stream_persona.domain import record_codec
from stream_persona.pipeline import training

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from stream_persona.domain.record import Record
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.store.tables import Tables


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
    decode: Callable[[Sequence[bytes], int], list[Record]] = record_codec.decode_records,
) -> dict[str, Record]:
    """The stored records of those customers that have one."""
    blobs = await tables.load(customers) if customers else {}
    return dict(zip(blobs, decode(list(blobs.values()), fingerprint), strict=True))


async def load_training_examples(
    tables: Tables, customers: list[str], taxonomy: Taxonomy
) -> dict[str, Record]:
    """Of those customers that the model learns from, their counts and labels alone."""
    loaded = await load(
        tables, customers, taxonomy.fingerprint, record_codec.decode_counts_and_labels
    )
    return {
        name: each for name, each in loaded.items() if training.is_training_example(each, taxonomy)
    }
