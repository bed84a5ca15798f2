"""Keeps a worker's model in step: publishes its shards, reads the others', derives the weights."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Final

from stream_persona.errors import DamagedShardError, FencedError
from stream_persona.model.explain import compute_affinities
from stream_persona.model.shard import Shard, compute_panel_share, make_members
from stream_persona.store import shards
from stream_persona.store.duty_cycle import DutyCycle
from stream_persona.store.model_replica import GROWTH, make_replica
from stream_persona.store.names import ListingReader, ListingWriter
from stream_persona.store.ranking_tables import save_common

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_persona.domain.record import Record
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.domain.tokenizer import Tokenizer
    from stream_persona.model.predictor import Predictor
    from stream_persona.settings import Settings
    from stream_persona.store.tables import Tables
    from stream_persona.worker.metrics import Metrics
    from stream_persona.worker.owned_partition import OwnedPartition
    from stream_persona.worker.partitions import OwnedPartitions

logger = logging.getLogger(__name__)

#: Publishing shards that keep moving takes at most this share of the time, however large they
#: are; and each of them is published no more often than every so many seconds.
SAVE_DUTY_CYCLE: Final = 1 / 50
_SAVE_SECONDS: Final = 2.0
#: Reading our published shards once more, to see that they are intact, takes at most this share of
#: the time. Seconds between two looks, at least.
_CHECK_DUTY_CYCLE: Final = 1 / 500
_CHECK_SECONDS: Final = 10.0
#: Seconds between two writes of the affinities.
_AFFINITY_SECONDS: Final = 5.0


class ModelSync:
    """The shards of all workers; ``follower`` has the weights that they make together.

    ``clock`` gives seconds that never go back.
    """

    def __init__(
        self,
        settings: Settings,
        taxonomy: Taxonomy,
        tables: Tables,
        tokenizer: Tokenizer,
        partitions: OwnedPartitions,
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._taxonomy = taxonomy
        self._tables = tables
        self._tokenizer = tokenizer
        self._partitions = partitions
        self._metrics = metrics
        self._clock = clock
        self._others: dict[int, tuple[bytes, Shard]] = {}
        self._damaged: tuple[int, ...] = ()
        self._saving = DutyCycle(SAVE_DUTY_CYCLE, clock)
        self._checking = DutyCycle(_CHECK_DUTY_CYCLE, clock, _CHECK_SECONDS)
        self._listing = ListingReader(tables)
        self._listing_writer = ListingWriter(
            tables, settings.partitions, tokenizer.names.public, clock
        )
        self._writing_affinities = DutyCycle(1, clock, _AFFINITY_SECONDS)
        #: The claim and the version of the weights that the affinities were last written for.
        self._affinities_of = (0, "")
        #: Whether a shard has moved that the follower was not given yet.
        self._has_changed = False
        self.follower = make_replica(settings, taxonomy, tables, clock)

    async def refresh(self) -> None:
        """Publish our shards, read the others', derive new weights when anything has changed."""
        started = self._clock()
        stamps = await self._tables.load_stamps(list(range(self._settings.partitions)))
        held = self._partitions.held
        await self._read_shards({p: s for p, s in stamps.items() if p not in held})
        await self._save_shards(stamps)
        await self._check_saved()
        await self._share_names()
        if await self._follow():
            self._metrics.model_refresh.observe(self._clock() - started)
            self._show_weights(self.follower.weights)
        self._show_sizes()
        await self._save_affinities()

    async def _read_shards(self, stamps: dict[int, bytes]) -> None:
        """Read the shards of other workers that have moved."""
        self._others, changed, damaged = await shards.read_shards(
            self._tables, stamps, self._others, self._taxonomy
        )
        if damaged and damaged != self._damaged:
            logger.warning("%s", DamagedShardError(damaged))
        self._damaged = damaged
        self._has_changed |= changed

    async def _save_shards(self, stamps: dict[int, bytes]) -> None:
        """Publish the shards that are due, given the published stamps.

        A shard at rest is published at once; of those that keep moving, the one first that was
        published longest ago.
        """
        for partition, owned in self._sort_by_last_save():
            due = not owned.moved or self._may_save(owned)
            self._has_changed |= owned.moved
            owned.moved = False
            if (owned.unsaved and due) or stamps.get(partition) != owned.stamp:
                await self._save_shard(owned)

    def _sort_by_last_save(self) -> list[tuple[int, OwnedPartition]]:
        return sorted(self._partitions.held.items(), key=lambda each: each[1].saved_at)

    def _may_save(self, owned: OwnedPartition) -> bool:
        """Whether a shard that keeps moving may be published now."""
        return self._saving.is_due() and self._clock() >= owned.saved_at + _SAVE_SECONDS

    async def _check_saved(self) -> None:
        """Check that our published shards are intact; publish the damaged ones again."""
        if not self._checking.is_due():
            return
        began = self._clock()
        if 0 in self._partitions.held:
            await self._listing_writer.check()
        for partition, owned in list(self._partitions.held.items()):
            if await shards.is_damaged(self._tables, partition, owned.stamp):
                logger.warning("%s", DamagedShardError([partition]))
                self._metrics.damaged.labels("shard").inc()
                await self._save_shard(owned)
        self._checking.record(self._clock() - began)

    async def _save_shard(self, owned: OwnedPartition) -> None:
        owned.unsaved, began = False, self._clock()
        known = await self._read_panel(owned)
        self._has_changed = True  # the panel has moved
        try:
            owned.stamp = await shards.publish_shard(
                self._tables, owned.claim, owned.shard.sums, known, self._taxonomy
            )
        except FencedError:
            self._partitions.lose(owned)
        owned.saved_at = self._clock()
        self._saving.record(owned.saved_at - began)

    async def _share_names(self) -> None:
        """Write what names may be shown, as the owner of the first partition, and show these."""
        held = self._partitions.held
        if 0 in held:
            await self._listing_writer.write({p: owned.names for p, owned in held.items()})
        listing = await self._listing.read()
        if listing is not None:
            self._tokenizer.show_names(listing)

    async def _follow(self) -> bool:
        """Derive weights of all shards if it is time; whether they are new.

        A refresh that failed half-way had read what has changed: then it is the next one's.
        """
        held = self._partitions.held
        shards_of_all = [own.shard for own in held.values()]
        shards_of_all += [shard for p, (_, shard) in self._others.items() if p not in held]
        if self.follower.awaits_panels(shards_of_all):
            await self._read_panels()
        are_new = await self.follower.follow(shards_of_all, changed=self._has_changed)
        self._has_changed = False
        return are_new

    async def _read_panels(self) -> None:
        """Read our panels whose sums have grown by ``GROWTH``; publishing them may take longer."""
        for owned in list(self._partitions.held.values()):
            if owned.shard.sums.evidence >= GROWTH * owned.panel_evidence:
                await self._read_panel(owned)

    async def _read_panel(self, owned: OwnedPartition) -> list[tuple[int, str, Record]]:
        """Read a partition's panel; return key, label and record of its members."""
        owned.panel_evidence = owned.shard.sums.evidence
        share = compute_panel_share(self._settings.partitions)
        known, damaged = await shards.load_panel(
            self._tables, owned.labelled, share, self._taxonomy
        )
        owned.damaged |= damaged
        owned.shard.panel = make_members(known, self._taxonomy, owned.shard.panel)
        return known

    def _show_weights(self, weights: Predictor) -> None:
        self._metrics.ambiguity_threshold.set(weights.threshold or math.nan)
        self._metrics.candidate_floor.set(weights.candidate_floor or math.nan)

    def _show_sizes(self) -> None:
        held = self._partitions.held.values()
        self._metrics.labelled.set(sum(len(own.labelled) for own in held))
        self._metrics.cached.set(sum(len(own.cache) for own in held))

    async def _save_affinities(self) -> None:
        """Keep the affinities fresh, as the owner of the first partition.

        They are derived from the weights and from the names of the tokens that these use: from all
        of a slot, since here they stand for no shopper.
        """
        weights, first = self.follower.weights, self._partitions.held.get(0)
        if first is None or not self._writing_affinities.is_due():
            return
        wanted = (first.claim.token, weights.version)
        renamed = self._tokenizer.names.take_renamed()
        if wanted == self._affinities_of and not (renamed and renamed & self._find_used_slots()):
            return
        await self._tables.save_affinities(
            compute_affinities(weights, self._tokenizer.names.join_names)
        )
        if self._settings.tastes:
            await save_common(self._tables, weights, self._tokenizer.names, self._taxonomy)
        self._affinities_of = wanted
        self._writing_affinities.record(0.0)

    def _find_used_slots(self) -> set[int]:
        """The slots of all tokens with a weight or a common share: a River model has the latter."""
        weights = self.follower.weights
        shown, _ = weights.list_common_shares()
        return {*weights.weighted_slots.tolist(), *shown.tolist()}
