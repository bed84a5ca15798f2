"""The journey as Snowplow's self-describing events, and what its pipeline makes of a payload."""

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from stream_persona.domain.mapping.snowplow_tsv import FIELDS
from tests.support.foreign.segment_calls import JOURNEY

VENDOR = "com.snowplowanalytics.snowplow.ecommerce"
ACTION = f"iglu:{VENDOR}/snowplow_ecommerce_action/jsonschema/1-0-2"
PRODUCT = f"iglu:{VENDOR}/product/jsonschema/1-0-0"
PROMOTION = f"iglu:{VENDOR}/promotion/jsonschema/1-0-0"
TRANSACTION = f"iglu:{VENDOR}/transaction/jsonschema/1-0-0"
SEARCH = "iglu:com.snowplowanalytics.snowplow/site_search/jsonschema/1-0-0"

TYPES = {
    "view": "product_view", "add_to_cart": "add_to_cart", "remove_from_cart": "remove_from_cart",
    "purchase": "transaction", "promotion_view": "promo_view", "promotion_click": "promo_click",
    "list": "list_view", "refund": "refund",
}  # fmt: skip
#: What Snowplow has no event for.
WITHOUT = {"wishlist", "coupon", "email_open", "email_click", "push_click"}

Described = tuple[str, dict[str, Any]]


def product(name: str, quantity: int | None = None) -> Described:
    of = JOURNEY["products"][name]
    fields = {key: of[key] for key in ("id", "name", "category", "brand", "price")}
    return PRODUCT, {**fields, "currency": "EUR"} | ({"quantity": quantity} if quantity else {})


def self_describing() -> Iterator[tuple[Described, list[Described], str]]:
    """Yield event, entities and time of each step that Snowplow has an event for."""
    for step in JOURNEY["steps"]:
        do, at = step["do"], step["at"]
        if do in WITHOUT:
            continue
        if do == "search":
            yield (SEARCH, {"terms": step["query"].split()}), [], at
        elif do == "custom":
            yield ("iglu:com.shop/video_played/jsonschema/1-0-0", {"id": "v"}), [], at
        else:
            yield (ACTION, {"type": TYPES[do]}), list(entities(step)), at


def entities(step: dict[str, Any]) -> Iterator[Described]:
    if "product" in step:
        yield product(step["product"], step.get("quantity"))
    if step["do"] == "purchase":
        fields = {"transaction_id": step["order"], "revenue": 215.75, "currency": "EUR"}
        yield TRANSACTION, fields
        for line in step["lines"]:
            yield product(*line)
    if "campaign" in step:
        yield PROMOTION, {"id": "promo_1", "name": step["campaign"]}
    if step["do"] == "list":
        yield product("shoe")
        yield product("food")


def _plain(payload: dict[str, str], encoded: str, plain: str) -> str:
    if encoded not in payload:
        return payload.get(plain, "")
    return base64.urlsafe_b64decode(payload[encoded]).decode()


def enrich(payload: dict[str, str]) -> str:
    """Return the enriched event of a tracker's payload, as the pipeline writes it (TSV)."""
    at = datetime.fromtimestamp(int(payload["ttm"]) / 1_000, UTC)
    stamp = f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1_000:03}"
    described = json.loads(_plain(payload, "ue_px", "ue_pr"))["data"]
    vendor, name, form, schema_version = described["schema"].removeprefix("iglu:").split("/")
    fields = {
        "app_id": payload["aid"], "platform": payload["p"], "event": "unstruct",
        "event_id": payload["eid"], "collector_tstamp": stamp, "derived_tstamp": stamp,
        "true_tstamp": stamp, "name_tracker": payload["tna"], "v_tracker": payload["tv"],
        "user_id": payload["uid"], "domain_userid": payload["duid"],
        "network_userid": "9c65e7f3-8e8e-470d-b243-910b5b300da0",
        "unstruct_event": _plain(payload, "ue_px", "ue_pr"),
        "contexts": _plain(payload, "cx", "co"),
        "event_vendor": vendor, "event_name": name, "event_format": form,
        "event_version": schema_version,
    }  # fmt: skip
    return "\t".join(fields.get(field, "") for field in FIELDS)
