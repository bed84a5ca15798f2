"""A part of a shop's behaviour comes as another tool's: several events of any customers a message.

The messages are Segment's batches, on a topic of three partitions with keys that are nobody's.
"""

import random
from typing import Any

import orjson

from stream_persona.domain.events import BROWSE, PURCHASE
from stream_persona.settings import Settings
from tests.chaos.shopfloor import FAR, Sent

#: The share of purchases and views that comes so, most events of a message, and broken messages.
BUNDLED, LARGEST, BROKEN = 0.3, 3, 0.01
PARTITIONS = 3
EVENTS = {"view": "Product Viewed", "add_to_cart": "Product Added", "search": "Products Searched"}


def topic_of(settings: Settings) -> str:
    return f"{settings.group}-events"


def sources_of(settings: Settings) -> str:
    """Return the file of sources that reads them."""
    return f'[[source]]\ntopic = "{topic_of(settings)}"\npreset = "segment"\n'


class Bundler:
    """Takes some of the messages, and makes others of them."""

    def __init__(self, seed: str) -> None:
        self._rnd = random.Random(f"bundles {seed}")
        self._calls: list[dict[str, Any]] = []
        self._size = 1

    def take(self, message: Sent) -> bool:
        """Whether it takes a message: then it comes with others."""
        if message.note or message.kind not in {PURCHASE, BROWSE} or message.value is None:
            return False
        event = orjson.loads(message.value)
        if event["occurred_at"] >= FAR or self._rnd.random() > BUNDLED:
            return False
        self._calls.append(_as_call(event))
        return True

    def bundle(self, *, last: bool = False) -> tuple[int, bytes] | None:
        """Return the partition and the value of the next message, once it has its events."""
        if not self._calls or (len(self._calls) < self._size and not last):
            return None
        calls, self._calls = self._calls, []
        self._size = self._rnd.randint(1, LARGEST)
        value = orjson.dumps({"batch": calls})
        if self._rnd.random() < BROKEN:
            value = value[:-1]
        return self._rnd.randrange(PARTITIONS), value


def _as_call(event: dict[str, Any]) -> dict[str, Any]:
    products = [
        {
            name: item[name]
            for name in ("product_id", "category", "brand", "price", "quantity")
            if item.get(name) is not None
        }
        for item in event.get("items") or [event.get("product") or {}]
    ]
    properties: dict[str, Any] = dict(products[0])
    name = EVENTS.get(event.get("action", ""), "Order Completed")
    if name == "Order Completed":
        properties = {"order_id": event["order_id"], "products": products}
    elif name == "Products Searched":
        properties = {"query": event["query"]}
    return {
        "type": "track", "event": name, "messageId": event["event_id"],
        "userId": event["customer_id"], "timestamp": event["occurred_at"],
        "properties": properties,
    }  # fmt: skip
