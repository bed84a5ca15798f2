"""What an outcome changes in the tables, partition by partition."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stream_persona.domain import record_codec
from stream_persona.store.tables import Write

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stream_persona.domain.record import Record
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.pipeline.messages import Change
    from stream_persona.pipeline.process import ModelUpdate, Outcome


@dataclass(slots=True)
class Share:
    """What an outcome means for one partition."""

    write: Write
    records: dict[str, Record] = field(default_factory=dict)
    model_updates: list[ModelUpdate] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)

    def keep(self, customer: str, record: Record, blob: bytes) -> None:
        """A customer's new record."""
        self.records[customer] = record
        if record.is_marker:
            self.write.states[customer] = None
            self.write.markers[customer] = blob
        else:
            self.write.states[customer] = blob

    def learn(self, lesson: ModelUpdate) -> None:
        """A lesson; who is unlearned and learned in one go, in this order, is labelled."""
        self.model_updates.append(lesson)
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
    blobs = record_codec.encode_records(list(outcome.records.values()), taxonomy.fingerprint)
    for (customer, record), blob in zip(outcome.records.items(), blobs, strict=True):
        share = found.get(homes[customer])
        if share is None:
            share = found[homes[customer]] = Share(Write(marker_ms=marker_ms))
        share.keep(customer, record, blob)
    for customer, public in outcome.public_records.items():
        found[homes[customer]].write.public[customer] = public
    for lesson in outcome.model_updates:
        found[homes[lesson.customer_id]].learn(lesson)
    for change in outcome.messages:
        found[homes[change[0]]].changes.append(change)
    for share in found.values():
        share.write.pending = sorted(share.write.public)
    return found


def write_of(outcome: Outcome, taxonomy: Taxonomy, marker_days: float) -> Write:
    """What an outcome that has records changes in the tables, all of it in one partition."""
    return shares(outcome, dict.fromkeys(outcome.records, 0), taxonomy, marker_days)[0].write
