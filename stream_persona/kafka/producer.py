"""aiokafka's producers for ``publisher``: the private parts of them that we use are used here."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, ProducerFenced
from aiokafka.producer.transaction_manager import PidAndEpoch, TransactionManager
from aiokafka.structs import RecordMetadata

from stream_persona.errors import UnavailableError
from stream_persona.kafka.refusals import RIGHTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aiokafka.producer.message_accumulator import BatchBuilder


#: A key of more bytes is no customer's; aiokafka's hash of a megabyte takes half a second.
_LONG_KEY: Final = 4_096


@dataclass(slots=True, frozen=True)
class Message:
    """One message to send; ``partition`` None leaves it to the key (murmur2)."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    partition: int | None = None


class Epochs(TransactionManager):  # type: ignore[misc]  # aiokafka has no types
    """Producer ids and epochs of one idempotent producer, a pair for each partition.

    aiokafka has one pair for a producer. It asks for a batch's sequence number, and right after
    that for the id and the epoch that the batch belongs to.
    """

    def __init__(self) -> None:
        super().__init__(None, 0)
        self._pairs: dict[TopicPartition, PidAndEpoch] = {}
        self._asked = PidAndEpoch(-1, -1)

    def begin(self, at: TopicPartition, epoch: PidAndEpoch) -> None:
        """Send a partition's batches under this epoch from now on; its sequence begins at 0."""
        self._pairs[at] = epoch
        self._sequence_numbers[at] = 0

    def has_pid(self) -> bool:
        """Return True: nothing is sent to a partition before its epoch has begun."""
        return True

    def sequence_number(self, at: TopicPartition) -> int:
        """Return the next sequence number of a partition."""
        self._asked = self._pairs[at]
        return int(super().sequence_number(at))

    @property
    def producer_id(self) -> int:
        """The id of the partition whose sequence number was asked for last."""
        return int(self._asked.pid)

    @property
    def producer_epoch(self) -> int:
        """The epoch of the partition whose sequence number was asked for last."""
        return int(self._asked.epoch)


def make_producer_with_epochs(epochs: Epochs, **options: Any) -> AIOKafkaProducer:  # noqa: ANN401 - as aiokafka's
    """Make an idempotent producer that sends to each partition under its own epoch.

    One for all partitions: their batches share a request, where a producer for each of them would
    cost the broker, and us, as many requests as there are partitions.
    """
    producer = AIOKafkaProducer(enable_idempotence=True, **options)
    for part in (producer, producer._sender, producer._message_accumulator):  # noqa: SLF001
        part._txn_manager = epochs  # noqa: SLF001
    return producer


def get_epoch(claimant: AIOKafkaProducer) -> PidAndEpoch:
    """Return the id and the epoch that a started transactional producer was given."""
    return claimant._txn_manager._pid_and_epoch  # noqa: SLF001


async def begin_transaction_at(claimant: AIOKafkaProducer, at: TopicPartition) -> None:
    """Begin a transaction whose end puts a marker into a partition, even if nothing is sent."""
    await claimant.begin_transaction()
    claimant._txn_manager.maybe_add_partition_to_txn(at)  # noqa: SLF001


async def begin_sending(producer: AIOKafkaProducer, message: Message) -> Awaitable[object]:
    """Put a message into a batch, and return what becomes of it.

    One with neither key nor value, which aiokafka asserts against, is a batch of its own. Brokers
    take such messages, and others send them.
    """
    topic, headers, partition = message.topic, list(message.headers), message.partition
    is_empty = message.key is None and message.value is None
    if partition is None and (is_empty or len(message.key or b"") > _LONG_KEY):
        partitions = sorted(await producer.partitions_for(topic))
        partition = partitions[zlib.crc32(message.key or b"") % len(partitions)]
    if is_empty:
        batch = producer.create_batch()
        batch.append(key=None, value=None, timestamp=None, headers=headers)
        batch.close()
        sending: Awaitable[object] = await producer.send_batch(batch, topic, partition=partition)
    else:
        sending = await producer.send(topic, message.value, message.key, partition, headers=headers)
    return sending


async def send_all(sending: Iterable[Awaitable[Awaitable[object]]]) -> list[object]:
    """Send in order; return one result or error for each message or batch.

    What aiokafka refuses before it is sent has its error like those that the broker refuses.

    Raises:
        ProducerFenced: a newer producer has the same transactional id.
        KafkaError: one of ``RIGHTS``, for want of which the broker did not take them.
        UnavailableError: the broker did not take them; for what is too large, its error is
            returned instead.
    """
    ends = await asyncio.gather(
        *[await _begin_sending(each) for each in sending], return_exceptions=True
    )
    failed = [error for error in ends if isinstance(error, BaseException)]
    for error in failed:
        if isinstance(error, MessageSizeTooLargeError):
            continue
        if not isinstance(error, KafkaError) or isinstance(error, (ProducerFenced, *RIGHTS)):
            raise error
        message = f"Kafka did not take {len(failed)} of {len(ends)} messages or batches: {error!r}"
        raise UnavailableError(message) from error
    return ends


async def _begin_sending(sending: Awaitable[Awaitable[object]]) -> Awaitable[object]:
    try:
        return await sending
    except KafkaError as error:
        refused = asyncio.get_running_loop().create_future()
        refused.set_exception(error)
        return refused


def pack_batches(
    producer: AIOKafkaProducer, messages: Sequence[tuple[bytes, bytes | None]]
) -> list[BatchBuilder]:
    """Pack keys and values, in order, into few batches.

    A future for each message would cost more than the message. A batch takes a first message of
    any size.
    """
    packed: list[BatchBuilder] = []
    for key, value in messages:
        if not packed or packed[-1].append(key=key, value=value, timestamp=None) is None:
            packed.append(producer.create_batch())
            packed[-1].append(key=key, value=value, timestamp=None)
    for batch in packed:
        batch.close()
    return packed


def find_end(batches: Sequence[BatchBuilder], results: Sequence[object]) -> int:
    """Find the offset behind the last of some batches that were sent to one partition, in order.

    A broker that recognises a batch as sent before may not say where it is; 0 if none was found.
    """
    ends = [
        result.offset + batch.record_count()
        for batch, result in zip(batches, results, strict=True)
        if isinstance(result, RecordMetadata) and result.offset >= 0
    ]
    return max(ends, default=0)
