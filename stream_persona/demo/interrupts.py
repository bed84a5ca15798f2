"""Ctrl-C and polite signals, as an event and as an error."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator


class DemoInterruptedError(Exception):
    """Ctrl-C, or a polite signal."""


@contextlib.contextmanager
def catch_interrupts() -> Iterator[asyncio.Event]:
    """Let signals that ask for an end set the event that is yielded, and interrupt nothing."""
    loop, event = asyncio.get_running_loop(), asyncio.Event()
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup has it
        numbers.append(signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, event.set)
    try:
        yield event
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


async def fail_on_interrupt(interrupted: asyncio.Event) -> None:
    """Wait for the event.

    Raises:
        DemoInterruptedError: always.
    """
    await interrupted.wait()
    raise DemoInterruptedError
