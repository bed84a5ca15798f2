"""A command's work ends with an interrupt, also if the first cancellation is lost."""

import asyncio
import os
import signal
from collections.abc import Coroutine
from typing import Any

import pytest

from stream_persona.cli import running


async def interrupted_while(work: Coroutine[Any, Any, None]) -> None:
    asyncio.get_running_loop().call_later(0.05, os.kill, os.getpid(), signal.SIGINT)
    await work


async def lose_cancellations(number: int) -> None:
    for _ in range(number):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            continue
    await asyncio.sleep(60)


@pytest.mark.parametrize("lost", [0, 1, 3])
def test_an_interrupt_ends_the_work_however_many_cancellations_are_lost(
    lost: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "LEAVE_SECONDS", 0.02)
    with pytest.raises(KeyboardInterrupt):
        running.run(interrupted_while(lose_cancellations(lost)))


def test_work_that_ends_returns_or_raises_what_it_would() -> None:
    async def end(number: int) -> int:
        return 10 // number

    assert running.run(end(5)) == 2
    with pytest.raises(ZeroDivisionError):
        running.run(end(0))


def test_what_an_interrupted_command_does_to_leave_is_done() -> None:
    left = []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.05)
            left.append(True)

    with pytest.raises(KeyboardInterrupt):
        running.run(interrupted_while(work()))
    assert left == [True]
