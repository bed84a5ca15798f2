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
    campaign = step.get("campaign")
    lines = [product(*line) for line in step.get("lines", ())]
    of_other_steps: dict[str, dict[str, Any]] = {
        "search": {"query": step.get("query")},
        "purchase": {"order_id": step.get("order"), "checkout_id": "c-1", "total": 215.75,
                     "currency": "EUR", "products": lines},
        "promotion_view": {"promotion_id": "promo_1", "name": campaign, "creative": "banner"},
        "promotion_click": {"promotion_id": "promo_1", "name": campaign, "creative": "banner"},
        "coupon": {"coupon_id": "c-10", "coupon_name": campaign, "discount": 10},
        "email_open": {"email_id": "e-1", "campaign_id": "48", "campaign_name": campaign},
        "email_click": {"email_id": "e-1", "campaign_id": "48", "campaign_name": campaign},
        "push_click": {"action": "Accept", "campaign": {"name": campaign, "medium": "Push"}},
        "list": {"list_id": "hot", "products": [product("shoe"), product("food")]},
    }  # fmt: skip
    if step["do"] in of_other_steps:
        return of_other_steps[step["do"]]
    return product(step["product"], step.get("quantity")) if "product" in step else {}


def calls() -> Iterator[tuple[str, dict[str, Any], str]]:
    """Yield name, properties and time of each call."""
    for step in JOURNEY["steps"]:
        yield NAMES[step["do"]], properties(step), step["at"]


if __name__ == "__main__":
    print(json.dumps({"journey": JOURNEY, "calls": list(calls())}))
