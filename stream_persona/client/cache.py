"""Shoppers that were looked up lately, in memory."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from stream_persona.client.models import UNREACHABLE, UNREADABLE

if TYPE_CHECKING:
    from stream_persona.client.models import Shopper


class Recent:
    """Shoppers that were looked up lately, until they change. Not for several threads at once.

    An answer that was on its way while its customer changed is not kept: ``asking`` before, and
    ``keep`` after with what it gave.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[str, Shopper] = OrderedDict()
        self._asked: dict[str, int] = {}
        self._changed: dict[str, int] = {}
        self._clock = 0
        #: Whether changes are heard of; while they are not, nothing is kept.
        self.fresh = False

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, customer_id: str) -> Shopper | None:
        """What is kept of a customer."""
        found = self._kept.get(customer_id)
        if found is not None:
            self._kept.move_to_end(customer_id)
        return found

    def asking(self, customer_id: str) -> int:
        """Note that a customer is about to be looked up; call ``keep`` with the result."""
        self._clock += 1
        self._asked[customer_id] = self._asked.get(customer_id, 0) + 1
        return self._clock

    def keep(self, asked: int, shopper: Shopper) -> None:
        """Keep an answer, unless its customer has changed since it was ``asked``."""
        customer = shopper.customer_id
        changed = self._changed.get(customer, 0)
        self._asked[customer] -= 1
        if not self._asked[customer]:
            del self._asked[customer]
            self._changed.pop(customer, None)
        if not self.fresh or changed > asked or shopper.fallback in {UNREACHABLE, UNREADABLE}:
            return
        self._kept[customer] = shopper
        self._kept.move_to_end(customer)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def forget(self, customer_id: str) -> None:
        """A customer has changed."""
        self._clock += 1
        self._kept.pop(customer_id, None)
        if customer_id in self._asked:
            self._changed[customer_id] = self._clock

    def begin(self, *, fresh: bool) -> None:
        """Changes are heard of from now on, or not any more: what is kept may be old."""
        self.fresh = fresh
        self._clock += 1
        self._kept.clear()
        self._changed.update(dict.fromkeys(self._asked, self._clock))
