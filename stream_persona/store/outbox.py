"""The changes that a partition's last owner may not have published any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream_persona.pipeline.messages import encode_change
from stream_persona.store.repository import load

if TYPE_CHECKING:
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.store.tables import Tables


async def load_unpublished(
    tables: Tables, partition: int, taxonomy: Taxonomy
) -> list[tuple[str, bytes | None]]:
    """Return the changes (None: tombstones) of a partition's last write, the same to the byte.

    Its writer may have died before it could publish them: the next owner publishes them again.
    """
    pending = await load(tables, await tables.load_pending(partition), taxonomy.fingerprint)
    found: list[tuple[str, bytes | None]] = []
    for name, record in pending.items():
        if record.deleted_at and (record.published is None or record.published.revision == 1):
            found.append((name, None))  # before the first change since
        if record.published is not None:
            found.append((name, encode_change(name, record)))
    return found
