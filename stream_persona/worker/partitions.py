"""The partitions that a worker holds: claims, what is kept of each, and how they are lost."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

from stream_persona.errors import FencedError
from stream_persona.model.shard import Part
from stream_persona.pipeline import messages
from stream_persona.store import outbox, shards, tables
from stream_persona.store.repository import RecordCache

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.kafka.publisher import Publisher
    from stream_persona.store.tables import Claim, Tables
    from stream_persona.worker.metrics import Metrics

logger = logging.getLogger(__name__)

#: Seconds after which the fence of a partition's changes is raised anew: the broker forgets
#: producers that were silent for a day, and what it forgot it can't refuse.
_FENCE_SECONDS: Final = 43_200.0


@dataclass(slots=True)
class Owned:
    """What a worker holds of a partition: its claim, its share of the model, recent records.

    ``taught`` are the customers whose contribution is in the share's sums, with their keys;
    ``moved`` tells whether the sums have since the last refresh, ``unsaved`` since the last save,
    which was at ``saved_at`` (monotonic seconds).
    """

    claim: Claim
    part: Part
    taught: dict[str, int]
    cache: RecordCache
    stamp: bytes = b""
    moved: bool = False
    unsaved: bool = True
    saved_at: float = -math.inf
    fenced_at: float = field(default_factory=time.monotonic)

    @property
    def wants_fence(self) -> bool:
        """Whether its fence is so old that the broker may forget it soon."""
        return time.monotonic() - self.fenced_at > _FENCE_SECONDS


class Ownership:
    """The partitions that are held, by number in ``held``."""

    def __init__(
        self, taxonomy: Taxonomy, tables: Tables, publisher: Publisher, metrics: Metrics
    ) -> None:
        self._taxonomy = taxonomy
        self._tables = tables
        self._publisher = publisher
        self._metrics = metrics
        self._assigning = asyncio.Lock()
        self._told = asyncio.Event()
        self._told.set()
        self.held: dict[int, Owned] = {}

    async def assign(self, partitions: Collection[int]) -> None:
        """Hold exactly these partitions: keep what is still ours, claim and fold the rest."""
        async with self._assigning:
            before, tokens = self.held.keys(), await self._tables.owners(list(partitions))
            self.held = {
                p: owned
                for p, owned in self.held.items()
                if p in partitions and tokens.get(p) == owned.claim.token
            }
            await self._publisher.disown(before - self.held.keys())
            fresh = sorted(set(partitions) - self.held.keys())
            for owned in await asyncio.gather(*(self._claim(p) for p in fresh)):
                self.held[owned.claim.partition] = owned
        self._metrics.partitions.set(len(self.held))

    @contextmanager
    def rebalance(self) -> Iterator[None]:
        """While it is found out what to hold; ``settled`` waits for the end of it.

        Faust may deliver events of partitions before it tells that they are ours.
        """
        self._told.clear()
        try:
            yield
        finally:
            self._told.set()

    async def settled(self) -> None:
        """Wait until no rebalance is under way."""
        await self._told.wait()

    async def of(self, partitions: Iterable[int]) -> dict[int, Owned]:
        """What is held of partitions; waits for an assignment that is under way.

        What was read under a claim may be written under that claim alone: by the time of the next
        one, somebody else may have written.
        """
        async with self._assigning:
            found = {partition: self.held.get(partition) for partition in partitions}
        for partition, owned in found.items():
            if owned is None:
                raise FencedError(partition)
        return {partition: owned for partition, owned in found.items() if owned is not None}

    async def _claim(self, partition: int) -> Owned:
        """Become the owner, publish what the last one could not, fold the share of the model."""
        claim = (await self._tables.claim([partition]))[partition]
        pending = await outbox.unpublished(self._tables, partition, self._taxonomy)
        await self._publisher.own(partition, pending, partial(tables.is_mine, self._tables, claim))
        await self._tables.announce([messages.copy_of(*change) for change in pending])
        sums, taught = await shards.fold_part(self._tables, partition, self._taxonomy)
        logger.info("own partition %d: %d labelled customers", partition, len(taught))
        cache = RecordCache(self._tables, self._taxonomy.fingerprint)
        return Owned(claim, Part(sums), taught, cache)

    def is_lost(self, owned: Owned) -> bool:
        """Whether it is not held any more, or under a newer claim."""
        return self.held.get(owned.claim.partition) is not owned

    async def fence_again(self, owned: Owned) -> None:
        """Raise the fence before the broker forgets it; who has lost the claim takes no one's.

        Nothing may be written meanwhile.
        """
        is_mine = partial(tables.is_mine, self._tables, owned.claim)
        if not await is_mine():
            self.lose(owned)
            raise FencedError(owned.claim.partition)
        await self._publisher.own(owned.claim.partition, [], is_mine)
        owned.fenced_at = time.monotonic()

    def lose(self, owned: Owned) -> None:
        """Forget a partition that is another worker's now."""
        self._metrics.fenced.inc()
        if self.held.get(owned.claim.partition) is owned:
            del self.held[owned.claim.partition]
