"""The changes that a partition's last owner may not have published any more."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from stream_persona.errors import DamagedOutboxError
from stream_persona.pipeline.messages import encode_change
from stream_persona.store.repository import load_intact

if TYPE_CHECKING:
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.store.tables import Tables

logger = logging.getLogger(__name__)


class Unpublished(NamedTuple):
    """Changes (None: tombstones) that may be unpublished; customers with ``damaged`` records."""

    changes: list[tuple[str, bytes | None]]
    damaged: set[str]


async def load_unpublished(tables: Tables, partition: int, taxonomy: Taxonomy) -> Unpublished:
    """Return the changes of a partition's last write, the same to the byte.

    Its writer may have died before it could publish them: the next owner publishes them again.
    """
    try:
        names = await tables.load_pending(partition)
    except DamagedOutboxError as error:
        logger.error("%s", str(error))  # noqa: TRY400 - as an argument it would pass for fatal
        names = []
    pending, damaged = await load_intact(tables, names, taxonomy.fingerprint)
    found: list[tuple[str, bytes | None]] = []
    for name, record in pending.items():
        if record.deleted_at and (record.published is None or record.published.revision == 1):
            found.append((name, None))  # before the first change since
        if record.published is not None:
            found.append((name, encode_change(name, record)))
    return Unpublished(found, set(damaged))
