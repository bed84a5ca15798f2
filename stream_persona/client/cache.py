"""A cache of shoppers that were looked up lately, emptied by their changes."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING

from stream_persona.client.models import UNREACHABLE, UNREADABLE

if TYPE_CHECKING:
    from stream_persona.client.models import Shopper


class ShopperCache:
    """The most recently used shoppers, each until it changes. Safe for several threads.

    An answer that was on its way while its customer changed is not kept: call ``begin_lookup``
    before the question, and ``end_lookup`` with its result and the answer, whatever happens.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._shoppers: OrderedDict[str, Shopper] = OrderedDict()
        self._pending: dict[str, int] = {}  # customer -> lookups under way
        self._changed: dict[str, int] = {}  # customer with a lookup under way -> last change
        self._ticks = 0
        self._lock = Lock()
        #: Whether changes are received. While they are not, nothing is kept.
        self.is_live = False

    def __len__(self) -> int:
        return len(self._shoppers)

    def get(self, customer_id: str) -> Shopper | None:
        """Return the shopper that is kept of a customer, if any."""
        with self._lock:
            shopper = self._shoppers.get(customer_id)
            if shopper is not None:
                self._shoppers.move_to_end(customer_id)
            return shopper

    def begin_lookup(self, customer_id: str) -> int:
        """Note that a customer is about to be looked up; return the moment, for ``end_lookup``."""
        with self._lock:
            self._ticks += 1
            self._pending[customer_id] = self._pending.get(customer_id, 0) + 1
            return self._ticks

    def end_lookup(self, began: int, shopper: Shopper) -> None:
        """Keep an answer, unless its customer has changed since the lookup ``began``."""
        customer = shopper.customer_id
        with self._lock:
            changed = self._changed.get(customer, 0)
            self._pending[customer] -= 1
            if not self._pending[customer]:
                del self._pending[customer]
                self._changed.pop(customer, None)
            is_answer = shopper.fallback not in {UNREACHABLE, UNREADABLE}
            if self.is_live and is_answer and changed <= began:
                self._keep(shopper)

    def invalidate(self, customer_id: str) -> None:
        """Drop a customer that has changed."""
        with self._lock:
            self._ticks += 1
            self._shoppers.pop(customer_id, None)
            if customer_id in self._pending:
                self._changed[customer_id] = self._ticks

    def resume(self) -> None:
        """Keep answers from now on: changes are received."""
        self._restart(is_live=True)

    def suspend(self) -> None:
        """Drop everything and keep nothing: changes may be missed."""
        self._restart(is_live=False)

    def _restart(self, *, is_live: bool) -> None:
        with self._lock:
            self.is_live = is_live
            self._ticks += 1
            self._shoppers.clear()
            self._changed.update(dict.fromkeys(self._pending, self._ticks))

    def _keep(self, shopper: Shopper) -> None:
        self._shoppers[shopper.customer_id] = shopper
        self._shoppers.move_to_end(shopper.customer_id)
        if len(self._shoppers) > self._capacity:
            self._shoppers.popitem(last=False)
