"""The journey of ``journey.json`` as events of ours: what every preset must make of it."""

from collections.abc import Collection, Iterator
from typing import Any

import msgspec

from stream_persona.domain.events import BROWSE, ENGAGEMENT, KINDS, PURCHASE, Event
from tests.support.foreign.segment_calls import JOURNEY

BROWSES = frozenset({"search", "view", "add_to_cart", "remove_from_cart", "wishlist"})
ENGAGEMENTS = {
    "promotion_view": ("onsite", "view"), "promotion_click": ("onsite", "click"),
    "coupon": ("onsite", "redeem"), "email_open": ("email", "open"),
    "email_click": ("email", "click"), "push_click": ("push", "click"),
}  # fmt: skip


def item(name: str, quantity: int | None = None, categories: bool = True) -> dict[str, Any]:
    of = JOURNEY["products"][name]
    fields = {"product_id": of["id"], "brand": of["brand"], "price": of["price"]}
    if categories:
        fields["category"] = of["category"]
    return fields | ({"quantity": quantity} if quantity else {})


def own_values(categories: bool = True) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Yield what was done, the kind and the fields of each event."""
    for number, step in enumerate(JOURNEY["steps"]):
        do = step["do"]
        fields = {"event_id": f"e{number}", "customer_id": JOURNEY["user_id"]}
        fields["occurred_at"] = step["at"]
        if do == "purchase":
            fields["items"] = [item(*line, categories) for line in step["lines"]]
            yield do, PURCHASE, {**fields, "order_id": step["order"]}
        elif do in BROWSES:
            fields["action"] = do
            if "product" in step:
                fields["product"] = item(step["product"], step.get("quantity"), categories)
            yield do, BROWSE, fields | ({"query": step["query"]} if "query" in step else {})
        elif do in ENGAGEMENTS:
            channel, action = ENGAGEMENTS[do]
            fields |= {"channel": channel, "action": action, "campaign": step["campaign"]}
            yield do, ENGAGEMENT, fields


def own_events(without: Collection[str] = (), categories: bool = True) -> list[tuple[int, Event]]:
    """The events, with their kinds, but for what a tool has no event for."""
    return [
        (kind, msgspec.convert(fields, KINDS[kind]))
        for do, kind, fields in own_values(categories)
        if do not in without
    ]
