"""Shoppers' own tastes in Redis, and the common shares that they are compared with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from stream_persona.store.redis_port import Store
    from stream_persona.store.tables import Keyspace

#: Keys looked at in one scan.
_SCANNED: Final = 10_000


class TastesInRedis(ABC):
    """The part of ``RedisTables`` that is of tastes."""

    _keys: Keyspace

    @abstractmethod
    async def ask(self, call: Callable[[Store], Awaitable[Any]]) -> Any:  # noqa: ANN401 - any answer
        """Return what a call makes of the store."""

    @abstractmethod
    async def _get(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return the values of keys."""

    @abstractmethod
    async def _run(self, *commands: tuple[bytes | str | int, ...]) -> list[Any]:
        """Return the answers of commands, each of them on one key."""

    @abstractmethod
    async def _scan(self, kind: str, cursor: int, count: int) -> tuple[int, list[str]]:
        """Return the next cursor and some keys of a kind."""

    async def load_tastes(self, customers: Sequence[str]) -> dict[str, bytes]:
        found = await self._get([self._keys.of("tastes", name) for name in customers])
        return {c: blob for c, blob in zip(customers, found, strict=True) if blob is not None}

    async def save_common_tastes(self, fields: Mapping[str, str]) -> None:
        key = self._keys.of("common-tastes")
        await self.ask(lambda store: store.replace(key, fields))

    async def remove_tastes(self) -> None:
        await self.save_common_tastes({})
        cursor = 0
        while True:
            cursor, keys = await self._scan("tastes", cursor, _SCANNED)
            await self._run(*(("DEL", key) for key in keys))
            if not cursor:
                return
