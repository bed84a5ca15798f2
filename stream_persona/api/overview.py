"""Key figures of what this process has heard since it started: for the page's header."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict, deque
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: Most shoppers that are remembered; the one longest unheard of goes first.
MOST_SHOPPERS: Final = 200_000
_WINDOW: Final = 60


class Overview:
    """Who was heard of, as what; ``clock`` gives seconds that never go back."""

    def __init__(
        self, personas: Sequence[str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._shoppers: OrderedDict[str, str | None] = OrderedDict()
        self._personas = personas
        self._mix: Counter[str | None] = Counter()
        self._seconds: deque[tuple[int, int]] = deque(maxlen=_WINDOW)

    def notice(self, change: dict[str, Any]) -> None:
        """Take in a change, or a deletion.

        Raises:
            KeyError: it is neither.
        """
        customer_id: str = change["customer_id"]
        deleted = change.get("deleted", False)
        persona: str | None = None if deleted else change["current"]["persona"]
        if customer_id in self._shoppers:
            self._mix[self._shoppers.pop(customer_id)] -= 1
        if not deleted:
            self._shoppers[customer_id] = persona
            self._mix[persona] += 1
            self._count()
        while len(self._shoppers) > MOST_SHOPPERS:
            self._mix[self._shoppers.popitem(last=False)[1]] -= 1

    def figures(self) -> dict[str, Any]:
        """``changes_per_minute``, ``shoppers``, ``ambiguous_share`` (None without any), ``mix``."""
        shoppers, ambiguous = len(self._shoppers), self._mix[None]
        since = int(self._clock()) - _WINDOW
        return {
            "changes_per_minute": sum(n for second, n in self._seconds if second > since),
            "shoppers": shoppers,
            "ambiguous": ambiguous,
            "ambiguous_share": ambiguous / shoppers if shoppers else None,
            "mix": {persona: self._mix[persona] for persona in self._personas},
        }

    def _count(self) -> None:
        now = int(self._clock())
        if self._seconds and self._seconds[-1][0] == now:
            now, number = self._seconds.pop()
            self._seconds.append((now, number + 1))
        else:
            self._seconds.append((now, 1))
