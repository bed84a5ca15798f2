"""Runs the work of a command, which an interrupt ends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")

#: Seconds until a cancellation is taken for lost: more than any command needs to leave.
LEAVE_SECONDS: Final = 3.0


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine as ``asyncio.run`` does; an interrupt cancels it until it has ended.

    Up to Python 3.11 ``asyncio.wait_for`` returns what it waited for although it was cancelled, if
    both come at once, and clients of Redis write by it: Ctrl-C would now and then be lost.
    """
    return asyncio.run(_cancel_until_ended(work))


async def _cancel_until_ended(work: Coroutine[Any, Any, T]) -> T:
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=LEAVE_SECONDS)
        raise
