"""The partitions that a worker owns: claims, what it keeps of each, and how it loses them."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from stream_persona.errors import FencedError
from stream_persona.model.shard import Shard
from stream_persona.store import shards, tables
from stream_persona.store.repository import RecordCache
from stream_persona.worker.behind import find_behind, name_behind_since
from stream_persona.worker.owned_partition import OwnedPartition
from stream_persona.worker.takeover import PartitionTaker

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.kafka.log_reader import EventLog
    from stream_persona.kafka.publisher import Publisher
    from stream_persona.settings import Settings
    from stream_persona.store.tables import Tables
    from stream_persona.worker.metrics import Metrics

logger = logging.getLogger(__name__)

#: A topic and its partition.
At = TypeVar("At", bound=tuple[str, int])

#: Seconds after which the fence of a partition's changes is raised again: the broker forgets
#: producers that were silent for a day, and it can't refuse what it has forgotten.
_FENCE_SECONDS: Final = 43_200.0


class OwnedPartitions:
    """The partitions that a worker owns, by number in ``held``.

    ``clock`` gives seconds that never go back.
    """

    def __init__(
        self,
        settings: Settings,
        taxonomy: Taxonomy,
        tables: Tables,
        publisher: Publisher,
        log: EventLog,
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        self._taker = PartitionTaker(settings, taxonomy, tables, publisher, log)
        self._log = log
        self._topics = (*settings.input_topics, settings.topic_reroutes)
        self._behind_since = name_behind_since(settings.topic_changes)
        self._taxonomy = taxonomy
        self._tables = tables
        self._publisher = publisher
        self._metrics = metrics
        self._clock = clock
        self._assigning = asyncio.Lock()
        self._is_settled = asyncio.Event()
        self._is_settled.set()
        self._unsettled = 0
        self._warned_of: set[str] = set()
        self.held: dict[int, OwnedPartition] = {}

    @property
    def unknown_labels(self) -> Counter[str]:
        """How many customers are labelled with a persona that the taxonomy does not know."""
        return Counter(each for own in self.held.values() for each in own.unknown_labels.values())

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
        self.warn_of_unknown_labels()
        return fresh

    def warn_of_unknown_labels(self) -> None:
        """Warn once for each unknown persona that its labels have no effect, and what helps."""
        unknown = self.unknown_labels
        if unknown.keys() <= self._warned_of:
            return
        self._warned_of |= unknown.keys()
        counts = ", ".join(f"{persona!r}: {number}" for persona, number in unknown.most_common())
        logger.warning(
            "%d labels have no effect, since the taxonomy has no such persona (%s): if one was "
            'renamed, write renamed_from = ["its old name"] at the [[persona]] that it is now',
            unknown.total(),
            counts,
        )

    @contextmanager
    def hold_while_rebalancing(self) -> Iterator[None]:
        """Hold up ``settled`` while it is not yet known which partitions are ours.

        Faust may deliver events of a partition before it signals the assignment.
        """
        self._is_settled.clear()
        self._unsettled += 1
        try:
            yield
        finally:
            self._unsettled -= 1
            if not self._unsettled:
                self._is_settled.set()

    @property
    def behind(self) -> frozenset[str]:
        """The customers that are not decided yet: their events have yet to be read again."""
        found = [owned.behind.customers for owned in self.held.values() if owned.behind]
        return frozenset().union(*found)

    def take_caught_up(self) -> dict[str, int]:
        """Return the customers who are behind no more, with their partitions."""
        now = self._clock()
        return {
            name: home for home, owned in self.held.items() for name in owned.take_caught_up(now)
        }

    def forget_caught_up(self) -> None:
        """Forget the customers who were behind, once they have been decided."""
        for owned in self.held.values():
            owned.forget_caught_up(self._behind_since)

    async def wait_until_assigned(self) -> None:
        """Wait until no rebalance is under way."""
        await self._is_settled.wait()

    async def wait_and_get(
        self, partitions: Collection[int], others: Iterable[int] = ()
    ) -> dict[int, OwnedPartition]:
        """Return what is held of each partition; wait for an assignment that is under way.

        Of ``others``, those are returned that are held.

        What was read under a claim may be written under that claim alone: by the time of the next
        claim, another worker may have written.

        Raises:
            FencedError: one of them is not held.
        """
        async with self._assigning:
            for partition in partitions:
                if partition not in self.held:
                    raise FencedError(partition)
            wanted = {*partitions, *others}
            return {p: owned for p, owned in self.held.items() if p in wanted}

    async def _claim(self, partition: int) -> OwnedPartition:
        """Take the partition over, and fold its shard of the model."""
        fenced_at = self._clock()
        taken = await self._taker.take_over(partition)
        self._metrics.adopted.inc(len(taken.adopted))
        folded = await shards.fold_shard(self._tables, partition, self._taxonomy)
        sums, labelled = folded.sums, folded.labelled
        logger.info("own partition %d: %d labelled customers", partition, len(labelled))
        cache = RecordCache(self._tables, self._taxonomy.fingerprint)
        behind = await find_behind(taken.behind, partition, self._topics, self._log, fenced_at)
        return OwnedPartition(
            taken.claim, Shard(sums), labelled, cache, fenced_at, taken.offsets, taken.names,
            taken.damaged | folded.damaged, folded.unknown_labels,
            trusts_group=taken.claim.offsets is None, behind=behind,
        )  # fmt: skip

    async def fold_again(self, owned: OwnedPartition) -> None:
        """Fold a partition's sums anew; nothing may be written meanwhile."""
        folded = await shards.fold_shard(self._tables, owned.claim.partition, self._taxonomy)
        owned.shard.sums, owned.labelled = folded.sums, folded.labelled
        owned.damaged |= folded.damaged
        owned.unknown_labels = folded.unknown_labels
        owned.moved = owned.unsaved = True

    def find_starts(self, committed: Mapping[At, int | None]) -> dict[At, int]:
        """Find the topics' partitions whose effects end before what the group has committed."""
        starts = {}
        for at, end in committed.items():
            topic, partition = at
            owned = self.held.get(partition)
            if owned is None or end is None:
                continue
            if owned.trusts_group:
                owned.trusts_group = False
                own = {t: to for (t, p), to in committed.items() if p == partition and to}
                owned.offsets |= own
            if owned.offsets.get(topic, 0) < end:
                starts[at] = owned.offsets.get(topic, 0)
        return starts

    def find_ends(self, topics: Collection[str]) -> dict[tuple[str, int], int]:
        """Find the offsets of these topics behind what was processed, by topic and partition."""
        return {
            (topic, partition): end
            for partition, owned in self.held.items()
            if not owned.trusts_group
            for topic, end in owned.offsets.items()
            if topic in topics
        }

    def count_behind(self, ends: Mapping[tuple[str, int], int]) -> int:
        """Count the offsets before these ends that have no effect in what is stored."""
        return sum(
            max(0, end - self.held[partition].offsets.get(topic, 0))
            for (topic, partition), end in ends.items()
            if partition in self.held
        )

    async def find_rolled_back(self) -> set[int]:
        """Return the partitions of which Redis has lost the last write, or our claim."""
        return await self._tables.find_rolled_back([each.claim for each in self.held.values()])

    async def forget_all(self) -> None:
        """Let go of all partitions, and of what is cached of them."""
        async with self._assigning:
            await self._publisher.release(self.held.keys())
            self.held = {}

    def is_lost(self, owned: OwnedPartition) -> bool:
        """Whether it is not held any more, or held under a newer claim."""
        return self.held.get(owned.claim.partition) is not owned

    def find_old_fences(self) -> list[OwnedPartition]:
        """Find the partitions whose fence is so old that the broker may forget it soon."""
        oldest = self._clock() - _FENCE_SECONDS
        return [owned for owned in self.held.values() if owned.fenced_at < oldest]

    async def raise_fence(self, owned: OwnedPartition) -> None:
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
            self._metrics.partitions.set(len(self.held))
