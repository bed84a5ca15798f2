"""The journey of ``journey.json`` as calls of Segment's e-commerce specification.

Run as a program it prints them for ``capture.mjs``.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
JOURNEY = json.loads((FOLDER / "journey.json").read_text(encoding="utf-8"))

NAMES = {
    "search": "Products Searched", "view": "Product Viewed", "add_to_cart": "Product Added",
    "remove_from_cart": "Product Removed", "wishlist": "Product Added to Wishlist",
    "promotion_view": "Promotion Viewed", "promotion_click": "Promotion Clicked",
    "coupon": "Coupon Applied", "purchase": "Order Completed", "email_open": "Email Opened",
    "email_click": "Email Link Clicked", "push_click": "Push Notification Tapped",
    "list": "Product List Viewed", "refund": "Order Refunded", "custom": "Video Played",
}  # fmt: skip


def product(name: str, quantity: int | None = None) -> dict[str, Any]:
    of = JOURNEY["products"][name]
    fields = {
        "product_id": of["id"], "sku": f"sku-{of['id']}", "name": of["name"],
        "category": of["category"], "brand": of["brand"], "variant": "blue", "price": of["price"],
        "position": 1, "url": "https://shop.example/p", "image_url": "https://shop.example/p.jpg",
    }  # fmt: skip
    return fields if quantity is None else {**fields, "quantity": quantity}


def properties(step: dict[str, Any]) -> dict[str, Any]:
    do = step["do"]
    if do == "search":
        return {"query": step["query"]}
    if do == "purchase":
        return {
            "order_id": step["order"], "checkout_id": "c-1", "total": 215.75, "currency": "EUR",
            "products": [product(*line) for line in step["lines"]],
        }  # fmt: skip
    if do in {"promotion_view", "promotion_click"}:
        return {"promotion_id": "promo_1", "name": step["campaign"], "creative": "top_banner"}
    if do == "coupon":
        return {"coupon_id": "c-10", "coupon_name": step["campaign"], "discount": 10}
    if do in {"email_open", "email_click"}:
        return {"email_id": "e-1", "campaign_id": "48", "campaign_name": step["campaign"]}
    if do == "push_click":
        return {"action": "Accept", "campaign": {"name": step["campaign"], "medium": "Push"}}
    if do == "list":
        return {"list_id": "hot", "products": [product("shoe"), product("food")]}
    return product(step["product"], step.get("quantity")) if "product" in step else {}


def calls() -> Iterator[tuple[str, dict[str, Any], str]]:
    """Yield name, properties and time of each call."""
    for step in JOURNEY["steps"]:
        yield NAMES[step["do"]], properties(step), step["at"]


if __name__ == "__main__":
    print(json.dumps({"journey": JOURNEY, "calls": list(calls())}))
