"""Sends the small reads that are asked for in one turn of the event loop to Redis as one.

To send a command and to read its answer costs a client several times what its keys do, and a busy
process has many requests in each turn. Nothing is kept, and nothing asked for once: a key that two
ask for is read twice. On one server alone, where those who are gathered share their luck anyway.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    Get = Callable[[Sequence[str]], Awaitable[list[bytes | None]]]
    Found = asyncio.Future[list[bytes | None]]

#: More keys than this go alone, and no more than so many small reads together: nobody waits long
#: for others' keys.
_FEW_KEYS: Final = 16
_MOST_READS: Final = 64


class GatheredGets:
    """Reads of keys; ``get`` asks the server."""

    def __init__(self, get: Get) -> None:
        self._get = get
        self._waiting: list[tuple[Sequence[str], Found]] = []
        self._asking: set[asyncio.Task[None]] = set()

    async def get(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return the values of keys; what the server raises, it raises to all that were gathered.

        One that is given up leaves the others alone.
        """
        if len(keys) > _FEW_KEYS:
            return await self._get(keys)
        loop = asyncio.get_running_loop()
        if not self._waiting:  # behind whatever is ready to run in this turn
            loop.call_soon(self._begin)
        found: Found = loop.create_future()
        self._waiting.append((keys, found))
        return await found

    def _begin(self) -> None:
        waiting, self._waiting = self._waiting, []
        for first in range(0, len(waiting), _MOST_READS):
            task = asyncio.create_task(self._ask(waiting[first : first + _MOST_READS]))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)

    async def _ask(self, waiting: Sequence[tuple[Sequence[str], Found]]) -> None:
        try:
            values = iter(await self._get([key for keys, _ in waiting for key in keys]))
        except asyncio.CancelledError:
            for _, found in waiting:
                found.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - each waiting caller raises it
            for _, found in waiting:
                if not found.done():
                    found.set_exception(error)
            return
        for keys, found in waiting:
            own = [next(values) for _ in keys]
            if not found.done():
                found.set_result(own)
