"""Restores customers' damaged data in Redis, wherever the damage was found.

A worker meets damaged records in its batches and sweeps, where it restores them before it goes on;
others are noted, since they can't be restored at once: a claim sets aside those of labelled
customers, and the API reports what it could not answer for.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from stream_persona.domain import record_codec
from stream_persona.domain.record_seal import is_sealed
from stream_persona.kafka.partitioner import find_home_partition
from stream_persona.pipeline.messages import encode_last_copy
from stream_persona.pipeline.process import Outcome

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from stream_persona.domain.record import Record
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.store.tables import Tables
    from stream_persona.worker.derived_values import DerivedValues
    from stream_persona.worker.owned_partition import OwnedPartition
    from stream_persona.worker.partitions import OwnedPartitions
    from stream_persona.worker.refolding import Refolding

    Homes = Mapping[str, int]
    Owned = Mapping[int, OwnedPartition]

logger = logging.getLogger(__name__)


class Restorer:
    """Restores customers; all but ``find_noted`` is called while nothing else is processed.

    ``drain`` waits until nothing is being written, ``write`` writes an outcome and waits for that.
    """

    def __init__(
        self,
        taxonomy: Taxonomy,
        tables: Tables,
        partitions: OwnedPartitions,
        refolding: Refolding,
        derived: DerivedValues,
        drain: Callable[[], Awaitable[None]],
        write: Callable[[Outcome, Homes, Owned], Awaitable[None]],
    ) -> None:
        self._taxonomy = taxonomy
        self._tables = tables
        self._partitions = partitions
        self._refolding = refolding
        self._derived = derived
        self._drain = drain
        self._write = write

    async def restore(self, homes: Homes, owned: Owned) -> dict[str, Record]:
        """Restore the damaged records of customers; return those records.

        Where the sums hold what a record was before, they are folded anew.
        """
        await self._drain()
        counted = {home for name, home in homes.items() if name in owned[home].labelled}
        outcome = await self._refolding.fold_again(homes, owned)
        await self._write(outcome, homes, owned)
        for home in counted:
            await self._partitions.fold_again(owned[home])
        await self._announce(outcome.records)
        return outcome.records

    async def check(self, homes: Homes, owned: Owned) -> None:
        """Restore what is damaged of customers, their public records too.

        What is stored is read, whatever is in memory; what has no seal yet is written anew, and so
        is who is not filed by the time at which something of them ends, or has other tastes stored
        than those by today's taxonomy.
        """
        await self._drain()
        blobs = await self._tables.load(list(homes))
        records, damaged = record_codec.decode_intact(blobs, self._taxonomy.fingerprint)
        if damaged:
            await self.restore({name: homes[name] for name in damaged}, owned)
        wrong = await self._derived.find_wrong_public(records)
        unsealed = {name for name in records if not is_sealed(blobs[name])}
        unfiled = await self._derived.find_unfiled(records, homes)
        outdated = await self._derived.find_wrong_tastes(records)
        if wrong or unsealed or unfiled or outdated:
            anew = {name: records[name] for name in wrong.keys() | unsealed | unfiled | outdated}
            await self._write(Outcome(anew, public_records=wrong), homes, owned)
            await self._announce({name: records[name] for name in wrong})

    async def find_noted(self, partitions: int) -> dict[str, int]:
        """Find the customers of our partitions with something that is noted as damaged."""
        held = self._partitions.held
        reported = {
            name: find_home_partition(name, partitions)
            for name in await self._tables.load_suspects()
        }
        set_aside = {name: home for home, each in held.items() for name in each.damaged}
        return {name: home for name, home in (reported | set_aside).items() if home in held}

    async def strike(self, homes: Homes, owned: Owned) -> None:
        """Remove customers from the set of those with damaged data."""
        await self._tables.remove_suspects(list(homes))
        for each in owned.values():
            each.damaged -= homes.keys()

    async def _announce(self, records: Mapping[str, Record]) -> None:
        """Announce the last messages about customers: clients may keep what was there before."""
        copies = [encode_last_copy(name, record) for name, record in records.items()]
        await self._tables.announce([copy for copy in copies if copy is not None])
