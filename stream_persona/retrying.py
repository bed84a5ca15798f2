"""One policy of trying again: with backoff and jitter, until a deadline or without end."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Final, TypeVar

import stamina

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

_LONGEST_WAIT: Final = 2.0
#: Seconds, at most, that a random wait adds, so that workers do not all come back at once.
_JITTER: Final = 0.2
#: Seconds between two tries that have no deadline, at most.
_LONGEST_ENDLESS_WAIT: Final = 5.0


async def retry_until(
    deadline: float,
    call: Callable[[], Awaitable[T]],
    on: type[Exception] | tuple[type[Exception], ...],
    first_wait: float = 0.1,
) -> T:
    """Return what ``call`` returns, trying again after errors of the types ``on``.

    The second try follows at once, the third after about ``first_wait`` seconds, and later ones
    after twice as long each, up to 2 s. ``deadline`` is a time of the running loop's clock: no try
    begins after it, one that has begun is not cut short, and the last error is raised as it is.
    """
    loop = asyncio.get_running_loop()

    def is_worth_another_try(error: Exception) -> bool:
        return isinstance(error, on) and loop.time() + attempt.next_wait + _JITTER < deadline

    try:
        return await call()  # nearly always enough, and without the 20 µs that `stamina` takes
    except on:
        if loop.time() >= deadline:
            raise
    async for attempt in stamina.retry_context(
        on=is_worth_another_try,
        attempts=None,
        timeout=None,
        wait_initial=first_wait,
        wait_max=_LONGEST_WAIT,
        wait_jitter=_JITTER,
    ):
        with attempt:
            return await call()
    raise AssertionError  # the context returns or raises


async def retry_endlessly(
    call: Callable[[], Awaitable[T]],
    on: type[Exception] | tuple[type[Exception], ...],
    note: Callable[[Exception], None],
    first_wait: float = 0.1,
) -> T:
    """Return what ``call`` returns, however often it first fails with an error of the types ``on``.

    ``note`` is given each of these errors. Waits grow from ``first_wait`` to 5 s, and begin anew
    after a call that has lasted longer than that. Each is between half and the whole of its length,
    by chance: what was cut off at one moment, as by a failover, does not come back at one moment.
    """
    loop = asyncio.get_running_loop()
    began, wait = loop.time(), first_wait

    def find_wait(error: Exception) -> float | bool:
        nonlocal wait
        if not isinstance(error, on):
            return False
        note(error)
        if loop.time() - began > _LONGEST_ENDLESS_WAIT:
            wait = first_wait
        longest, wait = wait, min(2 * wait, _LONGEST_ENDLESS_WAIT)
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 - no secret  # nosec B311

    async for attempt in stamina.retry_context(on=find_wait, attempts=None, timeout=None):
        with attempt:
            began = loop.time()
            return await call()
    raise AssertionError  # the context returns or raises
