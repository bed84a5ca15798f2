"""Reads public records; where one is damaged, the private record says the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream_persona.pipeline.messages import decode_public_record, encode_public_record
from stream_persona.store import repository

if TYPE_CHECKING:
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.store.tables import Tables


async def load_public_record(tables: Tables, customer_id: str, taxonomy: Taxonomy) -> bytes | None:
    """Read a customer's public record; None where there is none.

    A damaged one is made anew from the private record, and reported, so that a worker stores it.

    Raises:
        DamagedRecordError: the private one is damaged as well.
        UnavailableError: Redis stayed away.
    """
    stored = await tables.load_public(customer_id)
    if stored is None or decode_public_record(customer_id, stored) is not None:
        return stored
    await tables.report_suspects([customer_id])
    found = await repository.load(tables, [customer_id], taxonomy.fingerprint)
    record = found.get(customer_id)
    if record is None or record.published is None:
        return None
    return encode_public_record(customer_id, record.published)
