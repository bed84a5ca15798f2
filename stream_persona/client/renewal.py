"""When a client reads again what Redis holds for all shoppers: affinities, and common shares."""

from __future__ import annotations

from enum import Enum
from threading import Lock
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

#: Seconds for which what was read is used before it is read again, in the background.
RENEWAL_SECONDS: Final = 30.0
#: Seconds between two reads of parts that nobody has asked for before.
EXTRA_SECONDS: Final = 1.0

_T = TypeVar("_T")


class When(Enum):
    """Whether the caller reads: not, first of all, or while what is there is used."""

    NOT = "not"
    AT_ONCE = "at once"
    MEANWHILE = "meanwhile"


class Renewal(Generic[_T]):
    """What was read of some parts, such as the lifts of personas, and when it is read again.

    Parts are read at once while there is nothing, by every caller; and where they were never asked
    for, by one caller a second: what Redis has nothing of is remembered until the next renewal.
    After ``RENEWAL_SECONDS`` one caller reads all of them again, while the others use the old ones.
    ``clock`` gives seconds that only grow. Safe for several threads.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._next = self._next_extra = clock()
        self._kept: Mapping[str, _T] = {}
        self._is_empty = True
        self._lock = Lock()

    def claim(self, wanted: Collection[str]) -> When:
        """Return whether the caller is to read, to have these parts."""
        now = self._clock()
        is_due, is_missing = now >= self._next, not self._kept.keys() >= set(wanted)
        if not is_due and not is_missing:
            return When.NOT
        if is_due and self._is_empty:
            return When.AT_ONCE
        with self._lock:
            if is_missing and now >= self._next_extra:
                self._next_extra = now + EXTRA_SECONDS
                return When.AT_ONCE
            if now >= self._next:
                self._next = now + RENEWAL_SECONDS
                return When.MEANWHILE
        return When.NOT

    def list_parts(self, wanted: Collection[str]) -> list[str]:
        """Return the parts to read: those that are wanted, and those that there was any of."""
        found = (part for part, each in self._kept.items() if each)
        return list(dict.fromkeys([*wanted, *found]))

    def keep(self, read: Mapping[str, _T]) -> Mapping[str, _T]:
        """Keep what was read of some parts; return it, with what others have read meanwhile."""
        with self._lock:
            others = {part: each for part, each in self._kept.items() if each and part not in read}
            self._kept = {**read, **others}
            self._is_empty = not any(self._kept.values())
            self._next = self._clock() + RENEWAL_SECONDS
            return self._kept
