"""Snowplow's enriched events: JSON as the analytics SDKs make it, as loaders do, or the line.

Read are the e-commerce schemas of ``com.snowplowanalytics.snowplow.ecommerce``, the older ones for
carts, ``site_search``, and the items of classic transactions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from stream_persona.domain.anomaly import Anomaly
from stream_persona.domain.events import BROWSE, ENGAGEMENT, MAX_ITEMS, PURCHASE
from stream_persona.domain.mapping.drafts import EventDraft
from stream_persona.domain.mapping.snowplow_schemas import EventEntities
from stream_persona.domain.mapping.snowplow_tsv import parse_line
from stream_persona.domain.mapping.values import (
    choose_customer,
    convert_number,
    convert_text,
    convert_utc_time,
    find_first_text,
    find_inner,
    number_id,
    read_items,
    read_name,
    require_list,
    require_object,
)
from stream_persona.errors import DecodeError

if TYPE_CHECKING:
    from stream_persona.domain.identity import NobodyIds
    from stream_persona.domain.mapping.drafts import Findings
    from stream_persona.domain.mapping.snowplow_schemas import Schema

_OWN: Final = "com.snowplowanalytics.snowplow"
_SHOP: Final = f"{_OWN}.ecommerce"
_ACTION: Final[Schema] = (_SHOP, "snowplow_ecommerce_action")
_SEARCH: Final[Schema] = (_OWN, "site_search")
_CARTS: Final = {(_OWN, name): name for name in ("add_to_cart", "remove_from_cart")}
_READ: Final = (_ACTION, _SEARCH, *_CARTS)
_PRODUCT: Final[Schema] = (_SHOP, "product")
_TRANSACTION: Final[Schema] = (_SHOP, "transaction")
_PROMOTION: Final[Schema] = (_SHOP, "promotion")
#: The device of an app, which keeps no cookie that the collector would know it by.
_SESSION: Final[Schema] = (_OWN, "client_session")
#: Schemas that flag robots, with their fields. Loaders for BigQuery write ``_``.
_ROBOTS: Final[Mapping[Schema, tuple[str, ...]]] = {
    ("com.iab.snowplow", "spiders_and_robots"): ("spiderOrRobot", "spider_or_robot"),
    ("nl.basjes", "yauaa_context"): ("deviceClass", "device_class", "agentClass", "agent_class"),
    (_OWN, "bot_detection"): ("bot",), (_OWN, "client_side_bot_detection"): ("bot",),
}  # fmt: skip
_BROWSES: Final = {
    "product_view": "view", "add_to_cart": "add_to_cart", "remove_from_cart": "remove_from_cart",
}  # fmt: skip
_ENGAGEMENTS: Final = {"promo_view": "view", "promo_click": "click"}
#: Other types of the action.
_OTHER_TYPES: Final = frozenset({"list_view", "list_click", "checkout_step", "trns_error"})
#: Kinds of events without a schema, besides ``struct``, whose fields each shop defines itself.
_OTHER_EVENTS: Final = frozenset({"page_view", "page_ping", "transaction", "ad_impression"})

_NAMES: Final = {
    "customer_id": "user_id", "occurred_at": "derived_tstamp", "product": "contexts.product[]",
    "items": "contexts.product", "order_id": "contexts.transaction.transaction_id",
    "query": "unstruct_event.terms", "campaign": "contexts.promotion.name", ".product_id": "id",
}  # fmt: skip
_CART_NAMES: Final = {
    **_NAMES, "product": "unstruct_event", ".product_id": "sku", ".price": "unitPrice",
}  # fmt: skip
_ITEM_NAMES: Final = {
    **_NAMES, ".product_id": "ti_sku", ".category": "ti_category", ".price": "ti_price",
    ".quantity": "ti_quantity",
}  # fmt: skip


def read_snowplow(document: object, nobody: NobodyIds, arrived_at: int | None = None) -> Findings:
    """Read an enriched event."""
    event = parse_line(document) if isinstance(document, str) else require_object(document, "$")
    if event.get("event_id") is None and event.get("event") is None:
        raise DecodeError("invalid_field", "no enriched event of Snowplow's - at `$.event_id`")
    described = EventEntities(event)
    for found in _read(event, described, nobody):
        if isinstance(found, EventDraft) and _is_robot(event, described):
            yield Anomaly.ROBOT
            return
        yield found


def _read(event: Mapping[str, Any], described: EventEntities, nobody: NobodyIds) -> Findings:
    schema, data = described.find_event(_READ)
    is_item = read_name(event.get("event")) == "transaction_item"
    if schema not in _READ and not is_item:
        is_known = read_name(event.get("event")) in _OTHER_EVENTS or _is_snowplows(event, schema)
        yield Anomaly.NOT_OF_INTEREST if is_known else Anomaly.UNKNOWN_EVENT
        return
    head = _read_head(event, described, nobody)
    if schema == _ACTION:
        yield from _read_action(event, described, data, head)
    elif schema == _SEARCH:
        yield EventDraft(
            BROWSE, {**head, "action": "search", "query": _find_query(data)}, "$", _NAMES
        )
    elif schema in _CARTS:
        price = "unitPrice" if "unitPrice" in data else "unit_price"
        fields = {"action": _CARTS[schema], "product": _read_item(data, ("sku", "name"), price)}
        yield EventDraft(BROWSE, head | fields, "$", {**_CART_NAMES, ".price": price})
    else:
        yield _read_classic_item(event, head)


def _read_action(
    event: Mapping[str, Any],
    described: EventEntities,
    data: Mapping[str, Any],
    head: dict[str, Any],
) -> Findings:
    kind = read_name(data.get("type"))
    products = described.find_entities(_PRODUCT)
    if kind == "transaction":
        transaction = (*described.find_entities(_TRANSACTION), {})[0]
        items = read_items(products, _read_product)
        order = convert_text(find_inner({"t": transaction}, "t").get("transaction_id"))
        yield EventDraft(PURCHASE, {**head, "items": items, "order_id": order}, "$", _NAMES)
    elif kind in _BROWSES:
        yield from _read_browses({**head, "action": _BROWSES[kind]}, products)
    elif kind in _ENGAGEMENTS:
        promotion = (*described.find_entities(_PROMOTION), {})[0]
        campaign = find_first_text(find_inner({"p": promotion}, "p"), ("name", "id"))
        campaign = campaign or convert_text(event.get("mkt_campaign"))
        reaction = {"channel": "onsite", "action": _ENGAGEMENTS[kind], "campaign": campaign}
        yield EventDraft(ENGAGEMENT, head | reaction, "$", _NAMES)
    elif kind == "refund":
        yield Anomaly.NOT_BOUGHT
    else:
        yield Anomaly.NOT_OF_INTEREST if kind in _OTHER_TYPES else Anomaly.UNKNOWN_EVENT


def _read_browses(fields: dict[str, Any], products: list[Any]) -> Findings:
    """Read a browse of each product."""
    if not products:
        yield EventDraft(BROWSE, fields, "$", _NAMES)
    if fields["action"] == "view" and len(products) > 1:
        yield Anomaly.NOT_OF_INTEREST  # a list
        return
    event_id = fields["event_id"]
    for index, product in enumerate(require_list(products, "$.contexts.product", MAX_ITEMS)):
        own = {**fields, "event_id": number_id(event_id, index), "product": _read_product(product)}
        yield EventDraft(BROWSE, own, "$", _NAMES, index)


def _read_classic_item(event: Mapping[str, Any], head: Mapping[str, Any]) -> EventDraft:
    """Read one item of a classic transaction: each is an event of its own.

    It names no order: of several with one order, all but the first would be taken for its edits.
    """
    item = {
        "product_id": find_first_text(event, ("ti_sku", "ti_name")),
        "category": convert_text(event.get("ti_category")),
        "price": convert_number(event.get("ti_price")),
    }
    if (quantity := convert_number(event.get("ti_quantity"))) is not None:
        item["quantity"] = quantity
    return EventDraft(PURCHASE, {**head, "items": [item]}, "$", _ITEM_NAMES)


def _read_head(
    event: Mapping[str, Any], described: EventEntities, nobody: NobodyIds
) -> dict[str, Any]:
    session = find_inner({"s": (*described.find_entities(_SESSION), {})[0]}, "s")
    device = find_first_text(session, ("userId", "user_id"))
    ids = (event.get("user_id"), event.get("domain_userid"), device, event.get("network_userid"))
    at = convert_utc_time(event.get("derived_tstamp")) or convert_utc_time(
        event.get("collector_tstamp")
    )
    return {
        "event_id": convert_text(event.get("event_id")),
        "customer_id": choose_customer(ids, nobody),
        "occurred_at": at,
    }


def _read_product(product: Any) -> Any:
    return _read_item(product, ("id", "name"), "price")


def _read_item(product: Any, ids: tuple[str, ...], price: str) -> Any:
    if not isinstance(product, dict):
        return product
    item = {
        "product_id": find_first_text(product, ids),
        "category": convert_text(product.get("category")),
        "brand": convert_text(product.get("brand")),
        "price": convert_number(product.get(price)),
    }
    if (quantity := convert_number(product.get("quantity"))) is not None:
        item["quantity"] = quantity
    return item


def _find_query(data: Mapping[str, Any]) -> Any:
    terms = data.get("terms")
    if isinstance(terms, list) and all(isinstance(term, str) for term in terms):
        return " ".join(terms)
    return terms


def _is_snowplows(event: Mapping[str, Any], schema: Schema | None) -> bool:
    """Whether an event that was not read is one that Snowplow itself defines, and of no shop.

    One that is read, in a form that is not known, is none: it would be thought unimportant.
    """
    vendor, name = schema or (event.get("event_vendor"), event.get("event_name"))
    is_own = isinstance(vendor, str) and vendor.startswith("com.snowplowanalytics.")
    is_shops = vendor == _SHOP or (vendor, name) in _READ
    return is_own and not is_shops and event.get("event") != "struct"


def _is_robot(event: Mapping[str, Any], described: EventEntities) -> bool:
    if event.get("br_type") == "Robot":
        return True
    for schema, names in _ROBOTS.items():
        for entity in described.find_entities(schema):
            for value in (find_inner({"e": entity}, "e").get(name) for name in names):
                if value is True or (isinstance(value, str) and value.startswith("Robot")):
                    return True
    return False
