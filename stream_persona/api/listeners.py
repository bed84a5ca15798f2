"""Limits the listeners of changes: in all, and of one caller."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import Scope

    from stream_persona.api.bounds import Bounds

#: Seconds after which one who was refused may ask again.
_RETRY_SECONDS = "5"


class ListenerSeats:
    """The seats that are taken, by caller: a key, or an address where there are no keys."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._taken: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._taken.total()

    @contextmanager
    def take(self, caller: str) -> Iterator[None]:
        """Hold a seat for as long as the block lasts.

        Raises:
            HTTPException: 429, there is none left, or the caller has as many as one may have.
        """
        bounds = self._bounds
        if self._taken[caller] >= bounds.of_caller:
            _refuse(f"you have {bounds.of_caller:,} streams of changes open, as many as one may")
        if len(self) >= bounds.listeners:
            _refuse(f"this process has {bounds.listeners:,} listeners, as many as it takes")
        self._taken[caller] += 1
        try:
            yield
        finally:
            self._taken[caller] -= 1
            if not self._taken[caller]:
                del self._taken[caller]


def name_caller(scope: Scope) -> str:
    """Return whose seats a request takes: a key's that authentication noted, else an address's."""
    noted = scope.get("state", {}).get("caller")
    if noted is None:
        host, *_ = scope.get("client") or ("unknown",)
        return f"address {host}"
    return str(getattr(noted, "name", noted))


def _refuse(reason: str) -> None:
    message = f"{reason}: close one, or try again later"
    raise HTTPException(429, message, {"Retry-After": _RETRY_SECONDS})
