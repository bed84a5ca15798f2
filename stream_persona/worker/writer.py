"""Writes processed batches one after another, while the next one is processed.

The steps of a batch, in their order:

1. Commit one atomic write for each partition: positions together with their effects.
2. Add its model updates to the sums of the partitions.
3. Publish its changes, and wait for the broker. Who was deleted is pending no more: nothing names
   them from here on.
4. Announce copies of them on the dashboards' channel; the next batch may be committed meanwhile.
5. Call ``done``, which acknowledges the batch.

With a batch's effects, the offsets are stored from which on reading goes on after it; that of the
topic of changes is where those of the batches before end.

The first failure closes the writer. Later batches build on records that were not stored, so none
of them is written, and each ends with that same failure.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stream_persona.errors import FencedError, StreamPersonaError
from stream_persona.pipeline import messages
from stream_persona.store.tables import Write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from stream_persona.kafka.publisher import Publisher
    from stream_persona.store.tables import Tables
    from stream_persona.store.writes import PartitionWrite
    from stream_persona.worker.owned_partition import OwnedPartition
    from stream_persona.worker.partitions import OwnedPartitions


@dataclass(frozen=True, slots=True)
class ProcessedBatch:
    """What a batch changes, by partition, and the claims under which its records were read."""

    shares: Mapping[int, PartitionWrite]
    owned: Mapping[int, OwnedPartition]


@dataclass(frozen=True, slots=True)
class _PublishedCopies:
    """Copies of a batch's changes that the broker has, and the first failure until then."""

    copies: list[bytes]
    failure: BaseException | None


class Writer:
    """Writes batches in the order in which they are started.

    At most one is committed and published at a time, and copies of at most one are announced.
    """

    def __init__(
        self, partitions: OwnedPartitions, tables: Tables, publisher: Publisher, changes: str
    ) -> None:
        """Changes are published to the topic ``changes``."""
        self._changes = changes
        self._partitions = partitions
        self._tables = tables
        self._publisher = publisher
        self._writing: asyncio.Task[_PublishedCopies] | None = None
        self._finishing: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None

    @property
    def failure(self) -> BaseException | None:
        """The first failure, which has closed this writer."""
        return self._failure

    def close(self, failure: BaseException) -> None:
        """Write nothing more: each batch that is started from now on ends with this failure."""
        self._failure = self._failure or failure

    async def end(self) -> None:
        """Wait until every batch that was started has ended, whatever became of it."""
        await _wait_for_end(self._writing)
        await _wait_for_end(self._finishing)

    async def drain(self) -> None:
        """Wait until every batch that was started is committed and published, or has failed."""
        await _wait_for_end(self._writing)

    def start(self, batch: ProcessedBatch, done: Callable[[], None]) -> asyncio.Task[None]:
        """Start to write a batch once the last one is written.

        Whoever keeps its records in a cache drains the writer first: what they push out must be in
        Redis. The task ends after ``done`` was called. It raises the first failure of this writer;
        a partition that another worker owns now is one (``FencedError``), but all others are
        written.
        """
        last = self._writing, self._finishing
        self._writing = asyncio.create_task(self._write_after(*last, batch))
        self._finishing = asyncio.create_task(self._finish(self._writing, done))
        return self._finishing

    async def _write_after(
        self,
        writing: asyncio.Task[_PublishedCopies] | None,
        finishing: asyncio.Task[None] | None,
        batch: ProcessedBatch,
    ) -> _PublishedCopies:
        """Write a batch after the last one, and return when that one's copies are announced.

        Copies are announced in the order of the writes, and don't pile up.
        """
        with self._close_on_failure():
            await _wait_for_end(writing)
            if self._failure is not None:
                raise self._failure
            copies, failure = await self._write(batch)
            self._failure = self._failure or failure
            await _wait_for_end(finishing)
            return _PublishedCopies(copies, self._failure)

    async def _finish(
        self, writing: asyncio.Task[_PublishedCopies], done: Callable[[], None]
    ) -> None:
        published = await writing
        with self._close_on_failure():
            await self._tables.announce(published.copies)
            if published.failure is not None:
                raise published.failure
            done()

    async def _write(self, batch: ProcessedBatch) -> tuple[list[bytes], BaseException | None]:
        """Commit and publish each partition; one that was lost keeps nothing from the others.

        Returns copies of the changes that the broker has, and the first error of the others.
        """
        lost = await self._commit(batch)
        written = {home: share for home, share in batch.shares.items() if home not in lost}
        for home, share in written.items():
            batch.owned[home].update_model(share.model_updates)
        errors = await self._publish(batch, written)
        lost |= {each.partition for each in errors.values() if isinstance(each, FencedError)}
        for home in lost:
            self._partitions.lose(batch.owned[home])
        # Where publishing failed, the next owner has to know of tombstones, and publishes them.
        lost_now, failure = await self._forget_pending(batch, written, lost | errors.keys())
        published = [share for home, share in written.items() if home not in errors]
        copies = [messages.encode_copy(*each) for share in published for each in share.changes]
        failures = [*errors.values(), *map(FencedError, lost | lost_now)]
        return copies, next(iter(failures), failure)

    async def _publish(
        self, batch: ProcessedBatch, written: Mapping[int, PartitionWrite]
    ) -> dict[int, BaseException]:
        """Publish each partition's changes, and note where they end; return what failed."""
        changes = (self._publisher.publish_changes(h, each.changes) for h, each in written.items())
        results = await asyncio.gather(*changes, return_exceptions=True)
        errors: dict[int, BaseException] = {}
        for home, result in zip(written, results, strict=True):
            offsets = batch.owned[home].offsets
            if isinstance(result, BaseException):
                errors[home] = result
            else:
                offsets[self._changes] = max(result, offsets.get(self._changes, 0))
        return errors

    async def _forget_pending(
        self, batch: ProcessedBatch, written: Mapping[int, PartitionWrite], lost: set[int]
    ) -> tuple[set[int], Exception | None]:
        """Remove deleted customers' ids from pending lists; return lost partitions or a failure.

        The next owner of a partition does it as well, if this process ends before.
        """
        named = [h for h, share in written.items() if share.write.forgotten and h not in lost]
        try:
            refused = await self._tables.commit_all(
                [(batch.owned[home].claim, Write(pending=[])) for home in named]
            )
        except StreamPersonaError as error:
            return set(), error
        for home in refused:
            self._partitions.lose(batch.owned[home])
        return refused, None

    async def _commit(self, batch: ProcessedBatch) -> set[int]:
        """Commit each partition that is still held; return those that were lost."""
        owned = batch.owned
        lost = {home for home in batch.shares if self._partitions.is_lost(owned[home])}
        kept = {home: share for home, share in batch.shares.items() if home not in lost}
        for home, share in kept.items():
            known = owned[home].offsets
            if share.write.offsets and self._changes in known:
                share.write.offsets[self._changes] = known[self._changes]
        return lost | await self._tables.commit_all(
            [(owned[home].claim, share.write) for home, share in kept.items()]
        )

    @contextmanager
    def _close_on_failure(self) -> Iterator[None]:
        """Let nothing more be written after an error, a cancellation included."""
        try:
            yield
        except BaseException as error:
            self._failure = self._failure or error
            raise


async def _wait_for_end(task: asyncio.Task[Any] | None) -> None:
    """Wait for a task's end, whatever it is."""
    if task is not None and not task.done():
        await asyncio.wait([task])
