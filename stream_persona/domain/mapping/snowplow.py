"""Snowplow's enriched events: JSON as the analytics SDKs make it, as loaders do, or the line.

Read are the e-commerce schemas of ``com.snowplowanalytics.snowplow.ecommerce``, the older ones for
carts, ``site_search``, and the items of classic transactions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from stream_persona.domain.anomaly import Anomaly
from stream_persona.domain.events import BROWSE, ENGAGEMENT, MAX_ITEMS, PURCHASE
from stream_persona.domain.mapping.drafts import Draft
from stream_persona.domain.mapping.snowplow_tsv import parse_line
from stream_persona.domain.mapping.values import (
    customer_of,
    first_text,
    inner,
    name_of,
    number,
    numbered,
    read_items,
    require_list,
    require_object,
    text,
    utc_time,
)
from stream_persona.errors import DecodeError

if TYPE_CHECKING:
    from stream_persona.domain.identity import NobodyIds
    from stream_persona.domain.mapping.drafts import Findings

    #: Vendor and name of a schema.
    Schema = tuple[str, str]

_OWN: Final = "com.snowplowanalytics.snowplow"
_SHOP: Final = f"{_OWN}.ecommerce"
_ACTION: Final[Schema] = (_SHOP, "snowplow_ecommerce_action")
_SEARCH: Final[Schema] = (_OWN, "site_search")
_CARTS: Final = {(_OWN, name): name for name in ("add_to_cart", "remove_from_cart")}
_BROWSES: Final = {
    "product_view": "view", "add_to_cart": "add_to_cart", "remove_from_cart": "remove_from_cart",
}  # fmt: skip
_ENGAGEMENTS: Final = {"promo_view": "view", "promo_click": "click"}
#: Other types of the action.
_OTHER_TYPES: Final = frozenset({"list_view", "list_click", "checkout_step", "trns_error"})
#: Kinds of events that need no schema, besides ``struct``: what that says is a shop's own.
_OTHER_EVENTS: Final = frozenset({"page_view", "page_ping", "transaction", "ad_impression"})
_IGLU: Final = re.compile(r"iglu:([\w.-]+)/([\w.-]+)/[\w.-]+/[\d-]+")

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
    schema, data = _describe(event)
    if schema == _ACTION:
        yield from _read_action(event, data, nobody)
    elif schema == _SEARCH:
        fields = {**_head(event, nobody), "action": "search", "query": _query_of(data)}
        yield Draft(BROWSE, fields, "$", _NAMES)
    elif schema in _CARTS:
        product = _item(data, ("sku", "name"), "unitPrice")
        fields = {**_head(event, nobody), "action": _CARTS[schema], "product": product}
        yield Draft(BROWSE, fields, "$", _CART_NAMES)
    elif name_of(event.get("event")) == "transaction_item":
        yield _read_classic_item(event, nobody)
    else:
        is_known = name_of(event.get("event")) in _OTHER_EVENTS or _is_snowplows(event, schema)
        yield Anomaly.NOT_OF_INTEREST if is_known else Anomaly.UNKNOWN_EVENT


def _read_action(event: Mapping[str, Any], data: Mapping[str, Any], nobody: NobodyIds) -> Findings:
    kind = name_of(data.get("type"))
    products = _entities(event, "product")
    if kind == "transaction":
        transaction = (*_entities(event, "transaction"), {})[0]
        items = read_items(products, _product)
        order = text(inner({"t": transaction}, "t").get("transaction_id"))
        fields = {**_head(event, nobody), "items": items, "order_id": order}
        yield Draft(PURCHASE, fields, "$", _NAMES)
    elif kind in _BROWSES:
        fields = {**_head(event, nobody), "action": _BROWSES[kind]}
        event_id = fields["event_id"]
        if not products:
            yield Draft(BROWSE, fields, "$", _NAMES)
        if kind == "product_view" and len(products) > 1:
            yield Anomaly.NOT_OF_INTEREST  # a list
            return
        for index, product in enumerate(require_list(products, "$.contexts.product", MAX_ITEMS)):
            own = {**fields, "event_id": numbered(event_id, index), "product": _product(product)}
            yield Draft(BROWSE, own, "$", _NAMES, index)
    elif kind in _ENGAGEMENTS:
        yield Draft(ENGAGEMENT, _promotion(event, _ENGAGEMENTS[kind], nobody), "$", _NAMES)
    elif kind == "refund":
        yield Anomaly.NOT_BOUGHT
    else:
        yield Anomaly.NOT_OF_INTEREST if kind in _OTHER_TYPES else Anomaly.UNKNOWN_EVENT


def _promotion(event: Mapping[str, Any], action: str, nobody: NobodyIds) -> dict[str, Any]:
    promotion = (*_entities(event, "promotion"), {})[0]
    campaign = first_text(inner({"p": promotion}, "p"), ("name", "id"))
    campaign = campaign or text(event.get("mkt_campaign"))
    return {**_head(event, nobody), "channel": "onsite", "action": action, "campaign": campaign}


def _read_classic_item(event: Mapping[str, Any], nobody: NobodyIds) -> Draft:
    """Read one item of a classic transaction: each is an event of its own.

    It names no order: of several with one order, all but the first would be taken for its edits.
    """
    item = {
        "product_id": first_text(event, ("ti_sku", "ti_name")),
        "category": text(event.get("ti_category")),
        "price": number(event.get("ti_price")),
    }
    if (quantity := number(event.get("ti_quantity"))) is not None:
        item["quantity"] = quantity
    return Draft(PURCHASE, {**_head(event, nobody), "items": [item]}, "$", _ITEM_NAMES)


def _head(event: Mapping[str, Any], nobody: NobodyIds) -> dict[str, Any]:
    ids = (event.get("user_id"), event.get("domain_userid"), event.get("network_userid"))
    at = utc_time(event.get("derived_tstamp")) or utc_time(event.get("collector_tstamp"))
    return {
        "event_id": text(event.get("event_id")),
        "customer_id": customer_of(ids, nobody),
        "occurred_at": at,
    }


def _product(product: Any) -> Any:
    return _item(product, ("id", "name"), "price")


def _item(product: Any, ids: tuple[str, ...], price: str) -> Any:
    if not isinstance(product, dict):
        return product
    item = {
        "product_id": first_text(product, ids),
        "category": text(product.get("category")),
        "brand": text(product.get("brand")),
        "price": number(product.get(price)),
    }
    if (quantity := number(product.get("quantity"))) is not None:
        item["quantity"] = quantity
    return item


def _query_of(data: Mapping[str, Any]) -> Any:
    terms = data.get("terms")
    if isinstance(terms, list) and all(isinstance(term, str) for term in terms):
        return " ".join(terms)
    return terms


def _is_snowplows(event: Mapping[str, Any], schema: Schema | None) -> bool:
    vendor = schema[0] if schema else event.get("event_vendor")
    is_own = isinstance(vendor, str) and vendor.startswith("com.snowplowanalytics.")
    return is_own and event.get("event") != "struct"


# --- what is described by a schema ---


def _key_of(kind: str, schema: Schema) -> str:
    """Return the SDK's key of a self-describing event or an entity, of a schema's first version."""
    return f"{kind}_{schema[0].replace('.', '_')}_{schema[1]}_1"


_EVENT_KEYS: Final = {
    _key_of("unstruct_event", schema): schema for schema in (_ACTION, _SEARCH, *_CARTS)
}
_ENTITY_KEYS: Final = {
    name: _key_of("contexts", (_SHOP, name)) for name in ("product", "transaction", "promotion")
}


def _describe(event: Mapping[str, Any]) -> tuple[Schema | None, Mapping[str, Any]]:
    """Return the schema of a self-describing event, and what it says."""
    for key, schema in _EVENT_KEYS.items():
        data = event.get(key)
        if isinstance(data, dict):
            return schema, data
    outer = _parse(event.get("unstruct_event"), "$.unstruct_event")
    return _open(outer.get("data", outer)) if isinstance(outer, dict) else (None, {})


def _entities(event: Mapping[str, Any], name: str) -> list[Any]:
    """Return the entities of a name, in their order."""
    own = event.get(_ENTITY_KEYS[name])
    if isinstance(own, list):
        return own
    outer = _parse(event.get("contexts"), "$.contexts")
    listed = outer.get("data") if isinstance(outer, dict) else outer
    if not isinstance(listed, list):
        return []
    opened = map(_open, listed)
    return [data for schema, data in opened if schema == (_SHOP, name)]


def _open(described: Any) -> tuple[Schema | None, Mapping[str, Any]]:
    if not isinstance(described, dict):
        return None, {}
    schema = described.get("schema")
    found = _IGLU.fullmatch(schema) if isinstance(schema, str) else None
    return (found[1], found[2]) if found else None, inner(described, "data")


def _parse(value: Any, place: str) -> Any:
    """Return what a text of JSON holds: the line, and some loaders, leave it one."""
    if not isinstance(value, str):
        return value
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise DecodeError("invalid_field", f"no JSON - at `{place}`") from None
