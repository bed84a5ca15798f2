"""A record with every field in use, and its bytes as each format since the fifth has them.

``python -m tests.support.stored_records`` writes the file of the present format. Those of earlier
ones stay as they are: earlier versions wrote them.
"""

from pathlib import Path
from typing import Final

import numpy as np
from msgspec.structs import replace

from stream_persona.domain import record_codec
from stream_persona.domain.deduplication import ORDER_IDS, from_former, hash_id, with_id
from stream_persona.domain.features import Counts
from stream_persona.domain.record import Label, PublishedChange, PublishedPosterior, Record
from stream_persona.domain.record_head import FORMAT

CUSTOMER: Final = "CUST-éß-04812"
FINGERPRINT: Final = 2_882_400_001
FOLDER: Final = Path(__file__).parent / "records"

_FORMER: Final = {
    0: (98_765, 1_767_225_500_000, 4_000_000_000, 1_767_225_600_123), (1 << 16) | 3: (7, 1),
}  # fmt: skip
LABEL: Final = Label(1_767_225_500_000, "A-1", "parent_of_young_kids", 1_798_761_600_000, "crm")
#: As the fifth and the sixth format have it.
RECORD: Final = Record(
    Counts.of(
        3,
        1_767_225_600_123,
        np.array([0, 7, 23_163, 62_083, 1 << 16, (1 << 16) | 23_163], np.uint32),
        np.array([8_192, 24, 4_096, 1 << 40, 3, 5], np.int64),
    ),
    LABEL,
    {0: 1_234, (1 << 16) | 3: 17, 4 << 16: 1 << 40},
    {0: from_former(_FORMER[0]), (1 << 16) | 3: from_former(_FORMER[(1 << 16) | 3])},
    1_700_000_000_000,
)
#: As the seventh format has it, which has more to say.
PRESENT: Final = replace(
    RECORD,
    label=replace(LABEL, arrived_at=1_767_225_500_100, partition=3, offset=17, ended=True),
    recent={**RECORD.recent, ORDER_IDS: with_id(b"", hash_id("O-1"), None)},
    rates={1 << 16: (29_453_760, 12)},
    faded_at=1_798_761_600_000,
    left_out_at=1_767_225_600_200,
)
PUBLISHED: Final = PublishedChange(
    revision=42,
    cause=1,
    at=1_767_225_600_123,
    published_at=1_767_225_600_456,
    since=1_767_000_000_000,
    evidence=12_345,
    candidate_floor=40_000,
    personas=("parent_of_young_kids", "pet_owner", "étudiant"),
    previous=PublishedPosterior(
        None, 400_000, ambiguous=True, assigned=False, distribution=(400_000, 350_000, 250_000)
    ),
    current=PublishedPosterior(
        "pet_owner", 1_000_000, ambiguous=False, assigned=True,
        distribution=(100_000, 800_000, 100_000),
    ),
    why=(("category", "baby/diapers", 3_500_000), ("brand", "Ünique", 1_200_000)),
    model_version="0123456789abcdef",
    taxonomy_version="fedcba9876543210",
    previous_personas=("parent_of_young_kids", "pet_owner", "student"),
)  # fmt: skip


def record(form: int = FORMAT) -> Record:
    """Return the record of a format, with its last change."""
    return record_codec.with_change(PRESENT if form >= 7 else RECORD, PUBLISHED)


def stored(form: int) -> bytes:
    """Return the record's bytes in a format."""
    return (FOLDER / f"format-{form}.bin").read_bytes()


if __name__ == "__main__":
    blob = record_codec.encode_records({CUSTOMER: record()}, FINGERPRINT)[CUSTOMER]
    (FOLDER / f"format-{FORMAT}.bin").write_bytes(blob)
