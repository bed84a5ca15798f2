"""The ceiling: what Kafka and Redis allow a Python process that does nothing of its own.

A bare aiokafka consumer decodes each event with orjson and, for each batch that it is handed (as
many records as a worker's, of all partitions together), reads one key of each customer with one
MGET and writes the newest event's bytes there with one MSET.
"""

import asyncio

import orjson
from aiokafka import AIOKafkaConsumer
from redis.asyncio import Redis

from stream_persona.settings import Settings, load_settings
from tests.benchmarks.speed.meter import Meter


async def consume(settings: Settings, meter: Meter) -> None:
    redis = Redis.from_url(settings.redis_url)
    consumer = AIOKafkaConsumer(
        *settings.input_topics,
        bootstrap_servers=settings.brokers,
        group_id=settings.group,
        auto_offset_reset="earliest",
        auto_commit_interval_ms=round(1_000 * settings.commit_interval),
    )
    await redis.ping()
    await consumer.start()
    while True:
        fetched = await consumer.getmany(timeout_ms=500, max_records=settings.max_batch_records)
        batch = [record for records in fetched.values() for record in records]
        if not batch:
            continue
        meter.begin()
        newest = {orjson.loads(raw.value)["customer_id"]: raw.value for raw in batch}
        written = {f"{settings.prefix}{name}": value for name, value in newest.items()}
        await redis.mget(list(written))
        await redis.mset(written)
        if meter.add(len(batch)):
            break
    meter.report()
    await consumer.stop()
    await redis.aclose()


if __name__ == "__main__":
    asyncio.run(consume(load_settings(), Meter.of_arguments()))
