"""Snowplow's enriched events in each form, and the schemas that are read of them."""

import json
from typing import Any

import pytest

from stream_persona.domain.events import get_event_time
from stream_persona.domain.mapping.documents import MappedDocument, decode_document, map_document
from stream_persona.errors import DecodeError
from tests.support.foreign.presets import captured, preset
from tests.support.foreign.snowplow_events import ACTION, PRODUCT, SEARCH

OWN = "com.snowplowanalytics.snowplow"
PRODUCTS = "contexts_com_snowplowanalytics_snowplow_ecommerce_product_1"
ACTIONS = "unstruct_event_com_snowplowanalytics_snowplow_ecommerce_snowplow_ecommerce_action_1"
SHOE = {"id": "P", "category": "Shoes", "price": "12.50", "currency": "EUR"}


def event(**fields: Any) -> dict[str, Any]:
    return {
        "event": "unstruct", "event_id": "e", "user_id": "c", "domain_userid": "d",
        "network_userid": "n", "collector_tstamp": "2025-11-24T09:00:05.000Z",
        "derived_tstamp": "2025-11-24T09:00:00.000Z",
        "event_vendor": f"{OWN}.ecommerce", "event_name": "snowplow_ecommerce_action",
    } | fields  # fmt: skip


def shredded(kind: str = "product_view", *products: Any, **fields: Any) -> dict[str, Any]:
    return event(**{ACTIONS: {"type": kind}, PRODUCTS: list(products)}, **fields)


def raw(schema: str, data: Any, *entities: tuple[str, Any], **fields: Any) -> dict[str, Any]:
    described = {"schema": f"iglu:{OWN}/unstruct_event/jsonschema/1-0-0",
                 "data": {"schema": schema, "data": data}}  # fmt: skip
    contexts = [{"schema": name, "data": each} for name, each in entities]
    outer = {"schema": f"iglu:{OWN}/contexts/jsonschema/1-0-0", "data": contexts}
    return event(unstruct_event=described, contexts=outer, **fields)


def read(document: object) -> MappedDocument:
    return map_document(preset("snowplow"), document)


def only(document: object) -> Any:
    ((_, found),) = read(document).events
    return found


@pytest.mark.parametrize(
    ("fields", "customer"),
    [({}, "c"), ({"user_id": None}, "d"), ({"user_id": "", "domain_userid": None}, "n"),
     ({"user_id": None, "domain_userid": None, "network_userid": None}, "")],
)  # fmt: skip
def test_the_customer_is_the_user_and_else_a_cookie(fields: dict[str, Any], customer: str) -> None:
    assert only(shredded("product_view", SHOE, **fields)).customer_id == customer


@pytest.mark.parametrize(
    "fields",
    [{}, {"derived_tstamp": "2025-11-24 09:00:00.000"}, {"derived_tstamp": "2025-11-24T09:00:00"},
     {"derived_tstamp": "2025-11-24 09:00:00.000 UTC"},
     {"derived_tstamp": None, "collector_tstamp": "2025-11-24 09:00:00"}],
)  # fmt: skip
def test_times_are_derived_and_without_an_offset_utc(fields: dict[str, Any]) -> None:
    assert get_event_time(only(shredded("product_view", SHOE, **fields))) == 1_763_974_800_000


def test_all_forms_of_an_event_are_read_alike() -> None:
    nested = raw(ACTION, {"type": "product_view"}, ("iglu:com.shop/x/jsonschema/1-0-0", {}),
                 (PRODUCT, SHOE))  # fmt: skip
    texts = {name: json.dumps(nested[name]) for name in ("unstruct_event", "contexts")}
    columns = shredded("product_view", SHOE)
    texts_of_columns = {name: json.dumps(columns[name]) for name in (ACTIONS, PRODUCTS)}
    forms = [columns, nested, {**nested, **texts}, {**columns, **texts_of_columns}]
    assert {only(form) for form in forms} == {only(forms[0])}
    assert only(nested).product.price == 12.5


def test_the_line_of_an_enriched_event_is_a_document() -> None:
    line, transformed = captured("snowplow-tsv")[1], captured("snowplow-sdk")[1]
    assert read(decode_document(line.encode())) == read(line) == read(transformed)


def test_json_that_is_indented_by_tabs_is_no_line() -> None:
    value = json.dumps(shredded("product_view", SHOE), indent="\t" * 10).encode()
    assert value.count(b"\t") > 131
    assert read(decode_document(value)) == read(shredded("product_view", SHOE))


def test_several_products_are_an_event_each() -> None:
    found = read(shredded("add_to_cart", SHOE, {**SHOE, "id": "Q"})).events
    assert [(e.event_id, e.product.product_id) for _, e in found] == [("e", "P"), ("e #1", "Q")]


def test_older_schemas_of_carts_and_the_search_are_read() -> None:
    cart = f"iglu:{OWN}/add_to_cart/jsonschema/1-0-0"
    added = only(raw(cart, {"sku": "S", "name": "N", "unitPrice": 3, "quantity": 2}))
    assert (added.action, added.product.product_id) == ("add_to_cart", "S")
    assert (added.product.price, added.product.quantity) == (3.0, 2.0)
    removed = only(raw(cart.replace("add_to", "remove_from"), {"sku": "S", "quantity": 1}))
    assert removed.action == "remove_from_cart"
    assert only(raw(SEARCH, {"terms": ["dog", "food"]})).query == "dog food"


def test_an_item_of_a_classic_transaction_is_a_purchase_that_names_no_order() -> None:
    item = {"ti_orderid": "O", "ti_sku": "S", "ti_category": "Shoes", "ti_price": "9.5",
            "ti_quantity": "2"}  # fmt: skip
    order = only(event(event="transaction_item", **item))
    assert order.order_id is None
    assert (order.items[0].product_id, order.items[0].price, order.items[0].quantity) == (
        "S", 9.5, 2.0,
    )  # fmt: skip
    assert read(event(event="transaction")).left_out == {"not_of_interest": 1}


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (event(event="page_view", event_vendor=OWN), "not_of_interest"),
        (event(event="page_ping"), "not_of_interest"),
        (event(event="struct", event_vendor="com.google.analytics"), "unknown_event"),
        (event(event_vendor="com.shop", event_name="x"), "unknown_event"),
        (raw("iglu:com.shop/x/jsonschema/1-0-0", {}), "unknown_event"),
        (raw(f"iglu:{OWN}/link_click/jsonschema/1-0-1", {}), "not_of_interest"),
        (shredded("list_view", *[SHOE] * 10), "not_of_interest"),
        (shredded("product_view", SHOE, SHOE), "not_of_interest"),
        (shredded("checkout_step"), "not_of_interest"),
        (shredded("refund", SHOE), "not_bought"),
        (shredded("something_new"), "unknown_event"),
    ],
)
def test_other_events_are_left_out_and_counted(document: dict[str, Any], reason: str) -> None:
    found = read(document)
    assert (found.events, found.left_out) == ((), {reason: 1})


@pytest.mark.parametrize(
    ("place", "document"),
    [
        ("event_id", {"page": 1}),
        ("event_id", shredded("product_view", SHOE, event_id=None)),
        ("derived_tstamp", shredded("product_view", SHOE, derived_tstamp="soon")),
        ("contexts.product[0].price", shredded("product_view", {**SHOE, "price": "dear"})),
        ("contexts.product[0].id", shredded("transaction", {"price": 1})),
        ("contexts.product", shredded("transaction")),
        ("unstruct_event", event(unstruct_event="{")),
        ("contexts.product", event(**{ACTIONS: {"type": "product_view"}, PRODUCTS: SHOE})),
        (PRODUCTS, event(**{ACTIONS: {"type": "product_view"}, PRODUCTS: "["})),
        ("unstruct_event_snowplow_ecommerce_action", event(**{ACTIONS: [{"type": "refund"}]})),
        ("unstruct_event.terms", raw(SEARCH, {"terms": [1]})),
    ],
)
def test_a_wrong_field_is_named_as_the_document_has_it(place: str, document: object) -> None:
    with pytest.raises(DecodeError) as caught:
        read(document)
    assert f"`$.{place}`" in caught.value.detail


@pytest.mark.parametrize("version", ["_1", "_1_0_0", "_1_0_2", "_1_recovered_1_0_1_9fd3"])
def test_keys_may_have_the_whole_version_of_a_schema(version: str) -> None:
    def versioned(document: dict[str, Any]) -> dict[str, Any]:
        return {
            key.removesuffix("_1") + version if key.startswith(("unstruct_", "contexts_")) else key:
            value for key, value in document.items()
        }  # fmt: skip

    contexts = "contexts_com_snowplowanalytics_snowplow_ecommerce"
    bought = shredded("transaction", SHOE, **{f"{contexts}_transaction_1": [{"transaction_id": 7}]})
    promoted = shredded("promo_click", **{f"{contexts}_promotion_1": [{"name": "spring"}]})
    for document in (shredded("product_view", SHOE), bought, promoted):
        assert read(versioned(document)) == read(document)
        assert read(document).events


def test_columns_of_other_versions_are_empty_in_a_row_of_a_warehouse() -> None:
    document = shredded("product_view", SHOE)
    empty = {f"{ACTIONS}_0_0": None, f"{ACTIONS}_0_2": document.pop(ACTIONS), f"{PRODUCTS}_0_0": []}
    assert read({**document, **empty}) == read(shredded("product_view", SHOE))


def test_a_cart_of_a_warehouse_has_its_price_by_the_name_of_a_column() -> None:
    key = "unstruct_event_com_snowplowanalytics_snowplow_add_to_cart_1_0_0"
    cart = {"sku": "S", "unit_price": 3, "quantity": 2}
    assert only(event(**{key: cart})).product.price == 3.0
    with pytest.raises(DecodeError, match="unit_price"):
        read(event(**{key: {**cart, "unit_price": "dear"}}))


@pytest.mark.parametrize(
    "document",
    [
        event(**{ACTIONS.removesuffix("1") + "2": {"type": "transaction"}, PRODUCTS: [SHOE]}),
        raw(ACTION.replace("1-0-2", "2-0-0"), {"type": "transaction"}, (PRODUCT, SHOE)),
        event(), event(event_vendor=OWN, event_name="site_search"),
    ],
)  # fmt: skip
def test_what_is_read_in_another_form_is_not_taken_for_unimportant(
    document: dict[str, Any],
) -> None:
    found = read(document)
    assert (found.events, found.left_out) == ((), {"unknown_event": 1})


SESSION = "contexts_com_snowplowanalytics_snowplow_client_session_1"


@pytest.mark.parametrize(
    ("fields", "customer"),
    [({}, "c"), ({"user_id": None}, "d"), ({"user_id": None, "domain_userid": None}, "device")],
)
def test_an_app_is_known_by_its_device_before_the_collectors_cookie(
    fields: dict[str, Any], customer: str
) -> None:
    session = {"userId": "device", "sessionId": "s", "sessionIndex": 1}
    document = shredded("product_view", SHOE, **{SESSION: [session]}, **fields)
    assert only(document).customer_id == customer
    entities = ((f"iglu:{OWN}/client_session/jsonschema/1-0-2", session), (PRODUCT, SHOE))
    assert only(raw(ACTION, {"type": "product_view"}, *entities, **fields)) == only(document)


ROBOTS = {
    "contexts_com_iab_snowplow_spiders_and_robots_1": {"spiderOrRobot": True},
    "contexts_com_iab_snowplow_spiders_and_robots_1_0_0": {"spider_or_robot": True},
    "contexts_nl_basjes_yauaa_context_1": {"deviceClass": "Robot Mobile"},
    "contexts_com_snowplowanalytics_snowplow_bot_detection_1": {"bot": True},
    "contexts_com_snowplowanalytics_snowplow_client_side_bot_detection_1": {"bot": True},
}


@pytest.mark.parametrize("key", ROBOTS)
def test_what_a_robot_did_is_left_out_and_counted(key: str) -> None:
    for kind in ("product_view", "add_to_cart"):
        found = read(shredded(kind, SHOE, **{key: [ROBOTS[key]]}))
        assert (found.events, found.left_out) == ((), {"robot": 1})
    said = {name: False if value is True else "Phone" for name, value in ROBOTS[key].items()}
    assert read(shredded("product_view", SHOE, **{key: [said]})).events


def test_a_robot_is_known_by_what_enrichments_add_to_an_event_and_by_its_older_type() -> None:
    added = {"schema": "iglu:com.iab.snowplow/spiders_and_robots/jsonschema/1-0-0",
             "data": {"spiderOrRobot": True}}  # fmt: skip
    viewed = raw(ACTION, {"type": "product_view"}, (PRODUCT, SHOE))
    outer = {"schema": f"iglu:{OWN}/contexts/jsonschema/1-0-1", "data": [added]}
    for derived in (outer, json.dumps(outer)):
        assert read({**viewed, "derived_contexts": derived}).left_out == {"robot": 1}
    assert read({**viewed, "br_type": "Robot"}).left_out == {"robot": 1}
    assert read({**viewed, "br_type": "Browser"}).events
