"""A client is closed although what it does in the background may lose a cancellation."""

import asyncio

from stream_persona.client import AsyncPersonaClient
from tests.support.waiting import patience


async def lose_a_cancellation() -> None:
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        await asyncio.sleep(60)


async def test_a_lost_cancellation_holds_up_no_close() -> None:
    client = AsyncPersonaClient("redis://127.0.0.1:1")
    client._listener = asyncio.create_task(lose_a_cancellation())
    await asyncio.sleep(0)  # it has begun
    await asyncio.wait_for(client.close(), patience(10))
    assert client._listener.cancelled()


async def test_a_client_without_background_is_closed_at_once() -> None:
    await AsyncPersonaClient("redis://127.0.0.1:1").close()
