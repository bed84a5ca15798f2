"""Tables in memory whose methods fail, or wait until a test lets them go on."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from stream_persona.store.memory import MemoryTables

#: What happens at a call: it may raise, or wait.
Step = Callable[[], Awaitable[None] | None]


class Gate:
    """Holds calls up until it is opened; ``waiting`` is the number of those held up by now.

    With an ``error``, the calls that were held up raise it.
    """

    def __init__(self) -> None:
        self._opened = asyncio.Event()
        self.waiting = 0
        self.error: Exception | None = None

    async def __call__(self) -> None:
        self.waiting += 1
        await self._opened.wait()
        self.waiting -= 1
        if self.error is not None:
            raise self.error

    def open(self) -> None:
        self._opened.set()


class FaultyTables(MemoryTables):
    """``MemoryTables`` whose chosen methods do something else as well.

    ``calls`` counts the calls of these. ``times`` is for how many of them it happens, None for all
    that follow; ``after``: once the method has done its work, not before.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls = Counter[str]()

    def fail(
        self, method: str, error: Exception, *, times: int | None = None, after: bool = False
    ) -> None:
        """Let calls raise this error."""

        def step() -> None:
            raise error

        self.at(method, step, times=times, after=after)

    def hold(self, method: str, *, times: int | None = None, after: bool = False) -> Gate:
        """Let calls wait at a gate."""
        gate = Gate()
        self.at(method, gate, times=times, after=after)
        return gate

    def at(self, method: str, step: Step, *, times: int | None = None, after: bool = False) -> None:
        """Let calls do this step as well."""
        real, left = getattr(super(), method), float("inf") if times is None else times

        async def take() -> None:
            nonlocal left
            left -= 1
            result = step()
            if result is not None:
                await result

        async def faulty(*args: Any, **kwargs: Any) -> Any:
            self.calls[method] += 1
            if left > 0 and not after:
                await take()
            found = await real(*args, **kwargs)
            if left > 0 and after:
                await take()
            return found

        setattr(self, method, faulty)
