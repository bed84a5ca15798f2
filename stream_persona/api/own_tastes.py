"""A shopper's own tastes for ``POST /v1/rank``, from the private record: no setting has to ask.

They are what the workers would store for clients (``domain.tastes``), byte by byte, so that both
rank alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream_persona.client.models import HOLDOUT
from stream_persona.client.own_tastes import OFF, CommonShares, Own, find_own
from stream_persona.domain.record_codec import decode_counts_and_labels
from stream_persona.domain.tastes import encode_all_tastes
from stream_persona.errors import DamagedRecordError
from stream_persona.model.explain import list_common_tastes

if TYPE_CHECKING:
    from stream_persona.api.model_reader import ModelReader
    from stream_persona.client.models import Shopper
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.store.tables import Tables


class OwnTastesReader:
    """Reads shoppers' tastes, and compares them with the common shares of the model in use."""

    def __init__(self, taxonomy: Taxonomy, tables: Tables, reader: ModelReader) -> None:
        self._taxonomy = taxonomy
        self._tables = tables
        self._reader = reader
        self._derived_from: tuple[str, int] | None = None
        self._common = CommonShares()

    async def load(self, shopper: Shopper, strength: float) -> Own:
        """Load a shopper's own tastes; none while they are off, or for a held-out shopper.

        Raises:
            UnavailableError: Redis stayed away.
            TopologyError: the record was folded by another taxonomy's half-life.
        """
        if not strength or shopper.fallback == HOLDOUT:
            return OFF._replace(strength=strength)
        await self._renew_common()
        tastes = await self._load_tastes(shopper.customer_id)
        return find_own(shopper.customer_id, tastes, self._common, strength)

    async def _load_tastes(self, customer_id: str) -> bytes | None:
        """Encode a customer's tastes; None without events, no bytes of a damaged record."""
        blobs = await self._tables.load([customer_id])
        try:
            known = decode_counts_and_labels(blobs, self._taxonomy.fingerprint)
        except DamagedRecordError:
            return b""
        counts = {name: record.counts for name, record in known.items()}
        return encode_all_tastes(counts, self._taxonomy).get(customer_id)

    async def _renew_common(self) -> None:
        """Derive the common shares anew where the model or the names that may be shown moved."""
        await self._reader.load_names()
        weights, names = self._reader.model.weights, self._reader.names
        source = (weights.version, names.learned)
        if self._derived_from != source:  # some thousand tokens, of which spellings are cached
            shares = list_common_tastes(weights, self._taxonomy, names)
            self._common = CommonShares(shares, self._taxonomy.version)
            self._derived_from = source
