"""One worker: fetch batches in, records, changes and model parts out. It knows nothing of Faust.

Order within a batch is what makes it effectively once: load, walk, one atomic write that holds
the positions together with their effects, publish and wait for the broker; the caller acks last.
While a batch is written and said, the next one is walked, on what the first has left in memory.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from stream_persona import change, journal, pipeline
from stream_persona.affinity import affinities
from stream_persona.challenger import Panel
from stream_persona.errors import FencedError
from stream_persona.events import KINDS
from stream_persona.inbox import Inbox
from stream_persona.journal import RecordCache
from stream_persona.learned import Part, members, panel_share, unpack
from stream_persona.pipeline import Outcome
from stream_persona.refit import following
from stream_persona.sweep import Sweep
from stream_persona.tokens import Tokenizer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence

    from aiokafka import ConsumerRecord

    from stream_persona.history import History
    from stream_persona.inbox import Read
    from stream_persona.journal import Share
    from stream_persona.metrics import Metrics
    from stream_persona.publish import Publisher
    from stream_persona.records import Record
    from stream_persona.settings import Settings
    from stream_persona.tables import Claim, Tables
    from stream_persona.taxonomy import Taxonomy
    from stream_persona.weights import Weights

logger = logging.getLogger(__name__)

#: Seconds between two publications of a part that keeps moving.
_SAVE_SECONDS = 2.0
#: Seconds between two writes of the affinities.
_AFFINITY_SECONDS = 5.0
#: Seconds after which the fence of a partition's changes is raised anew: the broker forgets
#: producers that were silent for a day, and what it forgot it can't refuse.
_FENCE_SECONDS = 43_200.0


@dataclass(slots=True)
class Owned:
    """What a worker holds of a partition: its claim, its share of the model, recent records.

    ``taught`` are the customers whose contribution is in the share's sums, with their keys;
    ``moved`` tells whether the sums have since the last refresh, ``unsaved`` since the last save.
    """

    claim: Claim
    part: Part
    taught: dict[str, int]
    cache: RecordCache
    stamp: bytes = b""
    moved: bool = False
    unsaved: bool = True
    next_save: float = 0.0
    fenced_at: float = field(default_factory=time.monotonic)


class Worker:
    """The state of one worker process and what it does with a batch."""

    def __init__(
        self,
        settings: Settings,
        taxonomy: Taxonomy,
        tables: Tables,
        publisher: Publisher,
        history: History,
        metrics: Metrics,
    ) -> None:
        self._settings = settings
        self._taxonomy = taxonomy
        self._tables = tables
        self._publisher = publisher
        self._history = history
        self._metrics = metrics
        self._inbox = Inbox(settings, taxonomy)
        self._tokenizer = Tokenizer(taxonomy)
        self._follower = following(settings, taxonomy, tables)
        self._panel = Panel(settings, taxonomy, metrics)
        self._owned: dict[int, Owned] = {}
        self._others: dict[int, tuple[bytes, Part]] = {}
        self._assigning = asyncio.Lock()
        self._walking = asyncio.Lock()
        self._writing = asyncio.Lock()  # taken in the order of the walks
        self._failure: BaseException | None = None
        self._sweep = Sweep(tables, settings.partitions, settings.sweep_rate)
        self._affinities_of = ""
        self._affinities_at = 0.0

    @property
    def weights(self) -> Weights:
        """The weights in use."""
        return self._follower.weights

    @property
    def owned(self) -> frozenset[int]:
        """The partitions that this worker has claimed."""
        return frozenset(self._owned)

    async def start(self) -> None:
        """Read the names of slots and the model as others left it."""
        for slot, token in await self._tables.names():
            self._tokenizer.learn_name(slot, token)
        await self.refresh()

    async def assign(
        self, partitions: Collection[int], repartitioned: Collection[str] = ()
    ) -> None:
        """Own exactly these partitions: keep what is still ours, claim and fold the rest.

        All events of topics that were ``repartitioned`` are forwarded to their home. The weights
        in use stay until the next ``refresh``: they are of the parts as their owners left them.
        """
        async with self._assigning:
            self._inbox.repartitioned = repartitioned
            before, tokens = self._owned.keys(), await self._tables.owners(list(partitions))
            self._owned = {
                p: owned
                for p, owned in self._owned.items()
                if p in partitions and tokens.get(p) == owned.claim.token
            }
            await self._publisher.disown(before - self._owned.keys())
            fresh = sorted(set(partitions) - self._owned.keys())
            for owned in await asyncio.gather(*(self._claim(p) for p in fresh)):
                self._owned[owned.claim.partition] = owned
                self._others.pop(owned.claim.partition, None)
        self._metrics.partitions.set(len(self._owned))

    async def process(self, batch: Sequence[ConsumerRecord]) -> None:
        """The whole journey of fetched records, of any partitions and topics.

        Raises:
            FencedError: another worker owns one of the partitions now; nothing of it was written.
            UnavailableError: Redis or Kafka stayed away; nothing may be acked.
        """
        await (await self.walk(batch))()

    async def walk(self, batch: Sequence[ConsumerRecord]) -> Callable[[], Awaitable[None]]:
        """Walk fetched records; what it returns has to be called to write and say what came of it.

        All are walked at once, and then written and said partition by partition, each on its own.
        The next ones may be walked meanwhile: they build upon what is not written yet, and are
        themselves written after it, or never. Both raise as ``process`` does.
        """
        started = time.perf_counter()
        read = self._inbox.read(batch)
        owned = await self._owners_of(read.homes.values())
        await self._publisher.publish([*read.letters, *read.reroutes])
        async with self._walking:
            stored = await self._stored(read.homes, owned)
            overtaken = pipeline.overtaken(read.deliveries, stored, self._taxonomy)
            histories = await self._history.read(overtaken) if overtaken else {}
            outcome = pipeline.walk(
                read.deliveries, stored, self.weights, self._taxonomy, self._tokenizer, _now(),
                histories,
            )  # fmt: skip
            self._panel.judge(outcome.trials, outcome.lessons)
            shares = self._shares(outcome, read.homes)
            await self._writing.acquire()
            self._keep(shares, owned)

        async def write() -> None:
            await self._write(shares, owned)
            self._count(outcome, read, batch, started)

        return write

    @property
    def sweeping(self) -> bool:
        """Whether the sweep has begun and not ended."""
        return self._sweep.under_way

    @property
    def age(self) -> float:
        """Seconds by which the oldest public record may be behind the model."""
        return self._sweep.age(self.weights.version)

    async def challenge(self) -> None:
        """Let the challengers learn again what they can't unlearn."""
        await self._panel.work(self._tables, self.weights.customers)

    async def sweep(self) -> int:
        """Score the next idle shoppers again if the model has moved; how many."""
        version = self.weights.version
        scored = await self._sweep.step(version, self.owned, self._score_again)
        self._metrics.oldest_record_age.set(self.age)
        self._metrics.swept.inc(scored)
        return scored

    @property
    def sweep_pause(self) -> float:
        """Seconds to wait before the sweep's next step."""
        return self._sweep.pause

    async def _score_again(self, homes: Mapping[str, int]) -> tuple[float, float]:
        """Say what the model's move has changed; nothing else of a record moves.

        Returns for how many seconds it waited for live events, and kept them waiting.
        """
        asked = time.perf_counter()
        async with self._walking:
            began = time.perf_counter()
            owned = dict(self._owned)
            homes = {name: home for name, home in homes.items() if home in owned}
            outcome = Outcome(records=await self._stored(homes, owned))
            pipeline.speak(
                outcome, self.weights, self._taxonomy, self._tokenizer, _now(), change.MODEL
            )
            outcome.records = {name: outcome.records[name] for name in outcome.spoken}
            shares = self._shares(outcome, homes)
            await self._writing.acquire()
            self._keep(shares, owned)
            await self._write(shares, owned)
            held = time.perf_counter() - began
        for cause in outcome.causes:
            self._metrics.changes.labels(change.CAUSES[cause]).inc()
        return began - asked, held

    async def refresh(self) -> None:
        """Publish our parts, read the others', derive new weights when anything has changed."""
        started = time.perf_counter()
        stamps = await self._tables.stamps(list(range(self._settings.partitions)))
        changed = await self._read_parts({p: s for p, s in stamps.items() if p not in self._owned})
        for partition, owned in list(self._owned.items()):
            if time.monotonic() - owned.fenced_at > _FENCE_SECONDS:
                await self._fence_again(owned)
            changed |= owned.moved
            due = not owned.moved or time.monotonic() >= owned.next_save
            if owned.moved and due:  # a part that keeps moving is not published every time
                owned.next_save = time.monotonic() + _SAVE_SECONDS
            owned.moved = False
            if (owned.unsaved and due) or stamps.get(partition) != owned.stamp:
                await self._save_part(owned)
                changed = True  # the panel has moved with it
        fresh, self._tokenizer.fresh = self._tokenizer.fresh, []
        await self._tables.add_names(fresh)
        parts = [own.part for own in self._owned.values()]
        parts += [part for _, part in self._others.values()]
        if await self._follower.follow(parts, changed=changed):
            self._metrics.model_refresh.observe(time.perf_counter() - started)
            self._metrics.ambiguity_threshold.set(self.weights.threshold or math.nan)
            self._metrics.candidate_floor.set(self.weights.candidate_floor or math.nan)
        self._metrics.labelled.set(sum(len(own.taught) for own in self._owned.values()))
        self._metrics.cached.set(sum(len(own.cache) for own in self._owned.values()))
        await self._save_affinities()

    async def _owners_of(self, partitions: Iterable[int]) -> dict[int, Owned]:
        """What is held of partitions; waits for an assignment that is under way.

        What was read under a claim may be written under that claim alone: by the time of the next
        one, somebody else may have written.
        """
        async with self._assigning:
            found = {partition: self._owned.get(partition) for partition in partitions}
        for partition, owned in found.items():
            if owned is None:
                raise FencedError(partition)
        return {partition: owned for partition, owned in found.items() if owned is not None}

    async def _claim(self, partition: int) -> Owned:
        """Become the owner, publish what the last one could not, fold the share of the model."""
        claim = (await self._tables.claim([partition]))[partition]
        pending = await journal.unpublished(self._tables, partition, self._taxonomy)
        await self._publisher.own(partition, pending, partial(journal.is_mine, self._tables, claim))
        await self._tables.announce([journal.copy_of(*change) for change in pending])
        sums, taught = await journal.fold_part(self._tables, partition, self._taxonomy)
        logger.info("own partition %d: %d labelled customers", partition, len(taught))
        cache = RecordCache(self._tables, self._taxonomy.fingerprint)
        return Owned(claim, Part(sums), taught, cache)

    async def _stored(
        self, homes: Mapping[str, int], owned: Mapping[int, Owned]
    ) -> dict[str, Record]:
        """The records of those customers that have one; ``homes`` are their partitions.

        What is read is not remembered before it changes: a sweep looks at everybody in turn.
        """
        kept = {name: owned[home].cache.get(name) for name, home in homes.items()}
        missing = [name for name, record in kept.items() if record is None]
        found = await journal.load(self._tables, missing, self._taxonomy.fingerprint)
        return {name: record for name, record in kept.items() if record is not None} | found

    def _shares(self, outcome: Outcome, homes: Mapping[str, int]) -> dict[int, Share]:
        days = self._settings.deletion_marker_days
        return journal.shares(outcome, homes, self._taxonomy, days)

    def _keep(self, shares: Mapping[int, Share], owned: Mapping[int, Owned]) -> None:
        """Remember records that are about to be written: the next walk reads them here.

        Nothing else is being written, so what is forgotten in their place is in the tables.
        """
        most = max(1, self._settings.cached_customers // max(1, len(self._owned)))
        for home, share in shares.items():
            owned[home].cache.keep(share.records, most)

    async def _write(self, shares: Mapping[int, Share], owned: Mapping[int, Owned]) -> None:
        """One atomic write for each partition, and then its changes; lets the next ones write.

        A partition that is another worker's now keeps nothing from the others'. After a failure
        nothing is written any more: it would build upon what is not there.
        """
        try:
            await self._written(shares, owned)
        except BaseException as error:
            self._failure = self._failure or error
            raise
        finally:
            self._writing.release()

    async def _written(self, shares: Mapping[int, Share], owned: Mapping[int, Owned]) -> None:
        if self._failure is not None:
            raise self._failure
        lost = {home for home in shares if self._owned.get(home) is not owned[home]}
        kept = {home: share for home, share in shares.items() if home not in lost}
        lost |= await self._tables.commit_all(
            [(owned[home].claim, share.write) for home, share in kept.items()]
        )
        said = [(home, share.changes) for home, share in kept.items() if home not in lost]
        for home, _ in said:
            self._learn(owned[home], shares[home])
        ends = await asyncio.gather(
            *(self._publisher.change(home, changes) for home, changes in said),
            return_exceptions=True,
        )
        lost |= {end.partition for end in ends if isinstance(end, FencedError)}
        await self._tables.announce([
            journal.copy_of(*change)
            for (_, changes), end in zip(said, ends, strict=True)
            if end is None
            for change in changes
        ])  # fmt: skip
        for home in lost:
            self._lose(owned[home])
        failures = [*(end for end in ends if end is not None), *map(FencedError, lost)]
        if failures:
            raise failures[0]

    def _learn(self, owned: Owned, share: Share) -> None:
        """What was written, in the model."""
        journal.teach(owned.part.sums, owned.taught, share.lessons)
        if share.lessons:
            owned.moved = owned.unsaved = True

    async def _fence_again(self, owned: Owned) -> None:
        """Raise the fence before the broker forgets it; who has lost the claim takes no one's."""
        is_mine = partial(journal.is_mine, self._tables, owned.claim)
        async with self._walking, self._writing:
            if not await is_mine():
                self._lose(owned)
                raise FencedError(owned.claim.partition)
            await self._publisher.own(owned.claim.partition, [], is_mine)
        owned.fenced_at = time.monotonic()

    def _lose(self, owned: Owned) -> None:
        """Forget a partition that is another worker's now."""
        self._metrics.fenced.inc()
        if self._owned.get(owned.claim.partition) is owned:
            del self._owned[owned.claim.partition]

    def _count(
        self, outcome: Outcome, read: Read, batch: Sequence[ConsumerRecord], started: float
    ) -> None:
        metrics = self._metrics
        for kind, number in enumerate(outcome.applied):
            if number:
                metrics.events.labels(KINDS[kind].__name__.lower()).inc(number)
        for cause in outcome.causes:
            metrics.changes.labels(change.CAUSES[cause]).inc()
        for reason in read.reasons:
            metrics.dead_letters.labels(reason).inc()
        metrics.redelivered.inc(outcome.redelivered)
        metrics.duplicates.inc(outcome.duplicates)
        metrics.dropped.inc(outcome.dropped)
        metrics.rerouted.inc(len(read.reroutes))
        metrics.batch_seconds.observe(time.perf_counter() - started)
        if outcome.causes:
            oldest = min(record.timestamp for record in batch)
            metrics.change_seconds.observe(max(0.0, time.time() - oldest / 1_000))

    async def _read_parts(self, stamps: dict[int, bytes]) -> bool:
        """Fetch the parts of other workers that have moved; whether any had."""
        moved = [p for p, stamp in stamps.items() if self._others.get(p, (b"",))[0] != stamp]
        gone = self._others.keys() - stamps.keys()
        for partition in gone:
            del self._others[partition]
        for partition, (stamp, blob) in (await self._tables.parts(moved)).items():
            if partition not in self._owned:  # claimed while we were reading
                before = self._others.get(partition, (b"", None))[1]
                self._others[partition] = (stamp, unpack(blob, self._taxonomy, before))
        return bool(moved or gone)

    async def _save_part(self, owned: Owned) -> None:
        owned.unsaved = False
        share, part = panel_share(self._settings.partitions), owned.part
        known = await journal.panel(self._tables, owned.taught, share, self._taxonomy)
        part.panel = members(known, self._taxonomy, part.panel)
        try:
            owned.stamp = await journal.save_part(
                self._tables, owned.claim, part.sums, known, self._taxonomy
            )
        except FencedError:
            self._lose(owned)

    async def _save_affinities(self) -> None:
        """The owner of the first partition keeps the affinities fresh."""
        due = time.monotonic() - self._affinities_at > _AFFINITY_SECONDS
        if 0 in self._owned and due and self._affinities_of != self.weights.version:
            await self._tables.save_affinities(affinities(self.weights, self._tokenizer.name))
            self._affinities_of, self._affinities_at = self.weights.version, time.monotonic()


def _now() -> int:
    """Epoch milliseconds."""
    return time.time_ns() // 1_000_000
