"""The newest changes of a process of the API, once for all its listeners.

Who is deleted leaves it at once: of their changes the positions stay, with nothing in them. What
stays is the tombstone, so that listeners that come back learn of it.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

#: Changes that a listener can catch up on.
RING: Final = 5_000
#: Most changes that are sent in one chunk.
CHUNK: Final = 200


@dataclass(slots=True)
class HeldChange:
    """A change, or a tombstone (``is_deletion``, without an id), as one server-sent event.

    The event is empty once the customer has been deleted.
    """

    change_id: str
    customer_id: str
    event: bytes
    is_deletion: bool = False


class Ring:
    """The newest changes, each with a position; positions ascend by one and are never reused."""

    def __init__(self, size: int = RING) -> None:
        self._size = size
        self._kept: deque[HeldChange] = deque()
        self._of_customer: dict[str, list[HeldChange]] = {}
        self._tied: dict[str, list[HeldChange]] = {}
        self._moved = asyncio.Event()
        self.end = 0

    @property
    def start(self) -> int:
        """The position of the oldest change still held."""
        return self.end - len(self._kept)

    def add(self, change: HeldChange) -> None:
        """Append a change, and wake all that wait; a tombstone empties what came before it."""
        if change.is_deletion:
            self.forget(change.customer_id)
        if len(self._kept) == self._size:
            self._drop(self._kept.popleft())
        self._kept.append(change)
        self._of_customer.setdefault(change.customer_id, []).append(change)
        self.end += 1
        self.wake()

    def prepend(self, older: Sequence[HeldChange], times: Sequence[int]) -> None:
        """Put older changes in front, as many as fit, but for those that are held already.

        ``times`` ascend. Which of several changes of one time came first is not known, but for
        those of one customer. Tombstones, also those that are held, empty what is older.
        """
        self._empty_older(older)
        for at, each in enumerate(older):
            if each.change_id and (tied := older[bisect_left(times, times[at]) : at]):
                self._tied[each.change_id] = list(tied)
        held = {(each.change_id, each.customer_id) for each in self._kept}
        fresh = [each for each in older if (each.change_id, each.customer_id) not in held]
        room = self._size - len(self._kept)
        fresh = fresh[-room:] if room else []
        self._kept.extendleft(reversed(fresh))
        for each in fresh:
            self._of_customer.setdefault(each.customer_id, []).append(each)

    def holds(self, change: HeldChange) -> bool:
        """Whether this change is held, not emptied by a deletion; a tombstone is new each time."""
        own = self._of_customer.get(change.customer_id, ())
        return any(each.event and each.change_id == change.change_id != "" for each in own)

    def forget(self, customer_id: str, but: Collection[str] = ()) -> None:
        """Empty a customer's changes, ``but`` those of these ids, which are of a later life."""
        for each in self._of_customer.get(customer_id, ()):
            if not each.is_deletion and each.change_id not in but:
                each.event = b""

    def wake(self) -> None:
        """End every wait."""
        self._moved.set()
        self._moved = asyncio.Event()

    async def wait(self, seconds: float) -> None:
        """Wait until something is added, or the time is over."""
        try:
            async with asyncio.timeout(seconds):
                await self._moved.wait()
        except TimeoutError:
            return

    def find_position_after(self, change_id: str) -> int | None:
        """Find the position after a change's first appearance; None when it is not held."""
        for index, held in enumerate(self._kept):
            if held.change_id == change_id:
                return self.start + index + 1
        return None

    def list_tied_before(self, change_id: str) -> list[bytes]:
        """Return the events of a change's own time that stand before it, and may have come after.

        A listener that has got the change may lack them.
        """
        return [each.event for each in self._tied.get(change_id, ())]

    def read(self, position: int, quiet_until: int | None = None) -> list[bytes]:
        """Return the events from a position on, a chunk at most.

        Those of deleted customers are empty, and before ``quiet_until`` their tombstones, too.
        """
        first = position - self.start
        quiet = 0 if quiet_until is None else quiet_until - self.start
        return [
            b"" if self._kept[i].is_deletion and i < quiet
            else self._kept[i].event
            for i in range(first, min(first + CHUNK, len(self._kept)))
        ]  # fmt: skip

    def _empty_older(self, older: Iterable[HeldChange]) -> None:
        gone = {each.customer_id for each in self._kept if each.is_deletion}
        for each in reversed([*older]):
            if each.is_deletion:
                gone.add(each.customer_id)
            elif each.customer_id in gone:
                each.event = b""

    def _drop(self, oldest: HeldChange) -> None:
        own = self._of_customer[oldest.customer_id]
        own.remove(oldest)
        if not own:
            del self._of_customer[oldest.customer_id]
        self._tied.pop(oldest.change_id, None)
