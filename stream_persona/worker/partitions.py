"""The partitions that a worker owns: claims, what it keeps of each, and how it loses them."""

from __future__ import annotations

import asyncio
import logging
import math
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

from stream_persona.errors import FencedError
from stream_persona.model.shard import Shard
from stream_persona.pipeline import messages
from stream_persona.store import outbox, shards, tables
from stream_persona.store.repository import RecordCache

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.kafka.publisher import Publisher
    from stream_persona.pipeline.process import ModelUpdate
    from stream_persona.store.tables import Claim, Tables
    from stream_persona.worker.metrics import Metrics

logger = logging.getLogger(__name__)

#: Seconds after which the fence of a partition's changes is raised again: the broker forgets
#: producers that were silent for a day, and it can't refuse what it has forgotten.
_FENCE_SECONDS: Final = 43_200.0


@dataclass(slots=True)
class OwnedPartition:
    """What a worker keeps of a partition: its claim, its shard of the model, recent records.

    ``labelled`` holds the customers whose contribution is in the shard's sums, with their keys,
    ``damaged`` those whose records were found to be damaged, and are not restored yet.
    ``moved`` says whether the sums have changed since the last refresh, ``unsaved`` since the last
    save. ``saved_at`` and ``fenced_at`` are in monotonic seconds, ``panel_evidence`` is that of
    the sums when the panel was last read.
    """

    claim: Claim
    shard: Shard
    labelled: dict[str, int]
    cache: RecordCache
    fenced_at: float
    damaged: set[str] = field(default_factory=set)
    stamp: bytes = b""
    moved: bool = False
    unsaved: bool = True
    saved_at: float = -math.inf
    panel_evidence: int = 0

    def update_model(self, model_updates: Sequence[ModelUpdate]) -> None:
        """Add the model updates of a committed batch to the shard's sums."""
        if model_updates:
            shards.update_sums(self.shard.sums, self.labelled, model_updates)
            self.moved = self.unsaved = True


class OwnedPartitions:
    """The partitions that a worker owns, by number in ``held``.

    ``clock`` gives seconds that never go back.
    """

    def __init__(
        self,
        taxonomy: Taxonomy,
        tables: Tables,
        publisher: Publisher,
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        self._taxonomy = taxonomy
        self._tables = tables
        self._publisher = publisher
        self._metrics = metrics
        self._clock = clock
        self._assigning = asyncio.Lock()
        self._is_settled = asyncio.Event()
        self._is_settled.set()
        self.held: dict[int, OwnedPartition] = {}

    async def assign(self, partitions: Collection[int]) -> list[int]:
        """Own exactly these partitions: keep what is still ours, claim and fold the rest.

        Returns those that were claimed.
        """
        async with self._assigning:
            before, tokens = self.held.keys(), await self._tables.load_owners(list(partitions))
            self.held = {
                p: owned
                for p, owned in self.held.items()
                if p in partitions and tokens.get(p) == owned.claim.token
            }
            await self._publisher.release(before - self.held.keys())
            fresh = sorted(set(partitions) - self.held.keys())
            for owned in await asyncio.gather(*(self._claim(p) for p in fresh)):
                self.held[owned.claim.partition] = owned
        self._metrics.partitions.set(len(self.held))
        return fresh

    @contextmanager
    def rebalance(self) -> Iterator[None]:
        """Hold up ``settled`` while it is not yet known which partitions are ours.

        Faust may deliver events of a partition before it signals the assignment.
        """
        self._is_settled.clear()
        try:
            yield
        finally:
            self._is_settled.set()

    async def wait_until_assigned(self) -> None:
        """Wait until no rebalance is under way."""
        await self._is_settled.wait()

    async def of(self, partitions: Iterable[int]) -> dict[int, OwnedPartition]:
        """Return what is held of each partition; wait for an assignment that is under way.

        What was read under a claim may be written under that claim alone: by the time of the next
        claim, another worker may have written.

        Raises:
            FencedError: one of them is not held.
        """
        async with self._assigning:
            found = {partition: self.held.get(partition) for partition in partitions}
        for partition, owned in found.items():
            if owned is None:
                raise FencedError(partition)
        return {partition: owned for partition, owned in found.items() if owned is not None}

    async def _claim(self, partition: int) -> OwnedPartition:
        """Become the owner, publish what the last one could not, fold the shard of the model."""
        claim = (await self._tables.claim([partition]))[partition]
        pending, damaged = await outbox.load_unpublished(self._tables, partition, self._taxonomy)
        await self._publisher.take_over(
            partition, pending, partial(tables.still_owns, self._tables, claim)
        )
        fenced_at = self._clock()
        await self._tables.announce([messages.encode_copy(*change) for change in pending])
        folded = await shards.fold_shard(self._tables, partition, self._taxonomy)
        sums, labelled = folded.sums, folded.labelled
        logger.info("own partition %d: %d labelled customers", partition, len(labelled))
        cache = RecordCache(self._tables, self._taxonomy.fingerprint)
        damaged |= folded.damaged
        return OwnedPartition(claim, Shard(sums), labelled, cache, fenced_at, damaged)

    async def fold_again(self, owned: OwnedPartition) -> None:
        """Fold a partition's sums anew; nothing may be written meanwhile."""
        folded = await shards.fold_shard(self._tables, owned.claim.partition, self._taxonomy)
        owned.shard.sums, owned.labelled = folded.sums, folded.labelled
        owned.damaged |= folded.damaged
        owned.moved = owned.unsaved = True

    def is_lost(self, owned: OwnedPartition) -> bool:
        """Whether it is not held any more, or held under a newer claim."""
        return self.held.get(owned.claim.partition) is not owned

    def with_old_fence(self) -> list[OwnedPartition]:
        """The partitions whose fence is so old that the broker may forget it soon."""
        oldest = self._clock() - _FENCE_SECONDS
        return [owned for owned in self.held.values() if owned.fenced_at < oldest]

    async def fence_again(self, owned: OwnedPartition) -> None:
        """Raise the fence of a partition before the broker forgets it.

        Nothing may be written meanwhile. A worker that has lost its claim must not fence out the
        next owner, so the claim is looked at first.

        Raises:
            FencedError: another worker owns the partition now.
        """
        still_owns = partial(tables.still_owns, self._tables, owned.claim)
        if not await still_owns():
            self.lose(owned)
            raise FencedError(owned.claim.partition)
        await self._publisher.take_over(owned.claim.partition, [], still_owns)
        owned.fenced_at = self._clock()

    def lose(self, owned: OwnedPartition) -> None:
        """Forget a partition that another worker owns now."""
        self._metrics.fenced.inc()
        if self.held.get(owned.claim.partition) is owned:
            del self.held[owned.claim.partition]
