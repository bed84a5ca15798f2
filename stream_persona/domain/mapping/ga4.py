"""Google Analytics 4: rows of the export to BigQuery, and requests of the Measurement Protocol.

GA4 gives events no id. Ours is made of who, when, what and the numbers that the export gives an
event in its batch; without these, of its contents too: the same event read twice has the same id,
and two of one microsecond have two.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from stream_persona.domain.anomaly import Anomaly
from stream_persona.domain.events import BROWSE, ENGAGEMENT, MAX_ITEMS, PURCHASE
from stream_persona.domain.mapping.drafts import EventDraft, LinkDraft
from stream_persona.domain.mapping.values import (
    MAX_EVENTS,
    choose_customer,
    convert_number,
    convert_text,
    convert_time,
    digest,
    find_inner,
    join_id,
    number_id,
    read_items,
    require_inner,
    require_list,
    require_object,
)
from stream_persona.errors import DecodeError

if TYPE_CHECKING:
    from stream_persona.domain.identity import NobodyIds
    from stream_persona.domain.mapping.drafts import Findings, Found

_BROWSES: Final = {
    "view_item": "view", "add_to_cart": "add_to_cart", "remove_from_cart": "remove_from_cart",
    "add_to_wishlist": "wishlist", "search": "search", "view_search_results": "search",
}  # fmt: skip
_PURCHASES: Final = frozenset({"purchase", "ecommerce_purchase"})
_ENGAGEMENTS: Final = {
    "view_promotion": ("onsite", "view"), "select_promotion": ("onsite", "click"),
    "notification_open": ("push", "click"), "notification_dismiss": ("push", "dismiss"),
    "ad_click": ("ad", "click"),
}  # fmt: skip
_NOT_BOUGHT: Final = frozenset({"refund", "purchase_refund", "app_store_refund"})
#: With these a browser becomes a user's, where they say which.
_LINKS: Final = frozenset({"login", "sign_up"})
#: What GA4 itself collects, enhances and recommends besides.
_NOT_OF_INTEREST: Final = frozenset({
    "view_item_list", "select_item", "view_cart", "begin_checkout", "add_shipping_info",
    "add_payment_info", "page_view", "screen_view", "session_start", "first_visit",
    "first_open", "user_engagement", "scroll", "click", "file_download", "form_start",
    "form_submit", "video_start", "video_progress", "video_complete", "select_content", "share",
    "generate_lead", "join_group", "earn_virtual_currency",
    "spend_virtual_currency", "tutorial_begin", "tutorial_complete", "level_up", "level_start",
    "level_end", "post_score", "unlock_achievement", "campaign_details", "exception",
    "app_update", "app_remove", "app_clear_data", "app_exception", "os_update",
    "notification_receive", "notification_foreground", "notification_send", "ad_impression",
    "ad_query", "ad_reward", "ad_exposure", "adunit_exposure", "in_app_purchase",
    "dynamic_link_app_open", "dynamic_link_app_update", "dynamic_link_first_open",
    "app_store_subscription_cancel", "app_store_subscription_convert",
    "app_store_subscription_renew", "firebase_campaign", "error", "qualify_lead",
    "disqualify_lead", "working_lead", "close_convert_lead", "close_unconvert_lead",
})  # fmt: skip

_CATEGORIES: Final = (
    "item_category", "item_category2", "item_category3", "item_category4", "item_category5",
)  # fmt: skip
#: What the export writes where there is nothing.
_EMPTY: Final = frozenset({"(not set)", "(not provided)"})
#: What it writes for the campaign of a visit that none brought.
_NO_CAMPAIGN: Final = frozenset({"(direct)", "(organic)", "(referral)", "(none)", *_EMPTY})
_ITEM_NAMES: Final = {
    ".product_id": "item_id", ".category": "item_category", ".brand": "item_brand",
}  # fmt: skip
_ROW_NAMES: Final = {
    "customer_id": "user_id", "occurred_at": "event_timestamp", "product": "items[]",
    "items": "items",
    "query": "event_params.search_term", "campaign": "event_params.promotion_name",
    "order_id": "ecommerce.transaction_id", **_ITEM_NAMES,
}  # fmt: skip
_REQUEST_NAMES: Final = {
    "customer_id": "$.client_id", "occurred_at": "timestamp_micros", "items": "params.items",
    "product": "params.items[]", "query": "params.search_term", "campaign": "params.promotion_name",
    "order_id": "params.transaction_id", **_ITEM_NAMES,
}  # fmt: skip


def read_ga4(document: object, nobody: NobodyIds, arrived_at: int | None = None) -> Findings:
    """Read a row of the export, or a request of the Measurement Protocol."""
    row = require_object(document, "$")
    if row.get("events") is None:
        yield from _read_row(row, nobody)
        return
    for index, each in enumerate(require_list(row["events"], "$.events", MAX_EVENTS)):
        try:
            yield from _read_request(row, each, index, nobody, arrived_at)
        except DecodeError as error:
            yield error


def _read_row(row: Mapping[str, Any], nobody: NobodyIds) -> Findings:
    name = _read_name(row.get("event_name"), "$.event_name")
    if (reason := _find_reason(name)) is not None:
        yield reason
        return
    params = _read_params(row.get("event_params"), "$.event_params")
    at = convert_time(row.get("event_timestamp"))
    event_id = _make_row_id(row, name, at)
    if name in _LINKS:
        yield _read_link(row.get("user_pseudo_id"), row.get("user_id"), at, event_id, "$")
        return
    fields = {
        "event_id": event_id,
        "customer_id": choose_customer((row.get("user_id"), row.get("user_pseudo_id")), nobody),
        "occurred_at": at,
    }
    items = row.get("items")
    params.setdefault("transaction_id", find_inner(row, "ecommerce").get("transaction_id"))
    yield from _make_drafts(name, fields, params, items, "$", _ROW_NAMES)


def _read_request(
    row: Mapping[str, Any], event: Any, index: int, nobody: NobodyIds, arrived_at: int | None
) -> Findings:
    place = f"$.events[{index}]"
    event = require_object(event, place)
    name = _read_name(event.get("name"), f"{place}.name")
    if (reason := _find_reason(name)) is not None:
        yield reason
        return
    ids = (row.get("user_id"), row.get("client_id"), row.get("app_instance_id"))
    at = (
        convert_time(event.get("timestamp_micros"))
        or convert_time(row.get("timestamp_micros"))
        or arrived_at
    )
    if at is None:
        detail = "no time, and nothing is known of the arrival"
        raise DecodeError("invalid_field", f"{detail} - at `{place}.timestamp_micros`")
    params = require_inner(event, "params", place)
    contents = digest(_encode_canonically(params))
    event_id = join_id("ga4", ids[1] or ids[2] or ids[0], at, name, index, contents)
    if name in _LINKS:
        yield _read_link(ids[1] or ids[2], ids[0], at, event_id, place)
        return
    fields = {
        "event_id": event_id,
        "customer_id": choose_customer(ids, nobody),
        "occurred_at": at,
    }
    yield from _make_drafts(name, fields, params, params.get("items"), place, _REQUEST_NAMES)


def _read_link(browser: Any, user: Any, at: Any, event_id: str, place: str) -> Found:
    """Read two ids of one customer; an event that names one of them alone links nothing."""
    from_id, into_id = _read_text(browser), _read_text(user)
    if from_id is None or into_id is None or from_id == into_id:
        return Anomaly.NOT_OF_INTEREST
    return LinkDraft("identify", from_id, into_id, at, event_id, place)


def _make_drafts(
    name: str,
    fields: dict[str, Any],
    params: Mapping[str, Any],
    items: Any,
    place: str,
    names: Mapping[str, str],
) -> Findings:
    if name in _PURCHASES:
        fields["items"] = read_items(items, _read_item)
        fields["order_id"] = _read_text(params.get("transaction_id"))
        yield EventDraft(PURCHASE, fields, place, names)
    elif name in _ENGAGEMENTS:
        fields["channel"], fields["action"] = _ENGAGEMENTS[name]
        fields["campaign"] = _find_campaign(params, items)
        yield EventDraft(ENGAGEMENT, fields, place, names)
    else:
        yield from _read_browses(_BROWSES[name], fields, params, items, place, names)


def _read_browses(
    action: str,
    fields: dict[str, Any],
    params: Mapping[str, Any],
    items: Any,
    place: str,
    names: Mapping[str, str],
) -> Findings:
    """Read a search, or a browse of each item."""
    fields["action"] = action
    if action == "search":
        fields["query"] = _read_text(params.get("search_term"))
    if action == "search" or not items:
        yield EventDraft(BROWSE, fields, place, names)
        return
    listed = require_list(items, f"{place}.{names['items']}", MAX_ITEMS)
    if action == "view" and len(listed) > 1:
        yield Anomaly.NOT_OF_INTEREST  # a list
        return
    event_id = fields["event_id"]
    for index, item in enumerate(listed):
        own = {**fields, "event_id": number_id(event_id, index), "product": _read_item(item)}
        yield EventDraft(BROWSE, own, place, names, index)


def _find_campaign(params: Mapping[str, Any], items: Any) -> Any:
    listed = items[0] if isinstance(items, list) and items and isinstance(items[0], dict) else {}
    promoted = ("promotion_name", "promotion_id")
    for fields, names in (
        (params, (*promoted, "message_name", "campaign")), (listed, promoted),
    ):  # fmt: skip
        for name in names:
            found = convert_text(fields.get(name))
            if found is not None and not (isinstance(found, str) and found in _NO_CAMPAIGN):
                return found
    return None


def _read_item(item: Any) -> Any:
    if not isinstance(item, dict):
        return item
    levels = [level for name in _CATEGORIES if (level := _read_text(item.get(name))) is not None]
    texts = all(isinstance(level, str) for level in levels)
    fields = {
        "product_id": _read_text(item.get("item_id")) or _read_text(item.get("item_name")),
        "category": ("/".join(levels) or None) if texts else levels,
        "brand": _read_text(item.get("item_brand")),
        "price": convert_number(item.get("price")),
    }
    quantity = convert_number(item.get("quantity"))
    if quantity is not None:
        fields["quantity"] = quantity
    return fields


def _read_text(value: Any) -> Any:
    found = convert_text(value)
    return None if isinstance(found, str) and found in _EMPTY else found


def _find_reason(name: str) -> Anomaly | None:
    """Return why an event of a name is left out; None if it is not."""
    if name in _BROWSES or name in _PURCHASES or name in _ENGAGEMENTS or name in _LINKS:
        return None
    if name in _NOT_BOUGHT:
        return Anomaly.NOT_BOUGHT
    return Anomaly.NOT_OF_INTEREST if name in _NOT_OF_INTEREST else Anomaly.UNKNOWN_EVENT


def _read_name(name: Any, place: str) -> str:
    if isinstance(name, str):
        return name
    raise DecodeError("invalid_field", f"no name of an event - at `{place}`")


def _read_params(params: Any, place: str) -> dict[str, Any]:
    """Return parameters by name: in the export they are records of a key and a typed value."""
    if isinstance(params, dict):
        return dict(params)
    found = {}
    for each in require_list([] if params is None else params, place, MAX_ITEMS):
        if isinstance(each, dict) and isinstance(key := each.get("key"), str):
            value = each.get("value")
            if isinstance(value, dict):
                value = next((one for one in value.values() if one is not None), None)
            found[key] = value
    return found


def _make_row_id(row: Mapping[str, Any], name: str, at: Any) -> str:
    known = row.get("batch_event_index")
    contents = None
    if known is None:
        contents = digest(_encode_canonically([row.get("event_params"), row.get("items")]))
    return join_id(
        "ga4", row.get("user_pseudo_id") or row.get("user_id"), at, name,
        row.get("event_bundle_sequence_id"), row.get("batch_page_id"),
        row.get("batch_ordering_id"), known, contents,
    )  # fmt: skip


def _encode_canonically(value: object) -> str:
    """Return a text of JSON values that is the same for the same ones."""
    try:
        return msgspec.json.encode(value, order="deterministic").decode()
    except (TypeError, ValueError, RecursionError, OverflowError):
        raise DecodeError("invalid_field", "the parameters are no JSON values") from None
