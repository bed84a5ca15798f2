"""Waiting for a condition, with a deadline: nothing in the tests sleeps and hopes."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable


def wait_until(condition: Callable[[], object], seconds: float, message: str = "") -> None:
    """Return as soon as ``condition()`` holds; fail with ``message`` after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(message or f"not within {seconds} s")
        time.sleep(0.02)


async def eventually(
    condition: Callable[[], object | Awaitable[object]], seconds: float, message: str = ""
) -> None:
    """``wait_until`` for a running event loop; the condition may be a coroutine function."""
    deadline = time.monotonic() + seconds
    while True:
        holds = condition()
        if await holds if inspect.isawaitable(holds) else holds:
            return
        if time.monotonic() > deadline:
            raise AssertionError(message or f"not within {seconds} s")
        await asyncio.sleep(0.02)
