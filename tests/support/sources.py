"""Sources of other tools' documents, and their messages through both halves of a router."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from aiokafka import ConsumerRecord

from stream_persona.kafka.router import MessageRouter, RoutedBatch
from stream_persona.settings import Settings
from tests.support.constants import NOW
from tests.support.events import shop
from tests.support.workers import raw, worker_settings

TOPIC = "shop-events"
SEGMENT = f'[[source]]\ntopic = "{TOPIC}"\npreset = "segment"\n'
#: Two kinds in our own words, of which a document of the topic is one.
MAPPED = f"""
[[source]]
topic = "{TOPIC}"
when = "type == 'order'"
kind = "purchase"
[source.map]
event_id = "id"
customer_id = "user"
occurred_at = "at"
items = "lines[].{{product_id: sku, category: cat, price: price}}"

[[source]]
topic = "{TOPIC}"
when = "type == 'search'"
kind = "browse"
[source.map]
event_id = "id"
customer_id = "user"
occurred_at = "at"
action = "'search'"
query = "words"
"""


def source_settings(folder: Path, text: str = SEGMENT, **values: Any) -> Settings:
    """Settings with a file of sources in a folder of the test's own."""
    path = folder / f"sources-{len(list(folder.iterdir()))}.toml"
    path.write_text(text)
    return worker_settings(**{"partitions": 4, "sources": path, **values})


def order(name: str, customer: str = "c", category: str = "food", at: int = NOW) -> dict[str, Any]:
    """A call of Segment's with an order."""
    return {
        "type": "track", "event": "Order Completed", "messageId": name, "userId": customer,
        "timestamp": _time(at),
        "properties": {
            "order_id": name,
            "products": [
                {"product_id": f"p-{category}", "category": category, "price": 3, "quantity": 1}
            ],
        },
    }  # fmt: skip


def search(name: str, customer: str = "c", words: str = "shoes", at: int = NOW) -> dict[str, Any]:
    return {
        "type": "track", "event": "Products Searched", "messageId": name, "userId": customer,
        "timestamp": _time(at), "properties": {"query": words},
    }  # fmt: skip


def message(
    offset: int, *calls: dict[str, Any], partition: int = 0, topic: str = TOPIC, at: int = NOW
) -> ConsumerRecord:
    """A message with one call, or a batch of several."""
    document = calls[0] if len(calls) == 1 else {"batch": list(calls)}
    return raw(topic, json.dumps(document).encode(), offset, partition, at=at)


def forward(
    settings: Settings, messages: Iterable[ConsumerRecord], first: int = 0
) -> tuple[list[ConsumerRecord], RoutedBatch]:
    """Route messages of sources; the reroutes as they are read, and all that was made of them."""
    routed = MessageRouter(settings, shop()).route(list(messages))
    return as_read(routed, first), routed


def as_read(routed: RoutedBatch, first: int = 0) -> list[ConsumerRecord]:
    return [
        raw(each.topic, each.value, first + number, each.partition or 0, each.headers)
        for number, each in enumerate(routed.reroutes)
    ]


def by_home(reroutes: Sequence[ConsumerRecord]) -> list[list[ConsumerRecord]]:
    """The reroutes of each partition, in their order."""
    homes = sorted({each.partition for each in reroutes})
    return [[each for each in reroutes if each.partition == home] for home in homes]


def _time(at: int) -> str:
    from stream_persona.domain.events import format_rfc3339

    return format_rfc3339(at)
