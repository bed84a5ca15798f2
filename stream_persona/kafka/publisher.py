"""Publishes changes, dead letters and reroutes; each call returns when the broker has them.

**Changes are fenced.** A worker that has written a batch may be stopped before it publishes, lose
its partition, and wake up after the next owner has published something newer. Its late change must
not become the last one. So a worker that takes a partition over runs one transaction under its
transactional id: the broker raises the id's epoch, and the transaction's end puts a marker of the
new epoch into the partition of ``persona-changes``; from then on the broker refuses what the old
epoch sends there. Messages after that need no transactions of their own, which would cost tens of
milliseconds each: they go out under the same producer id and epoch as an idempotent producer's.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import IllegalOperation, KafkaError, ProducerFenced

from stream_persona.errors import FencedError, TopologyError, UnavailableError
from stream_persona.kafka import letters
from stream_persona.kafka.connection import connection_options, start_client
from stream_persona.kafka.producer import (
    Epochs,
    Message,
    begin_sending,
    begin_transaction_at,
    find_end,
    get_epoch,
    make_producer_with_epochs,
    pack_batches,
    send_all,
)
from stream_persona.kafka.published import Published, load_published
from stream_persona.kafka.refusals import explain_missing_right
from stream_persona.retrying import retry_until

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from aiokafka.producer.transaction_manager import PidAndEpoch

    from stream_persona.pipeline.messages import ChangeMessage
    from stream_persona.settings import Settings

T = TypeVar("T")

#: How long a transaction that is never ended holds up readers of committed messages.
_TRANSACTION_MS: Final = 10_000


#: Bytes of one batch of changes: a fraction of what brokers take by default, and many messages.
#: Letters go in small ones, since one that is too large fails with all of its batch.
_BATCH_BYTES: Final = 262_144

#: What may pass by itself. ``IllegalOperation`` is what aiokafka raises for a transaction that was
#: fenced as it began.
_PASSING: Final = (KafkaError, UnavailableError, TimeoutError, IllegalOperation)

#: Finds out whether a partition still belongs to the worker that claimed it.
StillOwns = Callable[[], Awaitable[bool]]


class Publisher(Protocol):
    """The port; every method raises ``UnavailableError`` once the broker stayed away too long."""

    async def publish(self, messages: Sequence[Message]) -> None:
        """Send all, in order per key, and wait for the broker."""
        ...

    async def take_over(
        self, partition: int, changes: Sequence[ChangeMessage], still_owns: StillOwns
    ) -> None:
        """Fence off earlier publishers of this partition's changes; then publish these.

        ``still_owns`` is called between the two. A worker that has been held up since it read the
        changes, and has lost the partition, would publish them after what its next owner published.

        Raises:
            FencedError: another worker owns the partition now; nothing was published.
        """
        ...

    async def publish_changes(self, partition: int, changes: Sequence[ChangeMessage]) -> int:
        """Publish changes of an owned partition.

        Returns the offset where they end: no smaller one is given to later changes. It is 0 where
        that is not known, also where there are no changes.

        Raises:
            FencedError: another worker owns the partition now.
        """
        ...

    async def load_published(self, partition: int, start: int | None) -> Published:
        """Read what has been published of a partition's changes from an offset on.

        With None, only where they end.
        """
        ...

    async def release(self, partitions: Collection[int]) -> None:
        """Let go of partitions: publish no more changes of them."""
        ...


class KafkaPublisher:
    """Publishes to Kafka; start it before use, stop it after."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._seconds = settings.retry_seconds
        # Not an idempotent one: after a message that is too large, brokers refuse all that it sends
        # to that partition, as out of order. A message that comes twice does no harm here.
        self._producer = AIOKafkaProducer(**self._make_options())
        self._epochs = Epochs()
        self._changes = make_producer_with_epochs(
            self._epochs, max_batch_size=_BATCH_BYTES, **self._make_options()
        )
        self._fenced: set[int] = set()
        self._sending: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        # Brokers have been seen (4.2) to lose the markers of transactions that end together: the
        # ids then stay busy until the broker's own request has timed out, 30 s later.
        self._fencing = asyncio.Lock()

    async def start(self) -> None:
        """Connect; waits for a broker that is still starting.

        Raises:
            TopologyError: the brokers refuse the login.
            UnavailableError: no broker answered in ``retry_seconds``.
        """
        try:
            await self._retry_while_away(lambda: start_client(self._producer, self._settings))
            await self._retry_while_away(lambda: start_client(self._changes, self._settings))
        except (UnavailableError, TopologyError):
            await self.stop()
            raise

    async def stop(self) -> None:
        """Flush and disconnect."""
        self._fenced.clear()
        await self._changes.stop()
        await self._producer.stop()

    async def publish(self, messages: Sequence[Message]) -> None:
        """Send all, in order per key; a dead letter that is too large goes without some parts."""
        with explain_missing_right(self._settings, "Write"):
            too_large = await _send(self._producer, messages)
        topics = {message.topic for message in too_large}
        if topics - {self._settings.topic_dead_letters}:
            names = ", ".join(sorted(topics))
            raise UnavailableError(f"messages are larger than max.message.bytes of {names}")
        for letter in too_large:
            await self._send_shortened(letter)

    async def _send_shortened(self, letter: Message) -> None:
        """Send a letter with as many of its parts as its topic takes.

        Each time alone: it may have been refused because of others in its batch.
        """
        for shortened in (letter, *letters.shorten(letter)):
            with explain_missing_right(self._settings, "Write"):
                if not await _send(self._producer, [shortened]):
                    return
        raise UnavailableError(
            f"max.message.bytes of {letter.topic} is too small for any dead letter: raise it"
        )

    async def take_over(
        self, partition: int, changes: Sequence[ChangeMessage], still_owns: StillOwns
    ) -> None:
        """Fence, then publish; tried again as a whole while the broker is away.

        What was sent under the last epoch has ended before that: under this one it would come late.
        """
        await self.release([partition])
        at = TopicPartition(self._settings.topic_changes, partition)
        async with self._sending[partition], self._fencing:
            await self._retry_while_away(self._changes.flush)
            epoch = await self._retry_while_away(lambda: self._fence(at, changes, still_owns))
            self._epochs.begin(at, epoch)
            self._fenced.add(partition)

    async def publish_changes(self, partition: int, changes: Sequence[ChangeMessage]) -> int:
        """Publish changes, in order."""
        if not changes:
            return 0
        topic, keyed = self._settings.topic_changes, [(name.encode(), v) for name, v in changes]
        async with self._sending[partition]:
            if partition not in self._fenced:
                raise FencedError(partition)
            batches = pack_batches(self._changes, keyed)
            try:
                with explain_missing_right(self._settings, "Write"):
                    ends = await send_all(
                        self._changes.send_batch(batch, topic, partition=partition)
                        for batch in batches
                    )
            except ProducerFenced as error:
                raise FencedError(partition) from error
        if any(isinstance(end, KafkaError) for end in ends):
            raise UnavailableError(f"changes are larger than max.message.bytes of {topic}")
        return find_end(batches, ends)

    async def load_published(self, partition: int, start: int | None) -> Published:
        """Read what has been published, outside of any group."""
        return await load_published(self._settings, partition, start)

    async def release(self, partitions: Collection[int]) -> None:
        """Send nothing more to these partitions."""
        self._fenced.difference_update(partitions)

    async def _fence(
        self, at: TopicPartition, changes: Sequence[ChangeMessage], still_owns: StillOwns
    ) -> PidAndEpoch:
        """Return the partition's newest epoch, once the log has a marker of it."""
        messages = [Message(at.topic, name.encode(), v, (), at.partition) for name, v in changes]
        async with self._get_claimant(at.partition) as claimant:
            if not await still_owns():
                raise FencedError(at.partition)
            # A worker that claims it from now on aborts this transaction, or comes after it.
            await begin_transaction_at(claimant, at)  # even with nothing to send: its end fences
            await _send(claimant, messages)
            await claimant.commit_transaction()
        # The next epoch is given out only after the markers of the last one have been written.
        async with self._get_claimant(at.partition) as claimant:
            return get_epoch(claimant)

    def _get_claimant(self, partition: int) -> AIOKafkaProducer:
        return AIOKafkaProducer(
            enable_idempotence=True,
            transactional_id=f"{self._settings.group}-changes-{partition}",
            transaction_timeout_ms=_TRANSACTION_MS,
            **self._make_options(),
        )

    def _make_options(self) -> dict[str, Any]:
        """Return a client's options; its certificates are read now, and may have been replaced."""
        return {
            **connection_options(self._settings),
            "acks": "all",
            "max_request_size": 8_388_608,
            "request_timeout_ms": round(1_000 * min(self._seconds, 30.0)),
        }

    async def _retry_while_away(self, call: Callable[[], Awaitable[T]]) -> T:
        """Return the call's result, tried again with backoff while the broker is away."""
        deadline = asyncio.get_running_loop().time() + self._seconds

        async def call_in_time() -> T:
            async with asyncio.timeout_at(deadline):
                with explain_missing_right(self._settings, "Write"):
                    return await call()

        try:
            return await retry_until(deadline, call_in_time, on=_PASSING)
        except _PASSING as error:
            message = f"no Kafka broker answered for {self._seconds:g} s: {error}"
            raise UnavailableError(message) from error


async def _send(producer: AIOKafkaProducer, messages: Sequence[Message]) -> list[Message]:
    """Send all and wait for the broker; return those that it found too large."""
    ends = await send_all(begin_sending(producer, message) for message in messages)
    return [m for m, end in zip(messages, ends, strict=True) if isinstance(end, KafkaError)]
