"""One policy of trying again: with backoff and jitter, until a deadline."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeVar

import stamina

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

_LONGEST_WAIT: Final = 2.0
#: Seconds, at most, that a random wait adds, so that workers do not all come back at once.
_JITTER: Final = 0.2


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
