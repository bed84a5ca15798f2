"""The journey's order as Shopify's webhooks have it: the published examples, rewritten."""

from typing import Any

from tests.support.foreign.segment_calls import JOURNEY

PURCHASE = next(step for step in JOURNEY["steps"] if step["do"] == "purchase")
#: What Shopify tells nobody of, or without a customer.
WITHOUT = {step["do"] for step in JOURNEY["steps"]} - {"purchase"}


def line(name: str, quantity: int) -> dict[str, Any]:
    of = JOURNEY["products"][name]
    return {
        "id": 487817672276298500, "admin_graphql_api_id": "gid://shopify/LineItem/4878",
        "fulfillable_quantity": quantity, "gift_card": False, "grams": 100, "name": of["name"],
        "price": f"{of['price']:.2f}", "product_id": of["id"], "quantity": quantity,
        "sku": f"sku-{of['id']}", "taxable": True, "title": of["name"], "total_discount": "0.00",
        "variant_id": 39072856, "vendor": of["brand"], "properties": [], "tax_lines": [],
    }  # fmt: skip


def order(**changes: Any) -> dict[str, Any]:
    """The body of orders/create."""
    return {
        "id": PURCHASE["order"], "admin_graphql_api_id": "gid://shopify/Order/8209",
        "browser_ip": "203.0.113.7", "buyer_accepts_marketing": True, "cancel_reason": None,
        "cancelled_at": None, "cart_token": "68778783ad298f1c80c3bafcddeea02f",
        "checkout_token": "bd5a8aa1ecd019dd3520ff791ee3a24c", "confirmed": True,
        "created_at": PURCHASE["at"], "currency": "EUR", "current_total_price": "215.75",
        "customer": {"id": JOURNEY["user_id"], "email": "shopper@example.com"},
        "email": "shopper@example.com", "financial_status": "pending", "name": "#9999",
        "line_items": [line(*each) for each in PURCHASE["lines"]], "note": None, "number": 234,
        "order_number": 1234, "processed_at": PURCHASE["at"], "source_name": "web", "test": False,
        "total_price": "215.75", "updated_at": PURCHASE["at"], "user_id": 548380009,
        "refunds": [],
    } | changes  # fmt: skip


def cart(**changes: Any) -> dict[str, Any]:
    """The body of carts/update."""
    token = "68778783ad298f1c80c3bafcddeea02f"
    return {
        "id": token, "token": token, "note": None, "updated_at": "2025-11-24T09:02:00.500Z",
        "created_at": "2025-11-24T09:02:00.000Z",
        "line_items": [{**line("shoe", 2), "key": "39072856:1", "line_price": "179.00"}],
    } | changes  # fmt: skip


def checkout(**changes: Any) -> dict[str, Any]:
    """The body of checkouts/create."""
    return {
        "id": 981820079255243500, "token": "123123123", "cart_token": cart()["token"],
        "email": None, "created_at": "2025-11-24T09:08:30Z", "updated_at": "2025-11-24T09:08:30Z",
        "completed_at": None, "line_items": cart()["line_items"],
        "abandoned_checkout_url": "https://checkout.shop.example/1", "total_price": "179.00",
        "customer": {"id": JOURNEY["user_id"]},
    } | changes  # fmt: skip


def refund() -> dict[str, Any]:
    """The body of refunds/create."""
    return {
        "id": 890088186047892300, "order_id": 820982911946154500, "note": "Things were damaged",
        "created_at": PURCHASE["at"], "processed_at": PURCHASE["at"], "user_id": 548380009,
        "refund_line_items": [{"id": 1, "quantity": 1, "line_item": line("shoe", 1)}],
        "transactions": [],
    }  # fmt: skip
