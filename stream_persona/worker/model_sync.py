"""How workers share the model: each publishes its parts, reads the others', and follows all."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Final

from stream_persona.errors import FencedError
from stream_persona.model.explain import affinities
from stream_persona.model.shard import Part, members, panel_share
from stream_persona.store import shards
from stream_persona.store.model_replica import following

if TYPE_CHECKING:
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.domain.tokenizer import Tokenizer
    from stream_persona.settings import Settings
    from stream_persona.store.tables import Tables
    from stream_persona.worker.metrics import Metrics
    from stream_persona.worker.partitions import Owned, Ownership

#: Least seconds between two publications of a part that keeps moving; and of the time, one part in
#: so many is spent on all of these, however large they are.
_SAVE_SECONDS: Final = 2.0
_SAVE: Final = 50.0
#: Seconds between two writes of the affinities.
_AFFINITY_SECONDS: Final = 5.0


class Sharing:
    """The parts of all workers; ``follower`` has the weights that they make together."""

    def __init__(
        self,
        settings: Settings,
        taxonomy: Taxonomy,
        tables: Tables,
        tokenizer: Tokenizer,
        ownership: Ownership,
        metrics: Metrics,
    ) -> None:
        self._settings = settings
        self._taxonomy = taxonomy
        self._tables = tables
        self._tokenizer = tokenizer
        self._ownership = ownership
        self._metrics = metrics
        self._others: dict[int, tuple[bytes, Part]] = {}
        self._affinities_of = ""
        self._affinities_at = 0.0
        self._next_save = -math.inf
        self.follower = following(settings, taxonomy, tables)

    async def refresh(self) -> None:
        """Publish our parts, read the others', derive new weights when anything has changed."""
        started = time.perf_counter()
        stamps = await self._tables.stamps(list(range(self._settings.partitions)))
        held = self._ownership.held
        changed = await self._read_parts({p: s for p, s in stamps.items() if p not in held})
        for partition, owned in self._by_last_save():
            changed |= owned.moved
            due = not owned.moved or self._is_time(owned)
            owned.moved = False
            if (owned.unsaved and due) or stamps.get(partition) != owned.stamp:
                await self._save_part(owned)
                changed = True  # the panel has moved with it
        fresh = self._tokenizer.names.take_new()
        await self._tables.add_names(fresh)
        held = self._ownership.held  # another one, if partitions were assigned meanwhile
        parts = [own.part for own in held.values()]
        parts += [part for p, (_, part) in self._others.items() if p not in held]
        if await self.follower.follow(parts, changed=changed):
            self._metrics.model_refresh.observe(time.perf_counter() - started)
            weights = self.follower.weights
            self._metrics.ambiguity_threshold.set(weights.threshold or math.nan)
            self._metrics.candidate_floor.set(weights.candidate_floor or math.nan)
        self._metrics.labelled.set(sum(len(own.taught) for own in held.values()))
        self._metrics.cached.set(sum(len(own.cache) for own in held.values()))
        await self._save_affinities()

    def _by_last_save(self) -> list[tuple[int, Owned]]:
        """The partitions that are held now, the one first that was published longest ago."""
        return sorted(self._ownership.held.items(), key=lambda each: each[1].saved_at)

    def _is_time(self, owned: Owned) -> bool:
        """Whether a part that keeps moving is published all the same: one after another."""
        now = time.monotonic()
        return now >= max(self._next_save, owned.saved_at + _SAVE_SECONDS)

    async def _read_parts(self, stamps: dict[int, bytes]) -> bool:
        """Fetch the parts of other workers that have moved; whether any had."""
        self._others, changed = await shards.read_shards(
            self._tables, stamps, self._others, self._taxonomy
        )
        return changed

    async def _save_part(self, owned: Owned) -> None:
        owned.unsaved, began = False, time.monotonic()
        share, part = panel_share(self._settings.partitions), owned.part
        known = await shards.panel(self._tables, owned.taught, share, self._taxonomy)
        part.panel = members(known, self._taxonomy, part.panel)
        try:
            owned.stamp = await shards.save_part(
                self._tables, owned.claim, part.sums, known, self._taxonomy
            )
        except FencedError:
            self._ownership.lose(owned)
        owned.saved_at = time.monotonic()
        self._next_save = owned.saved_at + _SAVE * (owned.saved_at - began)

    async def _save_affinities(self) -> None:
        """The owner of the first partition keeps the affinities fresh."""
        weights = self.follower.weights
        due = time.monotonic() - self._affinities_at > _AFFINITY_SECONDS
        if 0 in self._ownership.held and due and self._affinities_of != weights.version:
            await self._tables.save_affinities(affinities(weights, self._tokenizer.names.name))
            self._affinities_of, self._affinities_at = weights.version, time.monotonic()
