"""What a caller's key must allow: named by each route that is not for every key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

Scope = Literal["collect"]


def require(_: Scope) -> Callable[[], Awaitable[None]]:
    """Make the dependency of a route that needs a key of this scope: any valid key has all."""

    async def admit() -> None:
        """Let everybody in whom ``AuthMiddleware`` has let in."""

    return admit
