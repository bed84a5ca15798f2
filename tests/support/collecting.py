"""Events to post to the collector, and what it has made of them."""

from __future__ import annotations

import base64
from typing import Any

import httpx
from redis.asyncio import Redis

from stream_persona.api.security.keys import make_key
from stream_persona.domain.events import (
    decode_event,
)
from stream_persona.kafka.partitioner import find_home_partition
from stream_persona.settings import Settings
from tests.support.shop import Shop

ITEM = {"product_id": "p-17", "category": "baby/diapers", "price": 9.99}


BOUGHT = {"event_id": "e1", "customer_id": "c1", "items": [ITEM], "order_id": "o1"}


LOOKED = {"event_id": "e2", "customer_id": "c2", "action": "view", "product": ITEM}


WRITE_KEY, TABLE = make_key("pages", ["collect"])


REACTED = {"event_id": "e3", "customer_id": "c3", "channel": "email", "action": "open"}


VIEWED = {
    "type": "track", "event": "Product Viewed", "userId": "c1", "messageId": "m1",
    "properties": ITEM,
}  # fmt: skip


async def read(settings: Settings, kind: int) -> list[Any]:
    """All events on a topic, each of which is at its customer's home."""
    async with Redis.from_url(settings.redis_url) as redis:
        records = await Shop(settings, redis).read(settings.input_topics[kind])
    found = [decode_event(kind, record.value) for record in records]
    for record, event in zip(records, found, strict=True):
        assert record.key == event.customer_id.encode()
        assert record.partition == find_home_partition(event.customer_id, settings.partitions)
    return found


async def counted(client: httpx.AsyncClient) -> dict[str, int]:
    """How many events have which outcome."""
    lines = (await client.get("/metrics")).text.splitlines()
    start = "stream_persona_collected_events_total{outcome="
    found = (line.removeprefix(start).split("} ") for line in lines if line.startswith(start))
    return {name.strip('"'): int(float(number)) for name, number in found if float(number)}


def basic(user: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:".encode()).decode()}
