"""The customers' records as a worker reads and writes them.

They are read from memory, or from the tables and restored where they are damaged; they are written
behind the next batch (``writer``), and never again by a writer whose tables came back older.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream_persona.errors import RolledBackError
from stream_persona.store import repository, writes
from stream_persona.store.tables import Write
from stream_persona.store.writes import PartitionWrite
from stream_persona.worker.derived_values import DerivedValues
from stream_persona.worker.restoration import Restorer
from stream_persona.worker.writer import ProcessedBatch, Writer

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping, Sequence

    from stream_persona.domain.record import Record
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.domain.token_names import Name
    from stream_persona.kafka.publisher import Publisher
    from stream_persona.pipeline.process import Outcome
    from stream_persona.settings import Settings
    from stream_persona.store.tables import Tables
    from stream_persona.worker.metrics import Metrics
    from stream_persona.worker.owned_partition import OwnedPartition
    from stream_persona.worker.partitions import OwnedPartitions
    from stream_persona.worker.refolding import Refolding

    Homes = Mapping[str, int]
    Owned = Mapping[int, OwnedPartition]


def do_nothing() -> None:
    """Acknowledge nothing."""


class StoredRecords:
    """Reads and writes of one worker; ``restorer`` restores what is damaged.

    All but ``drain``, ``close`` and ``is_older`` is called while nothing else is processed.
    """

    def __init__(
        self,
        settings: Settings,
        taxonomy: Taxonomy,
        tables: Tables,
        publisher: Publisher,
        partitions: OwnedPartitions,
        refolding: Refolding,
        metrics: Metrics,
    ) -> None:
        self._settings = settings
        self._taxonomy = taxonomy
        self._tables = tables
        self._publisher = publisher
        self._partitions = partitions
        self._metrics = metrics
        self._tokenizer = refolding.tokenizer
        self._writer = self._open_writer()
        derived = DerivedValues(settings, taxonomy, tables, metrics)
        self.restorer = Restorer(
            taxonomy, tables, partitions, refolding, derived, self.drain, self.write_now
        )

    async def load(self, homes: Homes, owned: Owned) -> dict[str, Record]:
        """Return the records of those customers that have one; ``homes`` are their partitions.

        A record that was read enters the cache only when it changes: a sweep reads all of them.
        Damaged ones are restored first.
        """
        kept = {name: owned[home].cache.get(name) for name, home in homes.items()}
        missing = [name for name, record in kept.items() if record is None]
        found, damaged = await repository.load_intact(
            self._tables, missing, self._taxonomy.fingerprint
        )
        if damaged:
            homes = {name: homes[name] for name in damaged}
            found |= await self.restorer.restore(homes, owned)
        return {name: record for name, record in kept.items() if record is not None} | found

    async def write(
        self, outcome: Outcome, homes: Homes, owned: Owned, done: Callable[[], None]
    ) -> asyncio.Task[None]:
        """Start to write an outcome once the last one is written.

        Its records enter the cache here, before the next batch reads them. No other write is in
        flight then, so the records that they push out are already in Redis.
        """
        days, tastes = self._settings.deletion_marker_days, self._settings.tastes
        shares = writes.split_by_partition(outcome, homes, self._taxonomy, days, tastes=tastes)
        for home, each in owned.items():
            if each.has_moved or home in shares:
                share = shares.setdefault(home, PartitionWrite(Write()))
                share.write.offsets = each.take_offsets()
        self._update_names(outcome, shares, homes, owned)
        await self._writer.drain()
        held = len(self._partitions.held)
        most = max(1, self._settings.cached_customers // max(1, held))
        for home, share in shares.items():
            if share.records:
                owned[home].cache.keep(share.records, most)
                if owned[home].note_labels(share.records, self._taxonomy):
                    self._partitions.warn_of_unknown_labels()
        return self._writer.start(ProcessedBatch(shares, owned), done)

    def _update_names(
        self, outcome: Outcome, shares: dict[int, PartitionWrite], homes: Homes, owned: Owned
    ) -> None:
        """Forget the deleted customers in the names of tokens; add what others carry."""
        carried: dict[int, dict[str, Sequence[Name]]] = {}
        for customer, names in outcome.carried.items():
            carried.setdefault(homes[customer], {})[customer] = names
        for home, share in shares.items():
            forgotten = share.write.forgotten
            if home in carried or forgotten:
                change = owned[home].names.apply(carried.get(home, {}), forgotten)
                share.write.names = change.fields
                self._tokenizer.lose_names(change.lost, change.emptied)

    async def write_now(self, outcome: Outcome, homes: Homes, owned: Owned) -> None:
        """Write an outcome that is of no batch, and wait for that."""
        await (await self.write(outcome, homes, owned, do_nothing))
        self._metrics.record_changes(outcome.causes)

    async def drain(self) -> None:
        """Wait until every write that was started is committed and published, or has failed."""
        await self._writer.drain()

    @property
    def is_older(self) -> bool:
        """Whether nothing is written any more because the tables have come back older."""
        return isinstance(self._writer.failure, RolledBackError)

    async def check_age(self) -> None:
        """Look whether the tables still have all that was written to them.

        Raises:
            RolledBackError: they have not; nothing more is written until ``begin_anew``.
        """
        for partition in await self._partitions.find_rolled_back():
            self._writer.close(RolledBackError(partition))
        if self._writer.failure is not None and self.is_older:
            raise self._writer.failure

    async def begin_anew(self) -> None:
        """Forget what was read and was to be written, and claim the same partitions again."""
        await self._writer.end()
        partitions = list(self._partitions.held)
        await self._partitions.forget_all()
        self._writer = self._open_writer()
        await self._partitions.assign(partitions)

    def _open_writer(self) -> Writer:
        changes = self._settings.topic_changes
        return Writer(self._partitions, self._tables, self._publisher, changes)
