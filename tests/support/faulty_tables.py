"""Tables in memory whose methods fail, or wait until a test lets them go on."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypedDict, Unpack

from stream_persona.store.memory import MemoryTables

#: What happens at a call: it may raise, or wait.
Step = Callable[[], Awaitable[None] | None]


class How(TypedDict, total=False):
    """At which calls something happens, and when in them."""

    times: int | None
    after: bool
    when: Callable[..., object]


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

    ``calls`` counts the calls of these, ``arguments`` has what each was given. ``times`` is for how
    many calls it happens, None for all that follow; ``after``: once the method has done its work,
    not before; ``when``: only at calls with arguments for which this is true.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls = Counter[str]()
        self.arguments = defaultdict[str, list[tuple[Any, ...]]](list)

    async def ping(self) -> None:
        """Answer, as a server does."""

    def fail(self, method: str, error: Exception, **how: Unpack[How]) -> None:
        """Let calls raise this error."""

        def step() -> None:
            raise error

        self.at(method, step, **how)

    def hold(self, method: str, **how: Unpack[How]) -> Gate:
        """Let calls wait at a gate."""
        gate = Gate()
        self.at(method, gate, **how)
        return gate

    def watch(self, method: str) -> None:
        """Let calls be counted, and do nothing else."""
        self.at(method, lambda: None)

    def recover(self, method: str) -> None:
        """Let calls do their work again, and no more than that."""
        self.at(method, lambda: None, times=0)

    def at(self, method: str, step: Step, **how: Unpack[How]) -> None:
        """Let calls do this step as well."""
        real = partial(getattr(FaultyTables, method), self)
        times, after, when = how.get("times"), how.get("after", False), how.get("when")
        left = float("inf") if times is None else times

        async def take(args: tuple[Any, ...]) -> None:
            nonlocal left
            if left <= 0 or (when is not None and not when(*args)):
                return
            left -= 1
            result = step()
            if result is not None:
                await result

        async def faulty(*args: Any, **kwargs: Any) -> Any:
            self.calls[method] += 1
            self.arguments[method].append(args)
            if not after:
                await take(args)
            found = await real(*args, **kwargs)
            if after:
                await take(args)
            return found

        setattr(self, method, faulty)
