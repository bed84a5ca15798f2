"""GA4's rows and requests: whose, when, which, and ids where GA4 has none."""

from typing import Any

import pytest

from stream_persona.domain.events import get_event_time
from stream_persona.domain.mapping.documents import MappedDocument, map_document
from stream_persona.errors import DecodeError
from tests.support.foreign.presets import preset

AT = 1_763_974_800_000_000
ITEM = {"item_id": "P", "item_name": "Shoe"}


def row(name: str = "view_item", **fields: Any) -> dict[str, Any]:
    return {
        "event_name": name, "event_timestamp": AT, "user_pseudo_id": "a.1", "user_id": None,
        "event_params": [], "items": [ITEM],
    } | fields  # fmt: skip


def request(*events: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"client_id": "a.1", "timestamp_micros": str(AT), "events": list(events)} | fields


def asked(name: str, **params: Any) -> dict[str, Any]:
    return {"name": name, "params": params}


def read(document: object, arrived_at: int | None = None) -> MappedDocument:
    return map_document(preset("ga4"), document, arrived_at=arrived_at)


def only(document: object) -> Any:
    ((_, event),) = read(document).events
    return event


@pytest.mark.parametrize(
    ("fields", "customer"),
    [({}, "a.1"), ({"user_id": "c"}, "c"), ({"user_id": "(not set)"}, "a.1"),
     ({"user_pseudo_id": None}, "")],
)  # fmt: skip
def test_the_customer_is_the_user_and_else_the_browser(
    fields: dict[str, Any], customer: str
) -> None:
    assert only(row(**fields)).customer_id == customer


def test_an_app_has_an_instance_in_place_of_a_client() -> None:
    body = request(asked("search", search_term="dog"), client_id=None, app_instance_id="i")
    assert only(body).customer_id == "i"


@pytest.mark.parametrize("at", [AT, str(AT), float(AT)])
def test_times_are_microseconds_also_in_texts(at: object) -> None:
    assert get_event_time(only(row(event_timestamp=at))) == AT // 1_000
    assert get_event_time(only(request(asked("search"), timestamp_micros=at))) == AT // 1_000


def test_an_event_of_a_request_may_have_a_time_of_its_own() -> None:
    body = request({**asked("search"), "timestamp_micros": AT + 5_000})
    assert get_event_time(only(body)) == AT // 1_000 + 5


def test_a_request_without_a_time_is_of_its_arrival() -> None:
    body = request(asked("search"), timestamp_micros=None)
    ((_, event),) = read(body, arrived_at=AT // 1_000).events
    assert get_event_time(event) == AT // 1_000
    with pytest.raises(DecodeError, match=r"no time.*`\$\.events\[0\]\.timestamp_micros`"):
        read(body)


def test_levels_of_a_category_are_joined() -> None:
    item = {**ITEM, "item_category": "Sports", "item_category2": "Running", "item_category3": ""}
    assert only(row(items=[item])).product.category == "Sports/Running"


def test_what_is_not_set_is_nothing() -> None:
    unset = dict.fromkeys(("item_id", "item_brand", "item_category", "item_category2"), "(not set)")
    product = only(row(items=[{**ITEM, **unset}])).product
    assert (product.product_id, product.brand, product.category) == ("Shoe", None, None)
    order = only(row("purchase", ecommerce={"transaction_id": "(not set)"}))
    assert order.order_id is None


def typed(**values: Any) -> list[dict[str, Any]]:
    empty = dict.fromkeys(("string_value", "int_value", "float_value", "double_value"))
    return [{"key": key, "value": {**empty, **value}} for key, value in values.items()]


def test_parameters_are_records_of_a_key_and_a_typed_value() -> None:
    params = typed(page={"int_value": "3"}, search_term={"string_value": "dog food"})
    assert only(row("view_search_results", event_params=params)).query == "dog food"
    number = typed(search_term={"int_value": 42})
    assert only(row("search", event_params=number)).query == "42"
    assert only(row("search", event_params={"search_term": "flat"})).query == "flat"


def test_an_id_is_made_that_tells_events_apart_and_retries_not() -> None:
    numbered = {"event_bundle_sequence_id": 7, "batch_page_id": 1, "batch_ordering_id": 2}
    rows = [
        row(**numbered, batch_event_index=1), row(**numbered, batch_event_index=2),
        row(**numbered), row(**numbered, items=[{"item_id": "Q"}]), row(), row("add_to_cart"),
        row(event_timestamp=AT + 1), row(user_pseudo_id="b.2"),
    ]  # fmt: skip
    ids = [only(each).event_id for each in rows]
    assert len(set(ids)) == len(rows)
    assert ids == [only(dict(reversed(list(each.items())))).event_id for each in rows]
    as_texts = row(**{name: str(value) for name, value in numbered.items()}, batch_event_index="1")
    assert only({**as_texts, "event_timestamp": str(AT)}).event_id == ids[0]


def test_two_equal_events_of_a_request_are_two() -> None:
    body = request(asked("search", search_term="dog"), asked("search", search_term="dog"))
    first, second = (event.event_id for _, event in read(body).events)
    assert first != second
    assert [event.event_id for _, event in read(body).events] == [first, second]


def test_a_view_of_several_items_is_a_list() -> None:
    found = read(row(items=[ITEM, {"item_id": "Q"}]))
    assert (found.events, found.left_out) == ((), {"not_of_interest": 1})


def test_several_items_in_a_cart_are_an_event_each() -> None:
    found = read(row("add_to_cart", items=[ITEM, {"item_id": "Q", "quantity": "2"}])).events
    assert [event.product.product_id for _, event in found] == ["P", "Q"]
    assert found[1][1].event_id == f"{found[0][1].event_id} #1"


LEFT_OUT = {
    "view_item_list": "not_of_interest", "select_item": "not_of_interest",
    "page_view": "not_of_interest", "session_start": "not_of_interest", "refund": "not_bought",
    "begin_checkout": "not_of_interest", "my_event": "unknown_event",
}  # fmt: skip


@pytest.mark.parametrize(("name", "reason"), LEFT_OUT.items())
def test_other_events_are_left_out_and_counted(name: str, reason: str) -> None:
    for document in (row(name, items=[ITEM] * 10), request(asked(name, items=[ITEM] * 10))):
        found = read(document)
        assert (found.events, found.left_out) == ((), {reason: 1})


WRONG = {
    "event_name": row(event_name=None), "event_timestamp": row(event_timestamp="soon"),
    "items[0].price": row(items=[{**ITEM, "price": "dear"}]),
    "client_id": request(asked("search"), client_id="a\x00"),
    "items[1].price": row("purchase", items=[ITEM, {**ITEM, "price": "dear"}]),
    "items[0].item_id": row("purchase", items=[{"price": 1}]),
    "event_params": row("search", event_params="search_term"),
    "items": row("add_to_cart", items=ITEM), "events[0].params": request({**asked("search"),
                                                                          "params": ["x"]}),
    "events[0].params.items": request(asked("view_item", items=ITEM)),
    "events": {"client_id": "a", "events": {}}, "events[0]": request(None),  # type: ignore[arg-type]
    "events[0].name": request({"params": {}}),
    "events[0].params.items[0].price": request(asked("purchase", items=[{**ITEM, "price": "x"}])),
}  # fmt: skip


@pytest.mark.parametrize(
    ("place", "document"), [*WRONG.items(), ("items", row("purchase", items=[]))]
)
def test_a_wrong_field_is_named_as_the_document_has_it(place: str, document: object) -> None:
    with pytest.raises(DecodeError) as caught:
        read(document)
    assert f"`$.{place}`" in caught.value.detail


@pytest.mark.parametrize("name", ["login", "sign_up"])
def test_a_browser_that_logs_in_is_linked_with_its_user(name: str) -> None:
    logged_in = {"name": name, "params": {"method": "mail"}}
    bodies: list[Any] = [
        row(name, user_id="c", event_params=typed(method={"string_value": "mail"})),
        request(logged_in, user_id="c"),
        request(logged_in, user_id="c", client_id=None, app_instance_id="a.1"),
    ]
    for body in bodies:
        found = read(body)
        assert (found.events, found.left_out) == ((), {"identity_link": 1})
        (link,) = found.links
        assert (link.kind, link.from_id, link.into_id) == ("identify", "a.1", "c")
        assert link.occurred_at == AT // 1_000
        assert read(body).links == found.links
    assert len({read(body).links[0].message_id for body in bodies[:2]}) == 2


@pytest.mark.parametrize(
    ("fields", "reason"),
    [({}, "not_of_interest"), ({"user_id": "(not set)"}, "not_of_interest"),
     ({"user_id": "c", "user_pseudo_id": None}, "not_of_interest"),
     ({"user_id": "c", "user_pseudo_id": "c"}, "not_of_interest"),
     ({"user_id": "undefined"}, "nobody")],
)  # fmt: skip
def test_a_login_that_names_one_id_links_nothing(fields: dict[str, Any], reason: str) -> None:
    found = read(row("login", **fields))
    assert (found.events, found.links, found.left_out) == ((), (), {reason: 1})


def test_a_wrong_id_of_a_login_is_an_error() -> None:
    with pytest.raises(DecodeError, match="blanks at an end"):
        read(row("login", user_id="c "))


def test_a_promotion_that_is_not_set_hides_no_other_name() -> None:
    unset = typed(promotion_name={"string_value": "(not set)"}, campaign={"string_value": "spring"})
    assert only(row("view_promotion", event_params=unset, items=[])).campaign == "spring"
    listed = [{"promotion_name": "(not set)", "promotion_id": "sofa"}]
    assert only(row("view_promotion", items=listed)).campaign == "sofa"


@pytest.mark.parametrize("campaign", ["(organic)", "(direct)", "(referral)", "(not set)"])
def test_a_visit_that_no_campaign_brought_has_none(campaign: str) -> None:
    params = typed(campaign={"string_value": campaign})
    assert only(row("view_promotion", event_params=params, items=[])).campaign is None
