"""The journey as GA4 has it: rows of the export, and requests of the Measurement Protocol.

They are the published examples of both, rewritten for the journey.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from tests.support.foreign.segment_calls import JOURNEY

NAMES = {
    "search": "view_search_results", "view": "view_item", "add_to_cart": "add_to_cart",
    "remove_from_cart": "remove_from_cart", "wishlist": "add_to_wishlist", "purchase": "purchase",
    "promotion_view": "view_promotion", "promotion_click": "select_promotion",
    "push_click": "notification_open", "list": "view_item_list", "refund": "refund",
    "custom": "video_played",
}  # fmt: skip
#: What GA4 has no event for.
WITHOUT = {"coupon", "email_open", "email_click"}
CLIENT = "1234567890.1764000000"


def product(name: str, quantity: int | None = None) -> dict[str, Any]:
    of = JOURNEY["products"][name]
    levels = of["category"].split("/")
    fields = {"item_id": of["id"], "item_name": of["name"], "item_brand": of["brand"]}
    fields["item_variant"] = "blue"
    for number, level in enumerate(levels, 1):
        fields["item_category" if number == 1 else f"item_category{number}"] = level
    return {**fields, "price": of["price"], "quantity": quantity or 1}


def events() -> Iterator[tuple[str, int, dict[str, Any], list[dict[str, Any]]]]:
    """Yield name, time in microseconds, parameters and items of each event."""
    for step in JOURNEY["steps"]:
        do = step["do"]
        if do in WITHOUT:
            continue
        params: dict[str, Any] = {"ga_session_id": 1764000000, "page_location": "https://shop"}
        items: list[dict[str, Any]] = []
        if do == "search":
            params["search_term"] = step["query"]
        if do in {"promotion_view", "promotion_click"}:
            params |= {"promotion_id": "promo_1", "promotion_name": step["campaign"]}
        if do == "push_click":
            params["message_name"] = step["campaign"]
        if "product" in step:
            items = [product(step["product"], step.get("quantity"))]
        if do == "purchase":
            params |= {"transaction_id": step["order"], "currency": "EUR", "value": 215.75}
            items = [product(*line) for line in step["lines"]]
        if do == "list":
            items = [product("shoe"), product("food")]
        at = round(datetime.fromisoformat(step["at"]).timestamp() * 1_000_000)
        yield NAMES[do], at, params, items


def typed(value: Any) -> dict[str, Any]:
    kind = {str: "string_value", int: "int_value", float: "double_value"}[type(value)]
    empty = dict.fromkeys(("string_value", "int_value", "float_value", "double_value"))
    return {**empty, kind: str(value) if kind == "int_value" else value}


def rows() -> list[dict[str, Any]]:
    """Rows as the export to BigQuery writes them in JSON: its whole numbers are texts."""
    found = []
    for number, (name, at, params, items) in enumerate(events()):
        ecommerce = {"transaction_id": params.pop("transaction_id", "(not set)")}
        padded = [
            {"item_list_name": "(not set)", "item_category5": "(not set)", **i} for i in items
        ]
        found.append({
            "event_date": "20251124", "event_timestamp": str(at), "event_name": name,
            "event_params": [{"key": key, "value": typed(v)} for key, v in params.items()],
            "event_bundle_sequence_id": str(number), "batch_page_id": str(at),
            "batch_ordering_id": "1", "batch_event_index": "1",
            "user_id": JOURNEY["user_id"], "user_pseudo_id": CLIENT, "platform": "WEB",
            "ecommerce": ecommerce, "items": padded,
        })  # fmt: skip
    return found


def requests() -> list[dict[str, Any]]:
    """Bodies of the Measurement Protocol, two events in each."""
    listed = [
        {"name": name, "timestamp_micros": at, "params": {**params, "items": items}}
        for name, at, params, items in events()
    ]
    head = {"client_id": CLIENT, "user_id": JOURNEY["user_id"]}
    return [{**head, "events": listed[at : at + 2]} for at in range(0, len(listed), 2)]
