"""Changes, dead letters and reroutes to Kafka; each call returns when the broker has them.

**Changes are fenced.** A worker that has written a batch may be stopped before it publishes, lose
its partition, and wake up after the next owner has said something newer. Its late change must not
become the last word. So whoever takes a partition over runs one transaction under the partition's
transactional id: the broker raises the id's epoch, and the transaction's end puts a marker of the
new epoch into the partition of ``persona-changes``; from then on the broker refuses what the old
epoch sends there. Messages after that need no transactions of their own, which would cost tens of
milliseconds each: they go out under the same producer id and epoch as an idempotent producer's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, ProducerFenced

from stream_persona.errors import FencedError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from stream_persona.settings import Settings

T = TypeVar("T")

#: How long a transaction that nobody ends holds up readers of committed messages.
_TRANSACTION_MS: Final = 10_000


@dataclass(slots=True, frozen=True)
class Message:
    """One message to send; ``partition`` None leaves it to the key (murmur2)."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    partition: int | None = None


#: A customer and the value of a change; None is a tombstone.
Change = tuple[str, bytes | None]
#: Asks whether a partition is still the worker's who claimed it.
IsMine = Callable[[], Awaitable[bool]]


class Publisher(Protocol):
    """The port; every method raises ``UnavailableError`` once the broker stayed away too long."""

    async def publish(self, messages: Sequence[Message]) -> None:
        """Send all, in order per key, and wait for the broker."""
        ...

    async def own(self, partition: int, changes: Sequence[Change], is_mine: IsMine) -> None:
        """Refuse whoever published this partition's changes before; then publish these.

        ``is_mine`` is asked between the two. Who has been held up since the changes were read, and
        has lost the partition, would say them after what its next owner said.

        Raises:
            FencedError: another worker owns the partition now; nothing was published.
        """
        ...

    async def change(self, partition: int, changes: Sequence[Change]) -> None:
        """Publish changes of an owned partition.

        Raises:
            FencedError: another worker owns the partition now.
        """
        ...

    async def disown(self, partitions: Collection[int]) -> None:
        """Let go of partitions."""
        ...


class KafkaPublisher:
    """The real one; start it before use, stop it after."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._seconds = settings.retry_seconds
        self._producer = self._made()
        self._fenced: dict[int, AIOKafkaProducer] = {}

    def _made(self, **options: Any) -> AIOKafkaProducer:  # noqa: ANN401 - as aiokafka's own
        return AIOKafkaProducer(
            bootstrap_servers=self._settings.brokers,
            acks="all",
            enable_idempotence=True,
            max_request_size=8_388_608,
            request_timeout_ms=round(1_000 * min(self._seconds, 30.0)),
            **options,
        )

    async def start(self) -> None:
        """Connect; waits for a broker that is still starting.

        Raises:
            UnavailableError: no broker answered in ``retry_seconds``.
        """
        try:
            await self._patiently(self._producer.start)
        except UnavailableError:
            await self._producer.stop()
            raise

    async def stop(self) -> None:
        """Flush and disconnect."""
        await self.disown(list(self._fenced))
        await self._producer.stop()

    async def publish(self, messages: Sequence[Message]) -> None:
        """Send all; in order per key. A dead letter that is too large goes without its value."""
        too_large = await _sent(self._producer, messages)
        if not too_large:
            return
        letters = [m for m in too_large if m.topic == self._settings.topic_dead_letters]
        if len(letters) < len(too_large) or await _sent(
            self._producer, [_without_value(letter) for letter in letters]
        ):
            topics = ", ".join(sorted({message.topic for message in too_large}))
            raise UnavailableError(f"messages are larger than max.message.bytes of {topics}")

    async def own(self, partition: int, changes: Sequence[Change], is_mine: IsMine) -> None:
        """Fence, then publish; tried again as a whole while the broker is away."""
        await self.disown([partition])
        messages = self._messages(partition, changes)
        self._fenced[partition] = await self._patiently(
            lambda: self._fence(partition, messages, is_mine)
        )

    async def change(self, partition: int, changes: Sequence[Change]) -> None:
        """Publish changes, in order."""
        if not changes:
            return
        try:
            too_large = await _sent(self._fenced[partition], self._messages(partition, changes))
        except (ProducerFenced, KeyError) as error:
            raise FencedError(partition) from error
        if too_large:
            topic = self._settings.topic_changes
            raise UnavailableError(f"changes are larger than max.message.bytes of {topic}")

    async def disown(self, partitions: Collection[int]) -> None:
        """Disconnect."""
        for partition in partitions:
            if producer := self._fenced.pop(partition, None):
                await producer.stop()

    def _messages(self, partition: int, changes: Sequence[Change]) -> list[Message]:
        topic = self._settings.topic_changes
        return [Message(topic, name.encode(), value, (), partition) for name, value in changes]

    async def _fence(
        self, partition: int, messages: Sequence[Message], is_mine: IsMine
    ) -> AIOKafkaProducer:
        """A producer under the partition's newest epoch, once the log has a marker of it."""
        at = TopicPartition(self._settings.topic_changes, partition)
        async with self._claimant(partition) as claimant:
            if not await is_mine():
                raise FencedError(partition)
            # Whoever claims the partition from now on aborts this transaction, or comes after it.
            await claimant.begin_transaction()
            # Also with nothing to say: it is the end's marker that fences.
            claimant._txn_manager.maybe_add_partition_to_txn(at)  # noqa: SLF001 - no public way
            await _sent(claimant, messages)
            await claimant.commit_transaction()
        # The next epoch is given out only after the markers of the last one have been written.
        async with self._claimant(partition) as claimant:
            epoch = claimant._txn_manager._pid_and_epoch  # noqa: SLF001
        heir = self._made()
        heir._txn_manager.set_pid_and_epoch(*epoch)  # noqa: SLF001
        await heir.start()
        return heir

    def _claimant(self, partition: int) -> AIOKafkaProducer:
        return self._made(
            transactional_id=f"{self._settings.group}-changes-{partition}",
            transaction_timeout_ms=_TRANSACTION_MS,
        )

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        """The call's result, tried again with backoff while the broker is away."""
        loop = asyncio.get_running_loop()
        deadline, pause = loop.time() + self._seconds, 0.1
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    return await call()
            except (KafkaError, UnavailableError, TimeoutError) as error:
                if loop.time() + pause > deadline:
                    message = f"no Kafka broker answered for {self._seconds:g} s: {error}"
                    raise UnavailableError(message) from error
            await asyncio.sleep(pause)
            pause = min(2 * pause, 2.0)


def _without_value(letter: Message) -> Message:
    """A dead letter that fits: its headers say where the value still is."""
    size = str(len(letter.value or b"")).encode()
    return replace(letter, value=None, headers=(*letter.headers, ("omitted_bytes", size)))


async def _sent(producer: AIOKafkaProducer, messages: Sequence[Message]) -> list[Message]:
    """Send all and wait for the broker; those that it found too large.

    Raises:
        ProducerFenced: a newer producer has the same transactional id.
        UnavailableError: the broker did not take them.
    """
    sent = await asyncio.gather(
        *[await _future(producer, message) for message in messages], return_exceptions=True
    )
    failed = [error for error in sent if isinstance(error, BaseException)]
    for error in failed:
        if isinstance(error, MessageSizeTooLargeError):
            continue
        if not isinstance(error, KafkaError) or isinstance(error, ProducerFenced):
            raise error
        message = f"Kafka did not take {len(failed)} of {len(messages)} messages: {error!r}"
        raise UnavailableError(message) from error
    return [m for m, result in zip(messages, sent, strict=True) if isinstance(result, KafkaError)]


async def _future(producer: AIOKafkaProducer, m: Message) -> Awaitable[object]:
    """What becomes of a message; also a refusal before it is sent is an answer like others."""
    try:
        return await producer.send(  # type: ignore[no-any-return]
            m.topic, m.value, m.key, partition=m.partition, headers=list(m.headers)
        )
    except KafkaError as error:
        refused = asyncio.get_running_loop().create_future()
        refused.set_exception(error)
        return refused
