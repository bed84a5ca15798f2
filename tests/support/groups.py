"""Commits of the workers' group, as an operator or an older version makes them."""

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import OffsetAndMetadata

from stream_persona.kafka.group import GroupState, load_group
from stream_persona.kafka.topics import ask
from stream_persona.settings import Settings


async def group_of(settings: Settings) -> GroupState:
    """What the group holds now."""
    return await ask(settings, lambda admin: load_group(admin, settings))


async def commit_with(settings: Settings, metadata: str) -> None:
    """Commit of each input partition what is committed, or its beginning, with this metadata.

    No worker may be running.
    """
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.brokers, group_id=settings.group, enable_auto_commit=False
    )
    await consumer.start()
    try:
        partitions = [
            TopicPartition(topic, number)
            for topic in (*settings.input_topics, settings.topic_reroutes)
            for number in range(settings.partitions)
        ]
        consumer.assign(partitions)
        offsets = {
            tp: OffsetAndMetadata(await consumer.committed(tp) or 0, metadata) for tp in partitions
        }
        await consumer.commit(offsets)
    finally:
        await consumer.stop()
