"""Shopify's webhooks: each is told by its body, an order counts once, a line of a cart too."""

from typing import Any

import pytest

from stream_persona.domain.events import get_event_time
from stream_persona.domain.mapping.documents import MappedDocument, map_document
from stream_persona.errors import DecodeError
from stream_persona.testing.shop import MemoryShop
from tests.support.foreign.presets import USER, preset
from tests.support.foreign.shopify_webhooks import cart, checkout, line, order, refund


def read(document: object) -> MappedDocument:
    return map_document(preset("shopify"), document)


def only(document: object) -> Any:
    ((_, event),) = read(document).events
    return event


def test_an_order_is_a_purchase_of_its_customer() -> None:
    found = only(order(id=450789469, customer={"id": 207119551}))
    assert (found.customer_id, found.order_id) == ("207119551", "450789469")
    assert get_event_time(found) == 1_763_975_340_000
    assert [(item.brand, item.price, item.quantity) for item in found.items] == [
        ("Fleet", 89.5, 2.0), ("Bello", 12.25, 3.0),
    ]  # fmt: skip


@pytest.mark.parametrize("customer", [None, {}, {"email": "a@b.example"}])
def test_a_guest_is_nobody_whatever_else_is_known(customer: object) -> None:
    assert only(order(customer=customer)).customer_id == ""


def test_the_webhooks_of_one_order_count_once() -> None:
    shop = MemoryShop()
    later = {"updated_at": "2025-11-24T09:30:00Z", "financial_status": "paid"}
    for body in (order(), order(), order(**later), order(**later, line_items=[line("shoe", 1)])):
        shop.apply(only(body))
    assert shop.client().get(USER).evidence == evidence_of(only(order()))
    ids = [only(order()).event_id, only(order(**later)).event_id]
    assert len(set(ids)) == 2


def evidence_of(event: Any) -> float:
    shop = MemoryShop()
    shop.apply(event)
    return shop.client().get(USER).evidence


@pytest.mark.parametrize(
    "changes",
    [{"test": True}, {"cancelled_at": "2025-11-24T10:00:00Z"}, {"financial_status": "refunded"},
     {"financial_status": "voided"}, {"financial_status": "expired"}, {"test": "true"},
     {"financial_status": "REFUNDED"}],
)  # fmt: skip
def test_what_was_not_bought_is_left_out_and_counted(changes: dict[str, Any]) -> None:
    found = read(order(**changes))
    assert (found.events, found.left_out) == ((), {"not_bought": 1})


def test_a_refund_is_no_purchase() -> None:
    found = read(refund())
    assert (found.events, found.left_out) == ((), {"not_bought": 1})


@pytest.mark.parametrize("status", ["pending", "authorized", "paid", "partially_refunded", None])
def test_an_order_counts_when_it_is_placed(status: str | None) -> None:
    assert only(order(financial_status=status)).order_id


def test_a_custom_line_has_the_sku_or_the_title_for_an_id() -> None:
    lines = [{**line("shoe", 1), "product_id": None},
             {**line("shoe", 1), "product_id": None, "sku": ""}]  # fmt: skip
    found = only(order(line_items=lines))
    assert [item.product_id for item in found.items] == ["sku-RUN-1", "Fleet 3"]


def test_an_imported_order_is_of_the_day_when_it_was_placed() -> None:
    body = order(created_at="2026-01-01T00:00:00Z", processed_at="2025-11-24T10:00:00+01:00")
    assert get_event_time(only(body)) == 1_763_974_800_000
    assert get_event_time(only({**body, "processed_at": None})) == 1_767_225_600_000


def test_a_line_of_a_cart_counts_once_and_so_does_that_of_its_checkout() -> None:
    known = {"customer": {"id": USER}}
    added = only(cart(**known))
    assert (added.customer_id, added.action, added.product.product_id) == (
        USER, "add_to_cart", "RUN-1",
    )  # fmt: skip
    more = {**line("food", 1), "variant_id": 2}
    grown = read(cart(**known, updated_at="2025-11-24T09:10:00Z",
                      line_items=[line("shoe", 3), more])).events  # fmt: skip
    assert grown[0][1].event_id == added.event_id != grown[1][1].event_id
    assert only(checkout()).event_id == added.event_id


def test_a_cart_without_a_customer_is_nobodys() -> None:
    assert only(cart()).customer_id == ""


@pytest.mark.parametrize(
    ("document", "reason"),
    [(cart(line_items=[]), "not_of_interest"), ({"id": 1, "email": "a@b.example"}, "unknown_event"),
     ({"id": 1, "line_items": [], "invoice_url": "https://x"}, "unknown_event"),
     ({**cart(), "invoice_url": "https://x", "name": "#D1", "status": "open"}, "unknown_event"),
     ({"order_edit": {"order_id": 1, "line_items": {"additions": []}}}, "unknown_event"),
     ({"id": 1, "order_id": 2, "status": "success", "line_items": [line("shoe", 1)]},
      "unknown_event")],
)  # fmt: skip
def test_other_webhooks_are_left_out_and_counted(document: object, reason: str) -> None:
    found = read(document)
    assert (found.events, found.left_out) == ((), {reason: 1})


@pytest.mark.parametrize(
    ("place", "document"),
    [
        ("id", order(id=None)), ("processed_at", order(processed_at="soon")),
        ("line_items", order(line_items=[])), ("line_items", cart(line_items={})),
        ("line_items[0].price", order(line_items=[{**line("shoe", 1), "price": "1,5"}])),
        ("customer.id", order(customer={"id": "a\x00b"})),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named_as_the_document_has_it(place: str, document: object) -> None:
    with pytest.raises(DecodeError) as caught:
        read(document)
    assert f"`$.{place}`" in caught.value.detail


def test_what_a_format_leaves_empty_says_nothing_of_an_order() -> None:
    empty = {"cancelled_at": "", "test": "", "financial_status": ""}
    assert only(order(**empty)) == only(order(financial_status=None))
    unused = {"refund_line_items": [], "token": "t", "invoice_url": ""}
    assert only(order(**unused)) == only(order())
    nothing = dict.fromkeys(("order_number", "financial_status", "order_status_url"))
    assert read({**refund(), **nothing}).left_out == {"not_bought": 1}
    assert only({**cart(), **nothing, "refund_line_items": None}) == only(cart())


def test_what_was_given_back_before_an_order_comes_is_not_bought() -> None:
    lines = [{**line("shoe", 2), "current_quantity": 1}, {**line("food", 3), "current_quantity": 0},
             {**line("shoe", 1), "current_quantity": None}]  # fmt: skip
    items = only(order(financial_status="partially_refunded", line_items=lines)).items
    assert [(item.quantity, item.is_returned) for item in items] == [
        (1.0, False), (0.0, True), (1.0, False),
    ]  # fmt: skip
