"""Waiting for a condition, with a deadline: nothing in the tests sleeps and hopes.

``STREAM_PERSONA_TEST_PATIENCE`` is the factor of every deadline; give a slow machine 3.
"""

import asyncio
import inspect
import os
import time
from collections.abc import Awaitable, Callable
from typing import Final

PATIENCE: Final = float(os.environ.get("STREAM_PERSONA_TEST_PATIENCE", "1"))
#: Seconds between two looks at a condition.
POLL: Final = 0.02

#: A message, or a function that makes it once it is needed.
Message = str | Callable[[], str]


def patience(seconds: float) -> float:
    """Return the seconds of a deadline by the factor of this run."""
    return PATIENCE * seconds


def wait_until(condition: Callable[[], object], seconds: float, message: Message = "") -> None:
    """Return as soon as ``condition()`` holds; fail with ``message`` after ``seconds``."""
    deadline = time.monotonic() + patience(seconds)
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(_text(message, seconds))
        time.sleep(POLL)


async def eventually(
    condition: Callable[[], object | Awaitable[object]], seconds: float, message: Message = ""
) -> None:
    """``wait_until`` for a running event loop; the condition may be a coroutine function."""
    deadline = time.monotonic() + patience(seconds)
    while True:
        holds = condition()
        if await holds if inspect.isawaitable(holds) else holds:
            return
        if time.monotonic() > deadline:
            raise AssertionError(_text(message, seconds))
        await asyncio.sleep(POLL)


def _text(message: Message, seconds: float) -> str:
    text = message if isinstance(message, str) else message()
    return text or f"not within {patience(seconds):g} s"
