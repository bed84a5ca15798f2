"""A batch of records: what one fetch brought, and where reading goes on after it."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from aiokafka import ConsumerRecord

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from faust.types import TP


class Batch(list[ConsumerRecord]):
    """The records of one fetch, of each partition in the order of its offsets: a message's value.

    ``ends`` are the partitions' last offsets, ``positions`` are where each is read next, and
    ``seeks`` counts how often reading had been sought back when they were fetched.
    """

    def __init__(
        self, records: Mapping[TP, list[ConsumerRecord]], positions: Mapping[TP, int], seeks: int
    ) -> None:
        super().__init__(chain.from_iterable(records.values()))
        self.ends = {tp: own[-1].offset for tp, own in records.items()}
        self.positions = {tp: max(end + 1, positions.get(tp, 0)) for tp, end in self.ends.items()}
        self.seeks = seeks


def find_next_offsets(batch: Sequence[ConsumerRecord]) -> dict[int, dict[str, int]]:
    """Return where reading goes on after a batch: by partition, the next offset of each topic."""
    offsets: dict[int, dict[str, int]] = {}
    positions = (
        batch.positions.items()
        if isinstance(batch, Batch)
        else (((raw.topic, raw.partition), raw.offset + 1) for raw in batch)
    )
    for (topic, partition), offset in positions:
        offsets.setdefault(partition, {})[topic] = offset
    return offsets
