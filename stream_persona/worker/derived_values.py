"""What is stored of customers beside their records and follows from these: where it does not.

Public records, entries by due time, own tastes. They were written with the record; but an older
version or another taxonomy may have derived others, and a server may have lost or damaged some.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from stream_persona.domain.due import find_all_due
from stream_persona.domain.tastes import encode_all_tastes
from stream_persona.pipeline.messages import decode_public_record
from stream_persona.worker.refolding import encode_public

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stream_persona.domain.record import Record
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.settings import Settings
    from stream_persona.store.tables import Tables
    from stream_persona.worker.metrics import Metrics

    Homes = Mapping[str, int]

logger = logging.getLogger(__name__)


class DerivedValues:
    """Compares what is stored with what records lead to."""

    def __init__(
        self, settings: Settings, taxonomy: Taxonomy, tables: Tables, metrics: Metrics
    ) -> None:
        self._keeps_tastes = settings.tastes
        self._taxonomy = taxonomy
        self._tables = tables
        self._metrics = metrics

    async def find_unfiled(self, records: Mapping[str, Record], homes: Homes) -> set[str]:
        """Find the customers that are due before their entry says so: older versions had none."""
        stored: dict[str, int] = {}
        for home in set(homes.values()):
            names = [name for name in records if homes[name] == home]
            stored |= await self._tables.load_due_times(home, names)
        due = find_all_due(records, self._taxonomy)
        return {
            name for name, at in due.items() if at and (name not in stored or stored[name] > at)
        }

    async def find_wrong_public(self, records: Mapping[str, Record]) -> dict[str, bytes | None]:
        """Find the public records that are not what the private ones say, as they ought to be."""
        names = list(records)
        expected, stored = encode_public(records), await self._tables.load_public_records(names)
        wrong = {name: each for name, each in expected.items() if stored.get(name) != each}
        for name in wrong:
            if name in stored and decode_public_record(name, stored[name]) is None:
                logger.warning("the public record of %r was damaged: it is written again", name)
                self._metrics.damaged.labels("public record").inc()
        return wrong

    async def find_wrong_tastes(self, records: Mapping[str, Record]) -> set[str]:
        """Find the customers whose stored tastes are not those by this taxonomy.

        No client reads tastes of another one, so idle customers would have none until their next
        event. Where none are kept, none are wrong.
        """
        if not self._keeps_tastes:
            return set()
        stored = await self._tables.load_tastes(list(records))
        counts = {name: record.counts for name, record in records.items()}
        expected = encode_all_tastes(counts, self._taxonomy)
        return {name for name, tastes in expected.items() if stored.get(name) != tastes}
