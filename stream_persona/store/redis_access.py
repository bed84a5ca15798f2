"""How the tables reach Redis: opened when first needed, and tried again while it is not usable.

The server itself is asked whether it is one server or a Cluster, with the first command (``INFO
cluster``), so that one setting serves for both and a service may start before its Redis does.

After an error that may pass by itself (``redis_errors``) a call is tried again with backoff, on new
connections, for as long as ``retry_seconds``.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final, TypeVar

from redis.exceptions import RedisClusterException, RedisError

from stream_persona.errors import RedisUnavailableError
from stream_persona.retrying import retry_until
from stream_persona.setting_forms import name_variable
from stream_persona.store import entries
from stream_persona.store.redis_errors import raise_if_permanent

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence

    from stream_persona.store.redis_port import Command, Store
    from stream_persona.store.tables import Keyspace

T = TypeVar("T")

logger = logging.getLogger(__name__)

_REDIS_ERRORS = (RedisError, RedisClusterException)

#: Keys looked at in one scan.
_SCANNED: Final = 10_000


class RedisAccess:
    """Calls a store for every part of the tables; ``open_store`` opens it when first needed.

    ``retry_seconds`` is how long Redis may stay away.
    """

    def __init__(
        self,
        open_store: Callable[[], Awaitable[Store]],
        keys: Keyspace,
        retry_seconds: float = 60.0,
    ) -> None:
        self._open = open_store
        self._keys = keys
        self._seconds = retry_seconds
        self._store: Store | None = None
        self._opening = asyncio.Lock()
        self._usable = True

    async def close(self) -> None:
        """Give the connections back."""
        if self._store is not None:
            await self._store.close()

    async def ask(self, call: Callable[[Store], Awaitable[T]]) -> T:
        """Return the result of a call on the store, tried again with backoff while it is unusable.

        Raises:
            TopologyError: the server refuses the login, or another program uses one of our keys.
            RedisUnavailableError: it stayed unusable.
        """
        deadline, has_failed = asyncio.get_running_loop().time() + self._seconds, False

        async def ask() -> T:
            nonlocal has_failed
            try:
                return await call(await self._open_once())
            except _REDIS_ERRORS as error:
                raise_if_permanent(error)
                has_failed = True
                await self._reset(error)
                raise

        try:
            answer = await retry_until(deadline, ask, on=_REDIS_ERRORS, first_wait=0.05)
        except _REDIS_ERRORS as error:
            message = f"Redis was not usable for {self._seconds:g} s: {error}"
            if self._store is None:  # it was never reached: a server may end what is no TLS
                message += f"; see {name_variable('redis_url')}, rediss:// if it takes TLS alone"
            raise RedisUnavailableError(message) from error
        if has_failed:  # reads may succeed all the time that no write can
            self._log_usable()
        return answer

    async def _get(self, keys: Sequence[str]) -> list[bytes | None]:
        return await self.ask(lambda store: store.get(keys))

    async def _scan(self, kind: str, cursor: int, count: int) -> tuple[int, list[str]]:
        pattern = f"{entries.escape_pattern(self._keys.of(kind, ''))}*"
        following, keys = await self.ask(lambda store: store.scan(cursor, pattern, count))
        return following, entries.decode_texts(keys, "a key")

    async def _run(self, *commands: Command) -> list[Any]:
        return await self.ask(lambda store: store.run(*commands)) if commands else []

    async def _remove(self, kind: str, but: Collection[str] = ()) -> None:
        """Remove all keys of a kind but these."""
        kept, cursor = {self._keys.of(kind, name) for name in but}, 0
        while True:
            cursor, keys = await self._scan(kind, cursor, _SCANNED)
            await self._run(*(("DEL", key) for key in keys if key not in kept))
            if not cursor:
                return

    async def _open_once(self) -> Store:
        async with self._opening:
            if self._store is None:
                self._store = await self._open()
            return self._store

    async def _reset(self, error: Exception) -> None:
        """Let go of idle connections: their address may belong to another server by now."""
        if self._usable:
            self._usable = False
            logger.warning("Redis is not usable, trying for %g s: %s", self._seconds, error)
        if self._store is not None:
            await self._store.reset()

    def _log_usable(self) -> None:
        if not self._usable:
            self._usable = True
            logger.info("Redis is usable again")
