"""Reads what the workers write to Redis: the model's shards, the names of slots, records."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stream_persona.api import predict
from stream_persona.clocks import epoch_ms
from stream_persona.domain import record_codec
from stream_persona.domain.features import Counts
from stream_persona.domain.public_names import find_public_names
from stream_persona.domain.token_names import TokenNames
from stream_persona.errors import ConfigError, DamagedShardError, UnavailableError
from stream_persona.store.model_replica import make_replica
from stream_persona.store.names import ListingReader
from stream_persona.store.shards import read_shards

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.model.predictor import Predictor
    from stream_persona.model.shard import Shard
    from stream_persona.settings import Settings
    from stream_persona.store.tables import Tables

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CurrentModel:
    """The weights of all shards together, and the labelled customers of each persona."""

    weights: Predictor
    labelled: dict[str, int] = field(default_factory=dict)


class ModelReader:
    """The model as the workers last published it, and customers as the model reads them.

    ``ready``: the last refresh succeeded. ``clock`` gives seconds that never go back,
    ``wall_clock`` epoch milliseconds.
    """

    def __init__(
        self,
        settings: Settings,
        taxonomy: Taxonomy,
        tables: Tables,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], int] = epoch_ms,
    ) -> None:
        self._clock = clock
        self._wall_clock = wall_clock
        self._partitions = range(settings.partitions)
        self._interval = settings.model_interval
        self._taxonomy = taxonomy
        self._tables = tables
        self._shards: dict[int, tuple[bytes, Shard]] = {}
        self._follower = make_replica(settings, taxonomy, tables, clock)
        self._followed: dict[int, bytes] = {}
        self.names = TokenNames(find_public_names(taxonomy))
        self._listing = ListingReader(tables)
        self._names_read_at = -math.inf
        self.model = CurrentModel(self._follower.weights)
        self.ready = False

    @property
    def shards(self) -> list[Shard]:
        """The shards of the model. They are never changed, only replaced."""
        return [shard for _, shard in self._shards.values()]

    async def follow(self) -> None:
        """Refresh for ever. A Redis that is away or refuses us makes the reader unready."""
        try:
            while True:
                await self._try_refresh()
                await asyncio.sleep(self._interval)
        finally:
            self.ready = False

    async def refresh(self) -> None:
        """Read the shards that have changed; derive new weights if any has.

        Raises:
            UnavailableError: Redis stayed away.
            DamagedShardError: a shard is damaged; the model stays the one before.
            ConfigError: it refuses us, or what is there is not of this deployment.
        """
        stamps = await self._tables.load_stamps(self._partitions)
        self._shards, _, damaged = await read_shards(
            self._tables, stamps, self._shards, self._taxonomy
        )
        if damaged:
            raise DamagedShardError(damaged)
        await self._read_names()
        # Compared with what was followed last: the refresh before may have failed half-way.
        read = {partition: stamp for partition, (stamp, _) in self._shards.items()}
        derived = await self._follower.follow(self.shards, changed=read != self._followed)
        self._followed = read
        if derived:
            self.model = CurrentModel(self._follower.weights, self._follower.labelled)

    async def load_subject(self, asked: str | predict.CustomerWithEvidence) -> predict.Subject:
        """Describe a customer by their private record; one without a record has no counts.

        Evidence beside a customer is an event of now.

        Raises:
            UnavailableError: Redis stayed away.
            DamagedRecordError: the record is damaged.
            TopologyError: the record was folded by another taxonomy's half-life.
        """
        if isinstance(asked, str):
            counts = await self._load_counts(asked)
            return predict.describe_customer(counts, self._taxonomy, self.names.name_slot)
        counts, evidence = await self._load_counts(asked.customer_id), asked.evidence
        counts = evidence.fold_into(counts, self._wall_clock(), self._taxonomy.features)
        name = evidence.combine_names(self.names.name_slot)
        return predict.describe_customer(counts, self._taxonomy, name)

    async def _load_counts(self, customer_id: str) -> Counts:
        """Load the counts of a customer, and what names of features may be shown."""
        blobs = await self._tables.load([customer_id])
        fingerprint = self._taxonomy.fingerprint
        records = record_codec.decode_counts_and_labels(blobs, fingerprint)
        await self.load_names()
        return records[customer_id].counts if records else Counts.empty()

    async def load_names(self) -> None:
        """Read what names may be shown, unless that was done within an interval.

        Raises:
            UnavailableError: Redis stayed away.
        """
        if self._clock() - self._names_read_at > self._interval:
            await self._read_names()

    async def _read_names(self) -> None:
        listing = await self._listing.read()
        self._names_read_at = self._clock()
        if listing is not None:
            self.names.show(listing)

    async def _try_refresh(self) -> None:
        try:
            await self.refresh()
        except (UnavailableError, ConfigError, DamagedShardError) as error:
            if self.ready:
                logger.warning("the model can't be followed for now: %s", error)
            self.ready = False
        else:
            self.ready = True
