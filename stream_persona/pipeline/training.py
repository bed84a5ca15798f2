"""What labelled customers' records add to the model, and what the model unlearns of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream_persona.domain.features import compute_profiles
from stream_persona.model.statistics import FOLDS, Contributions, hash_customer
from stream_persona.pipeline.types import ModelUpdate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stream_persona.domain.record import Record
    from stream_persona.domain.taxonomy import Taxonomy


def find_label(record: Record, taxonomy: Taxonomy) -> str | None:
    """Return the taxonomy's persona that is assigned as of the record's own clock, if any."""
    return taxonomy.resolve(record.find_active_label())


def find_unknown_label(record: Record, taxonomy: Taxonomy) -> str | None:
    """Return the persona that would make the record an example if the taxonomy knew it."""
    if record.label is None or not len(record.counts):
        return None
    label = record.find_active_label()
    return label if taxonomy.resolve(label) is None else None


def is_training_example(record: Record, taxonomy: Taxonomy) -> bool:
    """Whether a record contributes to the model: it has a label of the taxonomy and behaviour."""
    return (
        record.label is not None
        and len(record.counts) > 0
        and find_label(record, taxonomy) is not None
    )


def derive_updates(
    records: Mapping[str, Record], taxonomy: Taxonomy, sign: int = 1
) -> list[ModelUpdate]:
    """Derive what the model learns from records, or unlearns with ``sign`` -1."""
    return derive_signed([(name, record, sign) for name, record in records.items()], taxonomy)


def derive_signed(
    signed: Sequence[tuple[str, Record, int]], taxonomy: Taxonomy
) -> list[ModelUpdate]:
    """Derive the updates of customers' records with a sign each, all at once."""
    known = [each for each in signed if is_training_example(each[1], taxonomy)]
    if not known:
        return []
    keys = [hash_customer(name) for name, _, _ in known]
    parts = compute_contributions([record for _, record, _ in known], keys, taxonomy).split_rows()
    return [
        ModelUpdate(name, find_label(record, taxonomy) or "", part, sign)
        for (name, record, sign), part in zip(known, parts, strict=True)
    ]


def compute_contributions(
    records: Sequence[Record], keys: Sequence[int], taxonomy: Taxonomy
) -> Contributions:
    """Compute what training examples add to the model; ``keys`` are their customers'."""
    seen = compute_profiles([record.counts for record in records], taxonomy.features)
    return Contributions.of(seen, [key % FOLDS for key in keys])
