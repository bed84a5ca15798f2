"""Shopify's webhooks: orders, checkouts, carts and refunds, recognised by their fields.

Which webhook it was stands in a header that no body has. All three of an order name the order, so
that it counts once, as it is when it comes first. A cart comes whole with each change: each of its
lines counts once, as put into the cart, and so do those of the checkout that it becomes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from stream_persona.domain.anomaly import Anomaly
from stream_persona.domain.events import BROWSE, MAX_ITEMS, PURCHASE
from stream_persona.domain.mapping.drafts import EventDraft
from stream_persona.domain.mapping.values import (
    choose_customer,
    convert_number,
    convert_text,
    convert_time,
    find_first_text,
    find_inner,
    join_id,
    read_items,
    read_name,
    require_list,
    require_object,
)

if TYPE_CHECKING:
    from stream_persona.domain.identity import NobodyIds
    from stream_persona.domain.mapping.drafts import Findings

#: Any of these makes a body with lines an order.
_OF_ORDERS: Final = frozenset({"order_number", "financial_status", "order_status_url"})
_FALSE: Final = (None, False, "", "false", "False")
_NOT_PAID: Final = frozenset({"refunded", "voided", "expired"})

_NAMES: Final = {
    "event_id": "id", "customer_id": "customer.id", "items": "line_items", "order_id": "id",
    "product": "line_items[]", ".category": "product_type", ".brand": "vendor",
}  # fmt: skip
_ORDER_NAMES: Final = {**_NAMES, "occurred_at": "processed_at"}
_CART_NAMES: Final = {**_NAMES, "occurred_at": "updated_at", "event_id": "token"}


def read_shopify(document: object, nobody: NobodyIds, arrived_at: int | None = None) -> Findings:
    """Read the body of a webhook."""
    body = require_object(document, "$")
    # Formats with schemas have all fields of all webhooks, and nothing in most.
    has = {name for name, value in body.items() if value is not None and value != ""}
    if "line_items" in body and has & _OF_ORDERS:
        yield _read_order(body, nobody)
    elif "refund_line_items" in has:
        yield Anomaly.NOT_BOUGHT
    elif "line_items" not in has or "invoice_url" in has:  # a draft has an invoice, no order
        yield Anomaly.UNKNOWN_EVENT
    elif "token" in has:
        yield from _read_cart(body, nobody)
    else:
        yield Anomaly.UNKNOWN_EVENT


def _read_order(body: Mapping[str, Any], nobody: NobodyIds) -> EventDraft | Anomaly:
    is_paid = read_name(body.get("financial_status")).lower() not in _NOT_PAID
    is_test = body.get("test") not in _FALSE
    # Formats with schemas have an empty text where nothing is set.
    if is_test or convert_text(body.get("cancelled_at")) is not None or not is_paid:
        return Anomaly.NOT_BOUGHT
    order = convert_text(body.get("id"))
    fields = {
        "event_id": order and join_id("order", order, convert_text(body.get("updated_at"))),
        "customer_id": _find_customer(body, nobody),
        "occurred_at": convert_time(body.get("processed_at"))
        or convert_time(body.get("created_at")),
        "items": read_items(body.get("line_items"), _read_item),
        "order_id": order,
    }
    return EventDraft(PURCHASE, fields, "$", _ORDER_NAMES)


def _read_cart(body: Mapping[str, Any], nobody: NobodyIds) -> Findings:
    """Read each line of a cart or checkout; an empty one is none."""
    token = find_first_text(body, ("cart_token", "token"))
    lines = require_list(body.get("line_items"), "$.line_items", MAX_ITEMS)
    if not lines:
        yield Anomaly.NOT_OF_INTEREST
    for index, line in enumerate(lines):
        ids = find_inner({"line": line}, "line")
        own = find_first_text(ids, ("variant_id", "product_id", "sku", "title")) or index
        fields = {
            "event_id": token and join_id("cart", token, own),
            "customer_id": _find_customer(body, nobody),
            "occurred_at": convert_time(body.get("updated_at"))
            or convert_time(body.get("created_at")),
            "action": "add_to_cart",
            "product": _read_item(line),
        }
        yield EventDraft(BROWSE, fields, "$", _CART_NAMES, index)


def _find_customer(body: Mapping[str, Any], nobody: NobodyIds) -> Any:
    """Return the customer's number; a guest is nobody, whatever else is known of the buyer."""
    return choose_customer((find_inner(body, "customer").get("id"),), nobody)


def _read_item(line: Any) -> Any:
    if not isinstance(line, dict):
        return line
    item = {
        "product_id": find_first_text(line, ("product_id", "sku", "title")),
        "category": convert_text(line.get("product_type")),
        "brand": convert_text(line.get("vendor")),
        "price": convert_number(line.get("price")),
    }
    # What was removed or given back since the order was placed is no more in the current one.
    current = line.get("current_quantity")
    quantity = convert_number(line.get("quantity") if current is None else current)
    if quantity is not None:
        item["quantity"] = quantity
    return item
