"""CloudEvents: what the envelope adds to an event of ours, or to any other preset's document."""

import base64
import json
from typing import Any

import pytest

from stream_persona.domain.events import Assignment, Deletion, get_event_time
from stream_persona.domain.mapping.cloudevents import make_envelope
from stream_persona.domain.mapping.documents import MappedDocument, map_document
from stream_persona.errors import DecodeError
from tests.support.events import event_id
from tests.support.foreign.presets import preset

AT, AT_MS = "2025-11-24T09:00:00Z", 1_763_974_800_000
SEARCH = {"customer_id": "c", "occurred_at": AT, "action": "search", "query": "dog"}


def envelope(data: Any, **fields: Any) -> dict[str, Any]:
    made = {"specversion": "1.0", "type": "shop.event", "source": "/shop", "id": "1", "time": AT}
    return {**made, "data": data} | fields


def read(document: object) -> MappedDocument:
    return map_document(preset("cloudevents"), document)


def only(document: object) -> Any:
    ((_, event),) = read(document).events
    return event


def test_the_id_is_source_and_id_whatever_the_data_says() -> None:
    again = [envelope({**SEARCH, "event_id": name}) for name in ("a", "b")]
    assert {only(each).event_id for each in again} == {"/shop 1"}
    assert only(envelope(SEARCH, source="/other")).event_id == "/other 1"
    long = [only(envelope(SEARCH, id=end * 300)).event_id for end in "xy"]
    assert len(set(long)) == 2
    assert all(len(each) <= 256 for each in long)


@pytest.mark.parametrize(
    ("data", "subject", "customer"),
    [("c", "s", "c"), (None, "s", "s"), ("", "s", "s"), ("undefined", "s", "s"), (None, None, ""),
     ("guest", None, "guest")],
)  # fmt: skip
def test_the_subject_stands_in_for_a_customer(
    data: str | None, subject: str | None, customer: str
) -> None:
    document = envelope({**SEARCH, "customer_id": data}, subject=subject)
    assert only(document).customer_id == customer


def test_the_subject_of_another_tools_document_is_nobody() -> None:
    guest = {"id": 1, "line_items": [{"product_id": 7, "quantity": 1}], "financial_status": "paid"}
    found = map_document(preset("cloudevents"), envelope(guest, subject="orders/1"))
    assert [event.customer_id for _, event in found.events] == [""]  # which is ignored, and counted


def test_the_time_of_the_data_comes_before_that_of_the_envelope() -> None:
    later = "2025-11-24T10:00:00Z"
    assert get_event_time(only(envelope(SEARCH, time=later))) == AT_MS
    assert get_event_time(only(envelope({**SEARCH, "occurred_at": None}, time=later))) > AT_MS


def test_data_may_be_encoded_or_a_text() -> None:
    encoded = base64.b64encode(json.dumps(SEARCH).encode()).decode()
    plain = only(envelope(SEARCH))
    assert only({**envelope(None), "data_base64": encoded}) == plain
    assert only(envelope(json.dumps(SEARCH))) == plain


def test_an_envelope_without_a_time_is_of_its_arrival() -> None:
    timeless = envelope({**SEARCH, "occurred_at": None}, time=None)
    ((_, event),) = map_document(preset("cloudevents"), timeless, arrived_at=AT_MS).events
    assert get_event_time(event) == AT_MS
    with pytest.raises(DecodeError, match="occurred_at"):
        read(timeless)


def test_an_event_of_ours_is_told_by_its_own_fields_first() -> None:
    assert only(envelope({**SEARCH, "line_items": [], "event_timestamp": 1})).query == "dog"
    assert only(envelope({**SEARCH, "channel": "app"})).query == "dog"
    opened = {"customer_id": "c", "occurred_at": AT, "channel": "email", "action": "open"}
    assert only(envelope(opened)).channel == "email"


def test_assignments_and_deletions_keep_the_ids_that_others_ask_for() -> None:
    deletion = only(envelope({"request_id": "r", "customer_id": "c", "requested_at": AT}))
    assert isinstance(deletion, Deletion)
    assert event_id(deletion) == "r"
    assigned = {"assignment_id": "a", "customer_id": "c", "occurred_at": AT, "persona": None}
    found = only(envelope(assigned))
    assert isinstance(found, Assignment)
    assert (event_id(found), found.persona) == ("a", None)


def test_a_batch_within_an_envelope_has_an_id_for_each_event() -> None:
    call = {"type": "track", "event": "Products Searched", "messageId": "m", "userId": "c",
            "timestamp": AT}  # fmt: skip
    alias = {"type": "alias", "userId": "c", "previousId": "a", "messageId": "n", "timestamp": AT}
    found = read(envelope({"batch": [call, {**call, "messageId": None}, alias]}))
    assert [event.event_id for _, event in found.events] == ["/shop 1", "/shop 1 #1"]
    assert [(link.from_id, link.message_id) for link in found.links] == [("a", "n")]


@pytest.mark.parametrize("data", [None, {}, {"order": "shipped"}, {"type": "warehouse", "id": 1}])
def test_data_of_no_known_shape_is_left_out_and_counted(data: Any) -> None:
    found = read(envelope(data))
    assert (found.events, found.left_out) == ((), {"unknown_event": 1})


def test_an_envelope_that_is_wrong_spoils_no_other_of_its_batch() -> None:
    found = read([envelope(SEARCH), {"id": 1}, envelope({**SEARCH, "query": 1}, id="2")])
    assert len(found.events) == 1
    assert "`$[1].specversion`" in found.faults[0].detail
    assert "`$[2].data.query`" in found.faults[1].detail


TRACK = {"type": "track", "event": "Product Viewed", "messageId": "m", "timestamp": AT}


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ({"customer_id": "c"}, "specversion"), ("text", ""), (envelope(SEARCH, id=7), "id"),
        (envelope(SEARCH, source=None), "source"), (envelope(SEARCH, id=""), "id"),
        (envelope(SEARCH, source=""), "source"),
        ({**envelope(SEARCH), "data_base64": 5}, "data_base64"),
        (envelope([SEARCH]), "data"),
        (envelope({**SEARCH, "action": "look"}), "data.action"),
        (envelope({"customer_id": "c", "occurred_at": AT}), "data"),
        (envelope({**SEARCH, "items": []}), "data.items"),
        (envelope({**TRACK, "properties": {"sku": "S", "price": "x"}}), "data.properties.price"),
        (envelope({**TRACK, "event": 5}), "data.event"),
        ({**envelope(None), "data_base64": "%%%"}, "data_base64"),
        ({**envelope(None), "data_base64": "bm8="}, None), (envelope("{"), None),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named_as_the_document_has_it(document: object, place: str | None) -> None:
    with pytest.raises(DecodeError) as caught:
        read(document)
    if place is None:
        assert caught.value.reason == "not_json"
    else:
        assert (f"`$.{place}`" if place else "`$`") in caught.value.detail


ORDER = {"customer_id": "c", "occurred_at": AT, "items": [{"product_id": "P"}]}


@pytest.mark.parametrize(
    "name",
    ["com.shop.order.cancelled", "com.shop.OrderRefunded.v1", "order-returned", "ORDER_VOID"],
)
def test_an_order_whose_type_takes_it_back_is_no_purchase(name: str) -> None:
    found = read(envelope(ORDER, type=name))
    assert (found.events, found.left_out) == ((), {"not_bought": 1})
    assert read(envelope(SEARCH, type=name)).events


@pytest.mark.parametrize("name", ["com.shop.cart.updated", "DraftOrderCreated", "wishlist_shared"])
def test_items_that_are_not_bought_yet_are_no_purchase(name: str) -> None:
    found = read(envelope(ORDER, type=name))
    assert (found.events, found.left_out) == ((), {"unknown_event": 1})


@pytest.mark.parametrize(
    "name", ["com.shop.order.placed", "OrderCompleted", "cart.purchased", "", None, 7]
)
def test_any_other_type_says_nothing_of_an_order(name: object) -> None:
    assert only(envelope(ORDER, type=name)).items


def test_an_envelope_in_headers_is_one_in_the_value() -> None:
    whole = envelope(SEARCH, subject="s", datacontenttype="application/json")
    headers = {
        f"ce_{n}": v.encode() for n, v in whole.items() if n not in {"data", "datacontenttype"}
    }
    headers |= {"content-type": b"application/json", "trace": b"\xff"}
    assert make_envelope(headers, SEARCH) == whole
    assert make_envelope({"trace": b"1"}, SEARCH) is None


def test_a_header_that_is_no_text_is_an_error() -> None:
    with pytest.raises(DecodeError, match="ce_id"):
        make_envelope({"ce_specversion": b"1.0", "ce_id": b"\xff"}, SEARCH)
    nameless = make_envelope({"ce_specversion": b"1.0", "ce_source": b"s", "ce_id": None}, SEARCH)
    with pytest.raises(DecodeError, match=r"\$\.id`"):
        read(nameless)
