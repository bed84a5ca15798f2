"""Segment's and RudderStack's calls: whose, when, which, and what is left out of them."""

from typing import Any

import pytest

from stream_persona.domain.events import get_event_time
from stream_persona.domain.mapping.documents import MappedDocument, map_document
from stream_persona.errors import DecodeError
from tests.support.foreign.presets import preset

AT, AT_MS = "2025-11-24T09:00:00Z", 1_763_974_800_000


def track(event: str, properties: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    call = {
        "type": "track", "event": event, "messageId": "m-1", "userId": "c-1", "timestamp": AT,
        "properties": properties or {},
    }  # fmt: skip
    return {name: value for name, value in (call | fields).items() if value is not ...}


def read(document: object) -> MappedDocument:
    return map_document(preset("segment"), document)


def only(document: object) -> Any:
    ((_, event),) = read(document).events
    return event


def view(**fields: Any) -> dict[str, Any]:
    return track("Product Viewed", {"product_id": "P"}, **fields)


@pytest.mark.parametrize(
    ("fields", "customer"),
    [
        ({"userId": "c", "anonymousId": "a"}, "c"),
        ({"userId": None, "anonymousId": "a"}, "a"),
        ({"userId": ..., "anonymousId": "a"}, "a"),
        ({"userId": "", "anonymousId": "a"}, "a"),
        ({"userId": "undefined", "anonymousId": "a"}, "a"),
        ({"userId": "guest", "anonymousId": None}, "guest"),
        ({"userId": 4711}, "4711"),
        ({"userId": None, "anonymousId": None}, ""),
    ],
)
def test_the_customer_is_the_user_and_else_the_anonymous_one(
    fields: dict[str, Any], customer: str
) -> None:
    assert only(view(**fields)).customer_id == customer


EARLIER = "2025-11-24T08:59:57Z"
LATER = "2025-11-24T09:00:05Z"


@pytest.mark.parametrize(
    ("fields", "at"),
    [
        ({}, AT_MS),
        ({"originalTimestamp": EARLIER, "sentAt": LATER, "receivedAt": LATER}, AT_MS),
        ({"timestamp": "2025-11-24T10:00:00+01:00"}, AT_MS),
        ({"timestamp": 1_763_974_800}, AT_MS), ({"timestamp": "1763974800000"}, AT_MS),
        ({"timestamp": ..., "originalTimestamp": EARLIER}, AT_MS - 3_000),
        # The client's clock: it wrote 08:59:57, sent at 09:00:00, and that was at 09:00:05.
        ({"timestamp": ..., "originalTimestamp": EARLIER, "sentAt": AT, "receivedAt": LATER},
         AT_MS + 2_000),
        ({"timestamp": ..., "originalTimestamp": AT_MS - 3_000, "sentAt": AT_MS / 1_000,
          "receivedAt": LATER}, AT_MS + 2_000),
        # Clocks that were never set: what cannot be corrected is as it was written.
        ({"timestamp": ..., "originalTimestamp": "9999-12-31T23:00:00Z",
          "sentAt": "0001-01-01T00:00:00Z", "receivedAt": LATER}, 253_402_297_200_000),
        ({"timestamp": ..., "sentAt": AT, "receivedAt": LATER}, AT_MS),
        ({"timestamp": None, "originalTimestamp": None, "sentAt": None, "receivedAt": AT}, AT_MS),
    ],
)  # fmt: skip
def test_the_time_is_the_corrected_one_or_is_corrected(fields: dict[str, Any], at: int) -> None:
    assert get_event_time(only(view(**fields))) == at


@pytest.mark.parametrize("digits", ["20251124", "20251124090000", "202511240900", "1"])
def test_digits_that_may_be_a_date_are_no_time(digits: str) -> None:
    with pytest.raises(DecodeError, match=r"`\$\.timestamp`"):
        read(view(timestamp=digits))


def test_a_call_that_names_no_time_is_of_its_arrival() -> None:
    for document in (view(timestamp=...), {"batch": [view(timestamp=...)]}):
        ((_, event),) = map_document(preset("segment"), document, arrived_at=AT_MS).events
        assert get_event_time(event) == AT_MS
        with pytest.raises(DecodeError, match=r"\.timestamp`"):
            read(document)


def test_a_batch_says_when_it_was_sent() -> None:
    document = {"batch": [view(timestamp=...)], "sentAt": AT}
    assert get_event_time(only(document)) == AT_MS


@pytest.mark.parametrize(
    ("product", "product_id"),
    [
        ({"product_id": "P", "sku": "S"}, "P"), ({"sku": "S", "name": "N"}, "S"),
        ({"id": 12}, "12"), ({"product_id": 4711}, "4711"), ({"product_id": "", "sku": "S"}, "S"),
    ],
)  # fmt: skip
def test_a_product_has_the_id_of_any_spelling(product: dict[str, Any], product_id: str) -> None:
    assert only(track("Product Added", product)).product.product_id == product_id


@pytest.mark.parametrize(
    ("given", "price"), [("12.50", 12.5), (12, 12.0), (" 3 ", 3.0), ("", None), (None, None)]
)
def test_money_in_texts_is_a_number(given: object, price: float | None) -> None:
    order = track("Order Completed", {"products": [{"sku": "S", "price": given, "quantity": "2"}]})
    (item,) = only(order).items
    assert (item.price, item.quantity) == (price, 2.0)


@pytest.mark.parametrize("given", ["12,50", "EUR 12", "nan", "Infinity", "1_000", True, [1], {}])
def test_what_is_no_number_is_refused_by_its_own_name(given: object) -> None:
    order = track("Order Completed", {"products": [{"sku": "S"}, {"sku": "S", "price": given}]})
    with pytest.raises(DecodeError, match=r"at `\$\.properties\.products\[1\]\.price`"):
        read(order)


WRONG = {
    "messageId": view(messageId=...),
    "properties.products[0].price": track("Product Added", {"products": [
        {"sku": "S", "price": "x"},
    ]}),
    "userId": view(userId="x "),
    "timestamp": view(timestamp="yesterday"),
    "properties.product_id": track("Product Viewed", {"name": None}),
    "properties.products": track("Order Completed", {"products": []}),
    "properties.products[0]": track("Order Completed", {"products": ["P"]}),
    "properties.products[0].category": track("Order Completed", {"products": [
        {"sku": "S", "category": ["a"]},
    ]}),
    "properties": track("Products Searched", properties=["query"]),
    "type": {"type": None, "userId": "c"},
    "event": {**view(), "event": None},
    "properties.query": track("Products Searched", {"query": "x" * 1_025}),
    "properties.products[1].price": track("Wishlist Product Added to Cart", {"products": [
        {"sku": "S"}, {"sku": "S", "price": "x"},
    ]}),
}  # fmt: skip


def fault_of(document: object) -> DecodeError:
    try:
        return read(document).faults[0]
    except DecodeError as error:
        return error


@pytest.mark.parametrize(("place", "document"), WRONG.items())
def test_a_wrong_field_is_named_as_the_document_has_it(place: str, document: object) -> None:
    assert f"`$.{place}`" in fault_of(document).detail


def test_a_wrong_call_of_a_batch_spoils_no_other() -> None:
    wrong = [view(messageId=None), "text", view(userId="x\x00")]
    found = read({"batch": [view(), *wrong, view(messageId="m-2")]})
    assert [event.event_id for _, event in found.events] == ["m-1", "m-2"]
    assert [fault.reason for fault in found.faults] == [
        "invalid_field", "invalid_field", "invalid_id",
    ]  # fmt: skip
    assert "`$.batch[1].messageId`" in found.faults[0].detail
    assert "`$.batch[2]`" in found.faults[1].detail


def test_a_batch_of_which_nothing_is_right_is_an_error() -> None:
    with pytest.raises(DecodeError, match="messageId"):
        read({"batch": [view(messageId=None), track("Order Refunded")]})


@pytest.mark.parametrize(
    "name",
    ["Order Completed", "order completed", "order_completed", " ORDER  COMPLETED ",
     "Completed Order"],
)  # fmt: skip
def test_a_name_is_known_in_any_spelling(name: str) -> None:
    order = only(track(name, {"order_id": "O", "products": [{"sku": "S"}]}))
    assert (order.order_id, len(order.items)) == ("O", 1)


def test_an_added_list_of_products_is_one_event_for_each() -> None:
    found = read(track("Product Added", {"products": [{"sku": "S"}, {"sku": "T", "price": "1"}]}))
    products = [(event.event_id, event.product.product_id) for _, event in found.events]
    assert products == [("m-1", "S"), ("m-1 #1", "T")]


LEFT_OUT = {
    "Product List Viewed": "not_of_interest", "Product Clicked": "not_of_interest",
    "Checkout Started": "not_of_interest", "Coupon Entered": "not_of_interest",
    "Order Refunded": "not_bought", "Order Cancelled": "not_bought",
    "Video Played": "unknown_event",
}  # fmt: skip


@pytest.mark.parametrize(("name", "reason"), LEFT_OUT.items())
def test_other_events_are_left_out_and_counted(name: str, reason: str) -> None:
    listed = {"products": [{"product_id": str(n)} for n in range(10)]}
    found = read(track(name, listed))
    assert (found.events, found.left_out) == ((), {reason: 1})


@pytest.mark.parametrize(
    ("call", "reason"),
    [({"type": "page"}, "not_of_interest"), ({"type": "screen"}, "not_of_interest"),
     ({"type": "group"}, "not_of_interest"), ({"type": "merge"}, "not_of_interest"),
     ({"type": "new"}, "unknown_event"),
     ({"type": "identify", "userId": "c"}, "not_of_interest"),
     ({"type": "identify", "userId": "c", "anonymousId": "c"}, "not_of_interest"),
     ({"type": "alias", "userId": "c", "previousId": None}, "not_of_interest"),
     ({"type": "alias", "userId": "c", "previousId": "undefined"}, "nobody")],
)  # fmt: skip
def test_other_calls_are_left_out_and_counted(call: dict[str, Any], reason: str) -> None:
    found = read({"messageId": "m", "timestamp": AT, **call})
    assert (found.events, found.links, found.left_out) == ((), (), {reason: 1})


@pytest.mark.parametrize(
    ("call", "place"),
    [({"type": "alias", "userId": "c", "previousId": "a "}, "blanks at an end"),
     ({"type": "identify", "userId": "c", "anonymousId": ["a"]}, "as texts"),
     ({"type": "identify", "userId": "c", "anonymousId": "a", "messageId": None}, "as texts"),
     ({"type": "identify", "userId": "c", "anonymousId": "a", "timestamp": "?"}, "no time")],
)  # fmt: skip
def test_a_wrong_link_is_an_error(call: dict[str, Any], place: str) -> None:
    with pytest.raises(DecodeError, match=place):
        read({"messageId": "m", "timestamp": AT, **call})


def test_a_view_of_several_products_is_a_list() -> None:
    several = {"products": [{"product_id": "P"}, {"product_id": "Q"}]}
    found = read(track("Product Viewed", several))
    assert (found.events, found.left_out) == ((), {"not_of_interest": 1})
    assert only(track("Product Viewed", {"products": [{"sku": "S"}]})).product.product_id == "S"


def test_a_promotion_is_named_before_what_brought_the_visitor() -> None:
    context = {"context": {"campaign": {"name": "spring"}}}
    assert only(track("Promotion Clicked", {"name": "sofa"}, **context)).campaign == "sofa"
    mail = {"email_subject": "Hello"}
    assert only(track("Email Opened", mail, **context)).campaign == "spring"
    assert only(track("Email Opened", mail)).campaign == "Hello"


def test_the_campaign_of_the_context_stands_in_for_one_of_the_event() -> None:
    context = {"context": {"campaign": {"name": "spring", "source": "mail"}}}
    assert only(track("Email Opened", {"email_id": "e"}, **context)).campaign == "spring"
    named = track("Email Opened", {"campaign_name": "own"}, **context)
    assert only(named).campaign == "own"
    assert only(track("Push Notification Tapped", {"campaign": "p"})).campaign == "p"


def test_a_tracked_call_without_a_type_is_one_of_the_route_of_its_own() -> None:
    assert only(view(type=...)).action == "view"


@pytest.mark.parametrize(
    ("name", "reason"),
    [("OrderCompleted", ""), ("orderCompleted", ""), ("completed-order", ""),
     ("completedOrder", ""), ("Clicked Promotion", ""), ("viewed_promotion", ""),
     ("Refunded Order", "not_bought"), ("Order Canceled", "not_bought"),
     ("Clicked Product", "not_of_interest"), ("Viewed Checkout Step", "not_of_interest"),
     ("Started Order", "not_of_interest")],
)  # fmt: skip
def test_a_name_of_either_specification_is_known_as_integrations_know_it(
    name: str, reason: str
) -> None:
    found = read(track(name, {"name": "n", "products": [{"sku": "S"}]}))
    assert (len(found.events), list(found.left_out)) == ((0, [reason]) if reason else (1, []))


def test_an_order_of_the_first_specification_has_its_id() -> None:
    properties = {"orderId": "50314b8e", "products": [{"id": "507f", "sku": "45790-32"}]}
    order = only(track("Completed Order", properties))
    assert (order.order_id, order.items[0].product_id) == ("50314b8e", "45790-32")
