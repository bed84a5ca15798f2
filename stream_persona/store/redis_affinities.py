"""The affinities of personas in Redis, for rankers in any language."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping

    from stream_persona.store.redis_port import Store
    from stream_persona.store.tables import Keyspace

#: Keys looked at in one scan.
_SCANNED: Final = 10_000


class AffinitiesInRedis(ABC):
    """The part of ``RedisTables`` that is of affinities."""

    _keys: Keyspace

    @abstractmethod
    async def ask(self, call: Callable[[Store], Awaitable[Any]]) -> Any:  # noqa: ANN401 - any answer
        """Return what a call makes of the store."""

    @abstractmethod
    async def _run(self, *commands: tuple[bytes | str | int, ...]) -> list[Any]:
        """Return the answers of commands, each of them on one key."""

    @abstractmethod
    async def _scan(self, kind: str, cursor: int, count: int) -> tuple[int, list[str]]:
        """Return the next cursor and some keys of a kind."""

    async def save_affinities(self, lifts: Mapping[str, Mapping[str, float]]) -> None:
        async def write(store: Store) -> None:
            for persona, own in lifts.items():
                fields = {name: repr(lift) for name, lift in own.items()}
                await store.replace(self._keys.of("affinity", persona), fields)

        await self.ask(write)

    async def remove_affinities(self, but: Collection[str]) -> None:
        kept, cursor = {self._keys.of("affinity", persona) for persona in but}, 0
        while True:
            cursor, keys = await self._scan("affinity", cursor, _SCANNED)
            await self._run(*(("DEL", key) for key in keys if key not in kept))
            if not cursor:
                return
