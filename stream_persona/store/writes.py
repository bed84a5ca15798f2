"""An outcome as writes to the tables, one for each partition."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stream_persona.domain import record_codec
from stream_persona.domain.due import find_all_due
from stream_persona.domain.tastes import encode_all_tastes
from stream_persona.pipeline import training
from stream_persona.store.tables import Write

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stream_persona.domain.record import Record
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.pipeline.messages import ChangeMessage
    from stream_persona.pipeline.process import ModelUpdate, Outcome


@dataclass(slots=True)
class PartitionWrite:
    """The part of an outcome that is of one partition: its ``write``, and what follows from it."""

    write: Write
    records: dict[str, Record] = field(default_factory=dict)
    model_updates: list[ModelUpdate] = field(default_factory=list)
    changes: list[ChangeMessage] = field(default_factory=list)

    def add_record(self, customer: str, record: Record, blob: bytes) -> None:
        """Add a customer's new record; a mere deletion marker replaces the record.

        One that no event has made is removed.
        """
        self.records[customer] = record
        if not record.positions and not record.deleted_at and record.published is None:
            self.write.states[customer] = None
        elif record.is_marker:
            self.write.states[customer] = None
            self.write.markers[customer] = blob
        else:
            self.write.states[customer] = blob

    def add_change(self, change: ChangeMessage) -> None:
        """Add a message; of a tombstone's customer goes what is kept aside, too."""
        self.changes.append(change)
        if change[1] is None:
            self.write.forgotten.add(change[0])

    def add_model_update(self, update: ModelUpdate) -> None:
        """Add an update; a customer that is subtracted and added, in this order, is labelled."""
        self.model_updates.append(update)
        if update.sign > 0:
            self.write.labelled.add(update.customer_id)
            self.write.unlabelled.discard(update.customer_id)
        else:
            self.write.unlabelled.add(update.customer_id)


def split_by_partition(
    outcome: Outcome,
    homes: Mapping[str, int],
    taxonomy: Taxonomy,
    marker_days: float,
    *,
    tastes: bool = False,
) -> dict[int, PartitionWrite]:
    """Split an outcome by partition; ``homes`` are those of its customers.

    Records are encoded all at once, since that costs less than a few here and a few there.
    Deletions are remembered for ``marker_days``. With ``tastes`` customers' own tastes are written
    with their records.
    """
    marker_ms, by_partition = round(marker_days * 86_400_000), dict[int, PartitionWrite]()
    blobs = record_codec.encode_records(outcome.records, taxonomy.fingerprint)
    due = find_all_due(outcome.records, taxonomy)
    for customer, record in outcome.records.items():
        part = by_partition.get(homes[customer])
        if part is None:
            part = by_partition[homes[customer]] = PartitionWrite(Write(marker_ms=marker_ms))
        part.add_record(customer, record, blobs[customer])
        part.write.due[customer] = due[customer]
        if customer in outcome.filed_anew:
            part.write.filed_anew.add(customer)
        if training.find_unknown_label(record, taxonomy) is not None:
            part.write.labelled.add(customer)  # so that it is found once the taxonomy knows it
    for customer, public in outcome.public_records.items():
        by_partition[homes[customer]].write.public[customer] = public
    for update in outcome.model_updates:
        by_partition[homes[update.customer_id]].add_model_update(update)
    for change in outcome.messages:
        by_partition[homes[change[0]]].add_change(change)
    for part in by_partition.values():
        part.write.pending = sorted(part.write.public) or None
        if tastes:
            counts = {customer: record.counts for customer, record in part.records.items()}
            part.write.tastes = encode_all_tastes(counts, taxonomy)
    return by_partition


def build_write(
    outcome: Outcome, taxonomy: Taxonomy, marker_days: float, *, tastes: bool = False
) -> Write:
    """Build the write of an outcome that has records, all of them in one partition."""
    homes = dict.fromkeys(outcome.records, 0)
    return split_by_partition(outcome, homes, taxonomy, marker_days, tastes=tastes)[0].write
