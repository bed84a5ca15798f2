"""Topics and brokers as an operator changes them."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from stream_persona.settings import Settings
from tests.chaos.machines import Broker
from tests.support.waiting import eventually

#: Seconds that a broker may take to come back, and those for which one stays away.
LONG, SHORT = 40.0, 3.0


@asynccontextmanager
async def admin_of(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.brokers)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


@asynccontextmanager
async def dead(broker: Broker) -> AsyncIterator[None]:
    await asyncio.to_thread(broker.end, signal.SIGKILL)
    try:
        yield
    finally:
        await asyncio.to_thread(broker.start_again)


async def delete(settings: Settings, topic: str) -> None:
    async with admin_of(settings) as admin:
        await admin.delete_topics([topic])

        async def gone() -> bool:
            return topic not in await admin.list_topics()

        await eventually(gone, 20, "the topic is still there")


async def create(settings: Settings, topic: str) -> None:
    async with admin_of(settings) as admin:
        await admin.create_topics([NewTopic(topic, settings.partitions, 1)])
