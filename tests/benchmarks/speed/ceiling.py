"""The ceiling: what Kafka and Redis allow a Python process that does nothing of its own.

A bare aiokafka consumer decodes each event with orjson and, for each batch that it is handed (as
many records as a worker's, of all partitions together), reads one key of each customer with one
MGET and writes the newest event's bytes there with one MSET. For latency it also publishes each
assignment in ``persona-changes``, all of a batch at once, and waits for the broker.
"""

import argparse
import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord
from redis.asyncio import Redis

from stream_persona.settings import Settings, load_settings
from tests.benchmarks.speed.meter import Meter, parser


async def consume(settings: Settings, options: argparse.Namespace) -> None:
    meter = Meter.of_arguments(options)
    consumer = AIOKafkaConsumer(
        *settings.input_topics,
        bootstrap_servers=settings.brokers,
        group_id=settings.group,
        auto_offset_reset="earliest",
        auto_commit_interval_ms=round(1_000 * settings.commit_interval),
    )
    producer = AIOKafkaProducer(bootstrap_servers=settings.brokers, acks="all")
    async with AsyncExitStack() as open_ones:
        redis = await open_ones.enter_async_context(Redis.from_url(settings.redis_url))
        await redis.ping()
        await open_ones.enter_async_context(consumer)
        if options.answer:
            await open_ones.enter_async_context(producer)
        while True:
            fetched = await consumer.getmany(timeout_ms=500, max_records=settings.max_batch_records)
            batch = [record for records in fetched.values() for record in records]
            if not batch:
                continue
            meter.begin()
            newest = {orjson.loads(raw.value)["customer_id"]: raw.value for raw in batch}
            written = {f"{settings.prefix}persona:{name}": value for name, value in newest.items()}
            await redis.mget(list(written))
            await redis.mset(written)
            if options.answer:
                await answer(producer, settings, batch)
            if meter.add(len(batch)):
                break
        meter.report()


async def answer(
    producer: AIOKafkaProducer, settings: Settings, batch: Sequence[ConsumerRecord]
) -> None:
    """Publish each assignment of a batch, and wait until all of them are stored."""
    assignments = [raw for raw in batch if raw.topic == settings.topic_assignments]
    sent = [await producer.send(settings.topic_changes, raw.value, raw.key) for raw in assignments]
    await asyncio.gather(*sent)


def main() -> None:
    made = parser()
    made.add_argument("--answer", action="store_true", help="publish each assignment as a change")
    asyncio.run(consume(load_settings(), made.parse_args()))


if __name__ == "__main__":
    main()
