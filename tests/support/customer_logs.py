"""Messages of one customer among those of others, and what reads them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaProducer, ConsumerRecord

from stream_persona.api.customer_log import (
    Tail,
)
from stream_persona.kafka.partitioner import find_home_partition
from stream_persona.settings import Settings

#: Seconds by which a machine that does other things as well may be late.
LATE = 2.0


@asynccontextmanager
async def tail_of(settings: Settings) -> AsyncIterator[Tail]:
    tail = Tail(settings)
    try:
        yield tail
    finally:
        await tail.close()


async def produce(
    settings: Settings, topic: str, messages: Iterable[tuple[str, bytes | None]], at: str = "c"
) -> None:
    """Produce messages, of this customer or of others, to the home partition of one."""
    partition = find_home_partition(at, settings.partitions)
    async with AIOKafkaProducer(
        bootstrap_servers=settings.brokers, linger_ms=5, max_batch_size=262_144
    ) as producer:
        for key, value in messages:
            await producer.send(topic, value, key.encode(), partition)


def crowd(number: int) -> Iterable[tuple[str, bytes]]:
    """Messages of others."""
    return ((f"other-{n}", b'{"padding": "%0180d"}' % n) for n in range(number))


def mine(*values: int) -> list[tuple[str, bytes]]:
    return [("c", b"%d" % value) for value in values]


def values(records: Iterable[ConsumerRecord[bytes, bytes]]) -> list[bytes | None]:
    return [record.value for record in records]
