"""Whether any broker answers just now, asked over a connection of its own.

A client that is connected would not notice for long: it waits for answers, and tries again.
"""

from __future__ import annotations

import asyncio

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError


async def any_broker_answers(brokers: str, seconds: float) -> bool:
    """Return whether any broker of ``host:port,...`` answers; takes about ``seconds`` at most.

    All are asked at a time: a silent one holds up none of the others.
    """
    asking = [asyncio.create_task(_answers(each, seconds)) for each in brokers.split(",")]
    try:
        for answered in asyncio.as_completed(asking):
            if await answered:
                return True
        return False
    finally:
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)


async def _answers(broker: str, seconds: float) -> bool:
    """Return whether a broker answers with its cluster's metadata."""
    client = AIOKafkaAdminClient(
        bootstrap_servers=broker.strip(), request_timeout_ms=round(1_000 * seconds)
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
