"""One worker: fetch batches in, records, changes and model parts out. It knows nothing of Faust.

Order within a batch is what makes it effectively once: load, walk, one atomic write that holds
the positions together with their effects, publish and wait for the broker; the caller acks last.
While a batch is written and said, the next one is walked, on what the first has left in memory.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from stream_persona.domain.tokenizer import Tokenizer
from stream_persona.errors import FencedError
from stream_persona.kafka.router import MessageRouter
from stream_persona.pipeline import decision, messages, process
from stream_persona.store import repository, shards, writes
from stream_persona.worker.challengers import Panel
from stream_persona.worker.model_sync import Sharing
from stream_persona.worker.partitions import Ownership
from stream_persona.worker.sweep import Sweep

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

    from aiokafka import ConsumerRecord

    from stream_persona.domain.record import Record
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.kafka.log_reader import History
    from stream_persona.kafka.publisher import Publisher
    from stream_persona.model.predictor import Predictor
    from stream_persona.pipeline.process import Outcome
    from stream_persona.settings import Settings
    from stream_persona.store.tables import Tables
    from stream_persona.store.writes import Share
    from stream_persona.worker.metrics import Metrics
    from stream_persona.worker.partitions import Owned

#: So many events walked at once are a crowd, in the seconds after which the sweep steps back: they
#: had to wait for each other.
_CROWD: Final = 300
_CROWDED_SECONDS: Final = 1.0


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
        self._tokenizer = Tokenizer(taxonomy)
        self._inbox = MessageRouter(settings, taxonomy, self._tokenizer)
        self.ownership = Ownership(taxonomy, tables, publisher, metrics)
        self._sharing = Sharing(
            settings, taxonomy, tables, self._tokenizer, self.ownership, metrics
        )
        self.panel = Panel(settings, taxonomy, metrics)
        self._walking = asyncio.Lock()
        # Taken in the order of the walks: copies for dashboards keep no write waiting.
        self._writing, self._announcing = asyncio.Lock(), asyncio.Lock()
        self._failure: BaseException | None = None
        self._crowded_until = 0.0
        self._sweep = Sweep(tables, settings.partitions, settings.sweep_rate)

    @property
    def weights(self) -> Predictor:
        """The weights in use."""
        return self._sharing.follower.weights

    @property
    def owned(self) -> frozenset[int]:
        """The partitions that this worker has claimed."""
        return frozenset(self.ownership.held)

    async def start(self) -> None:
        """Read the names of slots and the model as others left it."""
        for slot, token in await self._tables.names():
            self._tokenizer.names.learn(slot, token)
        await self.refresh()

    async def assign(
        self, partitions: Collection[int], repartitioned: Collection[str] = ()
    ) -> None:
        """Own exactly these partitions: keep what is still ours, claim and fold the rest.

        All events of topics that were ``repartitioned`` are forwarded to their home. The weights
        in use stay until the next ``refresh``: they are of the parts as their owners left them.
        """
        self._inbox.repartitioned = repartitioned
        await self.ownership.assign(partitions)

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
        if len(batch) > _CROWD:
            self._crowded_until = time.monotonic() + _CROWDED_SECONDS
        await self.ownership.settled()
        read = self._inbox.read(batch)
        owned = await self.ownership.of(read.homes.values())
        await self._publisher.publish([*read.letters, *read.reroutes])
        async with self._walking:
            stored = await self._stored(read.homes, owned)
            late_deletions = process.find_late_deletions(read.deliveries, stored, self._taxonomy)
            histories = await self._history.read(late_deletions) if late_deletions else {}
            outcome = process.process_batch(
                read.deliveries, stored, self.weights, self._taxonomy, self._tokenizer, _now(),
                histories,
            )  # fmt: skip
            self.panel.judge(outcome.trials, outcome.model_updates, _now())
            shares = await self._next_write(outcome, read.homes, owned)

        async def write() -> None:
            await self._write(shares, owned)
            self._metrics.read(read.reasons, len(read.reroutes))
            self._metrics.walked(outcome, batch, time.perf_counter() - started)

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
        await self.panel.work(self._tables, self.weights.customers, _now())

    async def sweep(self) -> int:
        """Score the next idle shoppers again if the model has moved; how many."""
        version = self.weights.version
        crowded = time.monotonic() < self._crowded_until
        if not self.sweeping:
            await self._said()
        scored = await self._sweep.step(version, self.owned, self._score_again, crowded=crowded)
        self._metrics.oldest_record_age.set(self.age)
        self._metrics.swept.inc(scored)
        return scored

    async def _said(self) -> None:
        """Wait until whatever was predicted by now is in the tables, where a sweep looks for it."""
        async with self._walking:
            pass  # every walk until now has its turn to write
        async with self._writing:
            pass

    @property
    def sweep_pause(self) -> float:
        """Seconds to wait before the sweep's next step."""
        return self._sweep.pause

    async def _score_again(self, homes: Mapping[str, int]) -> float:
        """Say what the model's move has changed; nothing else of a record moves.

        Where nothing has, no event waits for the writes before it. Returns for how many seconds it
        was at it.
        """
        began = time.perf_counter()
        async with self._walking:
            owned = dict(self.ownership.held)
            homes = {name: home for name, home in homes.items() if home in owned}
            outcome = process.rescore(
                await self._stored(homes, owned), self.weights, self._taxonomy, self._tokenizer,
                _now(), decision.Cause.MODEL,
            )  # fmt: skip
            if outcome.public_records:
                shares = await self._next_write(outcome, homes, owned)
                await self._write(shares, owned)
        self._metrics.said(outcome.causes)
        return time.perf_counter() - began

    async def refresh(self) -> None:
        """Publish our parts, read the others', derive new weights when anything has changed."""
        for owned in [each for each in self.ownership.held.values() if each.wants_fence]:
            async with self._walking, self._writing:
                await self.ownership.fence_again(owned)
        await self._sharing.refresh()

    async def _stored(
        self, homes: Mapping[str, int], owned: Mapping[int, Owned]
    ) -> dict[str, Record]:
        """The records of those customers that have one; ``homes`` are their partitions.

        What is read is not remembered before it changes: a sweep looks at everybody in turn.
        """
        kept = {name: owned[home].cache.get(name) for name, home in homes.items()}
        missing = [name for name, record in kept.items() if record is None]
        found = await repository.load(self._tables, missing, self._taxonomy.fingerprint)
        return {name: record for name, record in kept.items() if record is not None} | found

    async def _next_write(
        self, outcome: Outcome, homes: Mapping[str, int], owned: Mapping[int, Owned]
    ) -> dict[int, Share]:
        """What to write by partition, once it is its turn; the next walk reads it in memory.

        Nothing else is being written then, so what is forgotten in its place is in the tables.
        """
        days = self._settings.deletion_marker_days
        shares = writes.shares(outcome, homes, self._taxonomy, days)
        await self._writing.acquire()
        most = max(1, self._settings.cached_customers // max(1, len(self.ownership.held)))
        for home, share in shares.items():
            owned[home].cache.keep(share.records, most)
        return shares

    async def _write(self, shares: Mapping[int, Share], owned: Mapping[int, Owned]) -> None:
        """One atomic write for each partition, and then its changes; lets the next ones write.

        A partition that is another worker's now keeps nothing from the others'. After a failure
        nothing is written any more: it would build upon what is not there.
        """
        try:
            copies, failures = await self._written(shares, owned)
            self._failure = next(iter(failures), None)
            await self._announcing.acquire()
        except BaseException as error:
            self._failure = self._failure or error
            raise
        finally:
            self._writing.release()
        try:
            await self._tables.announce(copies)
        finally:
            self._announcing.release()
        if failures:
            raise failures[0]

    async def _written(
        self, shares: Mapping[int, Share], owned: Mapping[int, Owned]
    ) -> tuple[list[bytes], list[BaseException]]:
        """Copies of the changes, for whoever listens, and what went wrong with the others."""
        if self._failure is not None:
            raise self._failure
        lost = {home for home in shares if self.ownership.is_lost(owned[home])}
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
        for home in lost:
            self.ownership.lose(owned[home])
        copies = [
            messages.copy_of(*change)
            for (_, changes), end in zip(said, ends, strict=True)
            if end is None
            for change in changes
        ]
        return copies, [*(end for end in ends if end is not None), *map(FencedError, lost)]

    def _learn(self, owned: Owned, share: Share) -> None:
        """What was written, in the model."""
        shards.teach(owned.part.sums, owned.taught, share.model_updates)
        if share.model_updates:
            owned.moved = owned.unsaved = True


def _now() -> int:
    """Epoch milliseconds."""
    return time.time_ns() // 1_000_000
