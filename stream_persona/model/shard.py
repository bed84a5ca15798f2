"""A partition's shard of the model: what it is made of, its bytes, and how shards merge.

A shard holds the partition's sums and its members of the calibration panel, which are the labelled
customers of the lowest hashes. It is a pure function of the labelled customers' records.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import msgspec

from stream_persona.domain import record_codec
from stream_persona.domain.features import compute_profiles
from stream_persona.domain.record import Record
from stream_persona.model.calibration_panel import Member
from stream_persona.model.classifier import PersonaClassifier
from stream_persona.model.statistics import FOLDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stream_persona.domain.taxonomy import Taxonomy

#: Labelled customers of all partitions together in the calibration panel.
PANEL: Final = 2_000

_packed = msgspec.msgpack.Decoder(tuple[bytes, list[tuple[int, str, bytes]]])


@dataclass(slots=True)
class Shard:
    """One partition's share of the model: its sums, and its panel members by key."""

    sums: PersonaClassifier = field(default_factory=PersonaClassifier)
    panel: dict[int, Member] = field(default_factory=dict)


def compute_panel_share(partitions: int) -> int:
    """Return how many panel members each of ``partitions`` partitions has.

    >>> compute_panel_share(3)
    667
    """
    return -(-PANEL // partitions)


def make_members(
    known: Sequence[tuple[int, str, Record]],
    taxonomy: Taxonomy,
    before: Mapping[int, Member] | None = None,
) -> dict[int, Member]:
    """Make panel members of ``(key, label, record)``, by key; those of ``before`` stay if equal."""
    before = before or {}
    seen = compute_profiles([record.counts for _, _, record in known], taxonomy.features)
    found = {}
    for row, (key, label, _) in enumerate(known):
        member = Member(key, key % FOLDS, label, seen.select_row(row))
        found[key] = before[key] if key in before and before[key].is_same(member) else member
    return found


def encode_shard(
    canonical: bytes, known: Sequence[tuple[int, str, Record]], taxonomy: Taxonomy
) -> tuple[bytes, bytes]:
    """Encode a shard, from canonical sums and panel members as ``(key, label, record)``.

    Returns its bytes and their stamp: 8 bytes that are equal for equal content.
    """
    ordered = sorted(known, key=lambda entry: entry[0])
    bare = {str(key): Record(counts=record.counts) for key, _, record in ordered}
    blobs = record_codec.encode_records(bare, taxonomy.fingerprint)
    entries = [(key, label, blobs[str(key)]) for key, label, _ in ordered]
    blob = msgspec.msgpack.encode((PersonaClassifier.compress(canonical), entries))
    return blob, _stamp(canonical, entries)


def is_intact(blob: bytes, stamp: bytes) -> bool:
    """Whether a shard's bytes are those that ``encode_shard`` gave with this stamp."""
    try:
        sums, entries = _packed.decode(blob)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    canonical = PersonaClassifier.decompress(sums)
    return canonical is not None and _stamp(canonical, entries) == stamp


def _stamp(canonical: bytes, entries: Sequence[tuple[int, str, bytes]]) -> bytes:
    return hashlib.blake2b(canonical + msgspec.msgpack.encode(entries), digest_size=8).digest()


def decode_shard(blob: bytes, taxonomy: Taxonomy, before: Shard | None = None) -> Shard:
    """Decode what ``encode_shard`` encoded; members of ``before`` stay if they are equal.

    Sums of a persona that was renamed since are put under its new name.
    """
    sums, entries = _packed.decode(blob)
    stored = record_codec.decode_counts_and_labels(
        {str(key): counts for key, _, counts in entries}, taxonomy.fingerprint
    )
    known = [(key, taxonomy.resolve(label) or label, stored[str(key)]) for key, label, _ in entries]
    panel = make_members(known, taxonomy, before.panel if before else None)
    return Shard(_rename(PersonaClassifier.from_bytes(sums), taxonomy), panel)


def _rename(sums: PersonaClassifier, taxonomy: Taxonomy) -> PersonaClassifier:
    """Return sums with those of former names under today's."""
    names = {
        old: name
        for old in sums.count_labels()
        if (name := taxonomy.resolve(old)) not in {None, old}
    }
    if not names:
        return sums
    renamed = PersonaClassifier()
    renamed.merge(sums, names)
    return renamed


def merge_shards(shards: Sequence[Shard]) -> tuple[PersonaClassifier, list[Member]]:
    """Merge shards to the sums of all of them and the members of all their panels."""
    total = PersonaClassifier()
    for shard in shards:
        total.merge(shard.sums)
    return total, [member for shard in shards for member in shard.panel.values()]
