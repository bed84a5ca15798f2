"""Reads bounded ranges of partitions once, outside of any consumer group.

Offsets may have gaps anywhere: compaction leaves holes, and the markers that end transactions take
offsets of their own. So a range has been read once the *position* has reached its end, and not once
its last record has been seen. Events of aborted transactions are not delivered.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from stream_persona.errors import UnavailableError
from stream_persona.kafka.batches import unpack_whatever_comes
from stream_persona.kafka.connection import connection_options, start_client
from stream_persona.kafka.refusals import explain_missing_right
from stream_persona.kafka.rights import make_missing_rights_error

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping

    from aiokafka import ConsumerRecord, TopicPartition

    from stream_persona.settings import Settings


#: Milliseconds after which positions are looked at again where no record comes: past the markers
#: that transactions leave there is none to wait for.
_POLL_MS: Final = 20


class RangeReader:
    """Reads what is committed of ranges of offsets; start it before use, or enter its context.

    Whatever the consumer raises comes out as it is: a ``KafkaError``, at the start also an
    ``OSError`` or a ``ValueError`` for brokers that cannot be found.

    Args:
        settings: How to connect.
        patience: Seconds after which a range that gives nothing more is an error.
        chunk: Most records that are unpacked at a time, and so how long the event loop is held up.
        hold_ms: Milliseconds for which a broker may hold back a fetch that finds nothing.
        skip_expired: Begin at the first retained offset where retention has overtaken a range;
            otherwise that is an ``OffsetOutOfRangeError``.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        patience: float,
        chunk: int = 500,
        hold_ms: int = 500,
        skip_expired: bool = False,
    ) -> None:
        unpack_whatever_comes()
        self._settings = settings
        self._patience = patience
        self._consumer = AIOKafkaConsumer(
            **connection_options(settings),
            enable_auto_commit=False,
            auto_offset_reset="earliest" if skip_expired else "none",
            isolation_level="read_committed",
            fetch_max_wait_ms=hold_ms,
            max_poll_records=chunk,
        )
        #: What has not been read yet of the ranges that were begun.
        self.unread: dict[TopicPartition, range] = {}

    async def start(self) -> None:
        """Connect; what cannot connect is closed."""
        try:
            await start_client(self._consumer, self._settings)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Disconnect; nothing is lost if that fails."""
        with suppress(KafkaError, OSError):
            await self._consumer.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def list_topics(self) -> set[str]:
        """Return the topics of the cluster. No broker creates one because of this."""
        return set(await self._consumer.topics())

    async def load_bounds(
        self, partitions: Collection[TopicPartition]
    ) -> dict[TopicPartition, range]:
        """Load the offsets that each log holds: from its first to the end of what is committed."""
        await self._refuse_hidden(partitions)
        first = await self._consumer.beginning_offsets(list(partitions))
        ends = await self._consumer.end_offsets(list(partitions))
        return {tp: range(first[tp], ends[tp]) for tp in partitions}

    async def load_ends(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """Load the ends of what is committed in each log; all of them must exist."""
        await self._refuse_hidden(partitions)
        found: dict[TopicPartition, int] = await self._consumer.end_offsets(list(partitions))
        return found

    async def _refuse_hidden(self, partitions: Collection[TopicPartition]) -> None:
        """Refuse topics that this login may not see: where they end would be waited for.

        Raises:
            TopologyError: the login lacks a right.
        """
        names, client = {tp.topic for tp in partitions}, self._consumer._client  # noqa: SLF001
        if not names or names <= client.cluster.topics():
            return
        for name in names:
            client.add_topic(name)
        await client.force_metadata_update()
        if hidden := names & client.cluster.unauthorized_topics:
            raise make_missing_rights_error(
                self._settings, [f"Read on topic {name}" for name in sorted(hidden)]
            )

    async def find_offsets_at(
        self, time_ms: int, partitions: Collection[TopicPartition]
    ) -> dict[TopicPartition, int]:
        """Find the first offset that arrived at a time or later, of partitions that have one."""
        found = await self._consumer.offsets_for_times(dict.fromkeys(partitions, time_ms))
        return {tp: at.offset for tp, at in found.items() if at is not None}

    def begin(self, ranges: Mapping[TopicPartition, range]) -> None:
        """Fetch these ranges from now on, and nothing else."""
        self.stop_fetching()
        self.unread = {tp: offsets for tp, offsets in ranges.items() if offsets}
        if not self.unread:
            return
        self._consumer.assign(list(self.unread))
        for tp, offsets in self.unread.items():
            self._consumer.seek(tp, offsets.start)

    def stop_fetching(self) -> None:
        """Give up what has not been read: fetch nothing more, and drop what was fetched ahead."""
        for tp, offsets in self.unread.items():
            self._consumer.pause(tp)
            self._consumer.seek(tp, offsets.start)
        self.unread = {}

    async def read(self, *partitions: TopicPartition) -> AsyncIterator[list[ConsumerRecord]]:
        """Yield what comes of some of the begun ranges, or of all, until these have been read.

        Each list is of one partition, and those of a partition are in the order of its offsets.

        Raises:
            TopologyError: the login may not read one of them.
            UnavailableError: no position moved for ``patience`` seconds, or a batch cannot be
                unpacked.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._patience
        while wanted := [tp for tp in partitions or self.unread if tp in self.unread]:
            ends = {tp: self.unread[tp].stop for tp in wanted}
            with explain_missing_right(self._settings, "Read"):
                batches = await self._consumer.getmany(*wanted, timeout_ms=_POLL_MS)
            moved = await self._advance(wanted)
            if not moved and loop.time() > deadline:
                tp = wanted[0]
                message = f"{tp.topic}/{tp.partition} gave nothing more for {self._patience:g} s"
                raise UnavailableError(message)
            for tp, records in batches.items():
                if kept := [record for record in records if record.offset < ends[tp]]:
                    yield kept
            if moved:
                deadline = loop.time() + self._patience  # however long the caller took
            await asyncio.sleep(0)  # what has been fetched already is handed out without waiting

    async def _advance(self, partitions: Collection[TopicPartition]) -> bool:
        """Note how far partitions have been read; whether any of them has moved.

        None of this waits, so a range that has ended is paused before more could be fetched.
        """
        moved = False
        for tp in partitions:
            position, before = await self._consumer.position(tp), self.unread[tp]
            moved |= position > before.start
            if position < before.stop:
                self.unread[tp] = range(position, before.stop)
            else:
                del self.unread[tp]
                self._consumer.pause(tp)
        return moved
