"""Segment's and RudderStack's calls: the e-commerce specification (v2, and the names of v1).

A document is one call, or a ``batch`` of them as libraries send it. Names of events are compared
as Segment's own integrations do: without case, blanks, underscores and hyphens, and with the verb
at either end. So ``Order Completed`` is ``order_completed``, ``OrderCompleted``, ``Completed
Order``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeVar

from stream_persona.domain.anomaly import Anomaly
from stream_persona.domain.events import BROWSE, ENGAGEMENT, MAX_ITEMS, PURCHASE
from stream_persona.domain.mapping.drafts import EventDraft, LinkDraft
from stream_persona.domain.mapping.values import (
    MAX_EVENTS,
    choose_customer,
    convert_number,
    convert_text,
    convert_time,
    find_first_text,
    find_inner,
    number_id,
    read_items,
    require_inner,
    require_list,
    require_object,
)
from stream_persona.domain.time import parse_number
from stream_persona.errors import DecodeError

if TYPE_CHECKING:
    from stream_persona.domain.identity import NobodyIds
    from stream_persona.domain.mapping.drafts import Findings, Found
_Value = TypeVar("_Value")


@lru_cache(maxsize=1_024)
def _fold(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name.casefold())


def _spell(named: Mapping[str, _Value]) -> dict[str, _Value]:
    """Return what is named by folded names, with the verb at their end or, as in v1, before."""
    found = {_fold(name): value for name, value in named.items()}
    for name, value in named.items():
        rest, _, verb = name.rpartition(" ")
        found.setdefault(_fold(verb + rest), value)
    return found


#: What a browse of one of these names does.
_BROWSES: Final = _spell({
    "products searched": "search", "product viewed": "view", "product added": "add_to_cart",
    "wishlist product added to cart": "add_to_cart", "product removed": "remove_from_cart",
    "product added to wishlist": "wishlist",
})  # fmt: skip
_PURCHASES: Final = frozenset(_spell({"order completed": True}))
#: Channel and action of a reaction, and where its campaign stands, besides the usual places.
_ENGAGEMENTS: Final = _spell({
    "promotion viewed": ("onsite", "view", ("name", "promotion_id", "creative")),
    "promotion clicked": ("onsite", "click", ("name", "promotion_id", "creative")),
    "coupon applied": ("onsite", "redeem", ("coupon_name", "coupon_id")),
    "email opened": ("email", "open", ()), "email link clicked": ("email", "click", ()),
    "email marked as spam": ("email", "dismiss", ()), "unsubscribed": ("email", "unsubscribe", ()),
    "push notification tapped": ("push", "click", ()),
})  # fmt: skip
_NOT_BOUGHT: Final = frozenset(_spell(dict.fromkeys((
    "order refunded", "order cancelled", "order canceled",
))))  # fmt: skip
#: Known names that add nothing about tastes beyond other events.
_NOT_OF_INTEREST: Final = frozenset(_spell(dict.fromkeys((
    "product list viewed", "product category viewed", "product list filtered", "product clicked",
    "cart viewed", "checkout started", "checkout step viewed", "checkout step completed",
    "payment info entered", "order started", "order updated", "coupon entered", "coupon denied",
    "coupon removed", "product removed from wishlist", "product shared", "cart shared",
    "product reviewed", "email delivered", "email bounced", "push notification received",
    "push notification bounced", "application installed", "application opened",
    "application updated", "application backgrounded", "application foregrounded",
    "application crashed", "application uninstalled", "install attributed", "deep link clicked",
    "deep link opened", "signed up", "signed in", "signed out", "account created",
))))  # fmt: skip
#: Calls that are no behaviour.
_OTHER_CALLS: Final = frozenset({"page", "screen", "group", "merge"})

_NAMES: Final = {
    "event_id": "messageId", "customer_id": "userId", "occurred_at": "timestamp",
    "items": "properties.products", "product": "properties", "query": "properties.query",
    "campaign": "properties.campaign", "order_id": "properties.order_id",
}  # fmt: skip
_LISTED: Final = {**_NAMES, "product": "properties.products[]"}
_CAMPAIGN_NAMES: Final = ("campaign_name", "campaign", "utm_campaign", "campaign_id")


def read_segment(document: object, nobody: NobodyIds, arrived_at: int | None = None) -> Findings:
    """Read a call, or a batch of calls."""
    call = require_object(document, "$")
    batch = call.get("batch")
    head = {"sentAt": call.get("sentAt"), "receivedAt": call.get("receivedAt") or arrived_at}
    if batch is None:
        yield from _read_call(call, "$", nobody, head)
        return
    for index, each in enumerate(require_list(batch, "$.batch", MAX_EVENTS)):
        place = f"$.batch[{index}]"
        try:
            yield from _read_call(require_object(each, place), place, nobody, head)
        except DecodeError as error:
            yield error


def _read_call(
    call: Mapping[str, Any], place: str, nobody: NobodyIds, batch: Mapping[str, Any]
) -> Findings:
    kind = call.get("type") or ("track" if "event" in call else None)
    if kind == "track":
        yield from _read_track(call, place, nobody, batch)
    elif not isinstance(kind, str):
        raise DecodeError("invalid_field", f"no call of Segment's - at `{place}.type`")
    elif kind in {"identify", "alias"}:
        yield _read_link(call, place, kind, batch)
    else:
        yield Anomaly.NOT_OF_INTEREST if kind in _OTHER_CALLS else Anomaly.UNKNOWN_EVENT


def _read_link(call: Mapping[str, Any], place: str, kind: Any, batch: Mapping[str, Any]) -> Found:
    """Read two ids of one customer; a call that names one of them alone links nothing."""
    from_id = convert_text(call.get("anonymousId" if kind == "identify" else "previousId"))
    into_id = convert_text(call.get("userId"))
    if from_id is None or into_id is None or from_id == into_id:
        return Anomaly.NOT_OF_INTEREST
    at = _find_time(call, batch)
    return LinkDraft(kind, from_id, into_id, at, convert_text(call.get("messageId")), place)


def _read_track(
    call: Mapping[str, Any], place: str, nobody: NobodyIds, batch: Mapping[str, Any]
) -> Findings:
    event = call.get("event")
    if not isinstance(event, str):
        raise DecodeError("invalid_field", f"Expected `str` - at `{place}.event`")
    name = _fold(event)
    if name in _BROWSES or name in _PURCHASES or name in _ENGAGEMENTS:
        properties = require_inner(call, "properties", place)
        fields = {
            "event_id": convert_text(call.get("messageId")),
            "customer_id": choose_customer((call.get("userId"), call.get("anonymousId")), nobody),
            "occurred_at": _find_time(call, batch),
        }
        if name in _PURCHASES:
            yield _read_purchase(fields, properties, place)
        elif name in _BROWSES:
            yield from _read_browse(fields, _BROWSES[name], properties, place)
        else:
            yield _read_engagement(fields, name, call, place)
    elif name in _NOT_BOUGHT:
        yield Anomaly.NOT_BOUGHT
    else:
        yield Anomaly.NOT_OF_INTEREST if name in _NOT_OF_INTEREST else Anomaly.UNKNOWN_EVENT


def _read_purchase(fields: dict[str, Any], properties: Mapping[str, Any], place: str) -> EventDraft:
    fields["items"] = read_items(properties.get("products"), _read_item)
    fields["order_id"] = find_first_text(properties, ("order_id", "orderId"))  # the latter in v1
    return EventDraft(PURCHASE, fields, place, _NAMES)


def _read_browse(
    fields: dict[str, Any], action: str, properties: Mapping[str, Any], place: str
) -> Findings:
    """Read a browse of the product in the properties, or of each in a list of some."""
    fields["action"] = action
    if action == "search":
        fields["query"] = convert_text(properties.get("query"))
        yield EventDraft(BROWSE, fields, place, _NAMES)
        return
    item, products = _read_item(properties), properties.get("products")
    if item["product_id"] is not None or not products:
        yield EventDraft(BROWSE, {**fields, "product": item}, place, _NAMES)
        return
    if action == "view" and len(products) > 1:
        yield Anomaly.NOT_OF_INTEREST  # a list
        return
    event_id = fields["event_id"]
    for index, each in enumerate(require_list(products, f"{place}.properties.products", MAX_ITEMS)):
        own = {**fields, "product": _read_item(each), "event_id": number_id(event_id, index)}
        yield EventDraft(BROWSE, own, place, _LISTED, index)


def _read_engagement(
    fields: dict[str, Any], name: str, call: Mapping[str, Any], place: str
) -> EventDraft:
    fields["channel"], fields["action"], places = _ENGAGEMENTS[name]
    properties = find_inner(call, "properties")
    fields["campaign"] = _find_campaign(properties, find_inner(call, "context"), places)
    return EventDraft(ENGAGEMENT, fields, place, _NAMES)


def _find_campaign(properties: Mapping[str, Any], context: Mapping[str, Any], places: Any) -> Any:
    """Return the campaign that is named, what was reacted to, or what brought the visitor."""
    own = properties.get("campaign")
    if isinstance(own, dict):
        found = find_first_text(own, ("name", "campaign_name", "id"))
    else:
        found = find_first_text(properties, _CAMPAIGN_NAMES)
    found = found or find_first_text(properties, places)
    found = found or find_first_text(find_inner(context, "campaign"), ("name", "id"))
    return found or find_first_text(properties, ("email_subject",))


def _read_item(product: Any) -> Any:
    if not isinstance(product, dict):
        return product
    item = {
        "product_id": find_first_text(product, ("product_id", "sku", "id", "name")),
        "category": convert_text(product.get("category")),
        "brand": convert_text(product.get("brand")),
        "price": convert_number(product.get("price")),
    }
    quantity = convert_number(product.get("quantity"))
    if quantity is not None:
        item["quantity"] = quantity
    return item


def _find_time(call: Mapping[str, Any], batch: Mapping[str, Any]) -> Any:
    """Return when it happened, by the clock of the receiver where that is known.

    Segment and RudderStack write ``timestamp`` corrected. Where only what it is made of is there,
    it is made in the same way; of a library's own request the client's clock is all there is, and
    what names no time is of its arrival.
    """
    if (given := convert_time(call.get("timestamp"))) is not None:
        return given
    original = convert_time(call.get("originalTimestamp"))
    sent = convert_time(call.get("sentAt")) or convert_time(batch.get("sentAt"))
    received = convert_time(call.get("receivedAt")) or convert_time(batch.get("receivedAt"))
    if original is None:
        return sent or received
    moments = [_parse(each) for each in (original, sent, received)]
    if None in moments:
        return original
    happened, sent_at, received_at = moments
    try:
        return received_at - (sent_at - happened)
    except (
        OverflowError
    ):  # a clock that was never set: years 1 and 9999 are what programs begin with
        return original


def _parse(moment: Any) -> Any:
    try:
        if isinstance(moment, int | float) and not isinstance(moment, bool):
            return datetime.fromtimestamp(parse_number(moment) / 1_000, UTC)
        parsed = datetime.fromisoformat(moment)
    except (TypeError, ValueError):
        return None
    return parsed if parsed.tzinfo else None
