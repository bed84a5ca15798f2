"""What a worker keeps in memory of a partition that it owns."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stream_persona.pipeline import training
from stream_persona.store import shards

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from stream_persona.domain.carried_names import CarriedNames
    from stream_persona.domain.record import Record
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.model.shard import Shard
    from stream_persona.pipeline.process import ModelUpdate
    from stream_persona.store.repository import RecordCache
    from stream_persona.store.tables import Claim
    from stream_persona.worker.behind import BehindCustomers


@dataclass(slots=True)
class OwnedPartition:
    """What a worker keeps of a partition: its claim, its shard of the model, recent records.

    ``labelled`` holds the customers whose contribution is in the shard's sums, with their keys,
    ``damaged`` the customers whose records are damaged and not restored yet.
    ``unknown_labels`` are those of customers that the taxonomy does not know, so that they have no
    effect. ``moved`` says whether the sums have changed since the last refresh, ``unsaved`` since
    the last save. ``saved_at`` and ``fenced_at`` are in monotonic seconds, ``panel_evidence`` is
    that of the sums when the panel was last read. ``offsets`` are where reading goes on, by topic,
    once all that was processed is written, and ``has_moved`` says whether they have moved since
    they were last written. ``names`` are those of its tokens. ``trusts_group``: after a version
    that stored none, only the group knows them yet. ``behind`` are the customers that are not to be
    decided yet, if there are any.
    """

    claim: Claim
    shard: Shard
    labelled: dict[str, int]
    cache: RecordCache
    fenced_at: float
    offsets: dict[str, int]
    names: CarriedNames
    damaged: set[str] = field(default_factory=set)
    unknown_labels: dict[str, str] = field(default_factory=dict)
    stamp: bytes = b""
    moved: bool = False
    unsaved: bool = True
    saved_at: float = -math.inf
    panel_evidence: int = 0
    has_moved: bool = False
    trusts_group: bool = False
    behind: BehindCustomers | None = None

    def update_model(self, model_updates: Sequence[ModelUpdate]) -> None:
        """Add the model updates of a committed batch to the shard's sums."""
        if model_updates:
            shards.update_sums(self.shard.sums, self.labelled, model_updates)
            self.moved = self.unsaved = True

    def note_labels(self, records: Mapping[str, Record], taxonomy: Taxonomy) -> bool:
        """Note which of the new records have a label that the taxonomy does not know; if any."""
        found = False
        for customer, record in records.items():
            label = training.find_unknown_label(record, taxonomy)
            if label is not None:
                self.unknown_labels[customer], found = label, True
            elif customer in self.unknown_labels:
                del self.unknown_labels[customer]
        return found

    def advance(self, offsets: Mapping[str, int], forwarded: Collection[str]) -> None:
        """Note that a batch was processed, after which reading goes on at these offsets.

        Topics that are ``forwarded`` are left out: their events go elsewhere first, which has no
        effect here, and their partitions are of no customer.
        """
        for topic, offset in offsets.items():
            if topic not in forwarded:
                self.offsets[topic] = max(offset, self.offsets.get(topic, 0))
                self.has_moved = True

    def take_caught_up(self, now: float) -> frozenset[str]:
        """Return the customers who were behind and are no more, at a time of the worker's clock.

        The next owner takes them to be behind until they are forgotten.
        """
        behind = self.behind
        if behind is None or not behind.have_caught_up(self.offsets, now):
            return frozenset()
        self.behind = None
        return behind.customers

    def forget_caught_up(self, behind_since: str) -> None:
        """Store from the next write on that nobody is behind, if so, under this name."""
        if self.behind is None:
            self.offsets[behind_since] = 0

    def take_offsets(self) -> dict[str, int]:
        """Return the offsets to store with the next write; none while the group alone knows."""
        self.has_moved = False
        return {} if self.trusts_group else dict(self.offsets)
