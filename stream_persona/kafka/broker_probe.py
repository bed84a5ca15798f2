"""Whether any broker answers just now, asked over a connection of its own.

A client that is connected would not notice for long: it waits for answers, and tries again.
"""

from __future__ import annotations

import asyncio

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from stream_persona.kafka.connection import connection_options
from stream_persona.settings import Settings


async def any_broker_answers(settings: Settings, seconds: float) -> bool:
    """Return whether any broker of the settings answers; takes about ``seconds`` at most.

    All are asked at a time: a silent one holds up none of the others.
    """
    asking = [
        asyncio.create_task(_answers(settings, each.strip(), seconds))
        for each in settings.brokers.split(",")
    ]
    try:
        for answered in asyncio.as_completed(asking):
            if await answered:
                return True
        return False
    finally:
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)


async def _answers(settings: Settings, broker: str, seconds: float) -> bool:
    """Return whether a broker answers with its cluster's metadata."""
    client = AIOKafkaAdminClient(
        **connection_options(settings, broker), request_timeout_ms=round(1_000 * seconds)
    )
    try:
        async with asyncio.timeout(1.5 * seconds):  # it connects, and asks twice
            await client.start()
    except (KafkaError, OSError, TimeoutError, ValueError):
        return False
    else:
        return True
    finally:
        await client.close()
