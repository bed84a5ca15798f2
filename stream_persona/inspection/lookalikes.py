"""Which of our fields a foreign one looks like: by a table of synonyms, else by its spelling."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Final

from stream_persona.domain.events import ASSIGNMENT, BROWSE, DELETION, ENGAGEMENT, PURCHASE

if TYPE_CHECKING:
    from collections.abc import Mapping

#: How alike two names must be that no table knows.
_ALIKE: Final = 0.84
#: What others call what our fields hold: lower case, words parted by ``_``, singular.
_SYNONYMS: Final[Mapping[str, str]] = {
    "id": "id uuid guid event_uuid message_id insert_id hit_id event_id event_no nonce "
    "idempotency_key txn_id request_uuid",
    "customer_id": "user_id uid user customer client_id customer_number customer_no customer_nr "
    "cust_id customer_key shopper_id shopper member_id member account_id visitor_id anonymous_id "
    "email e_mail email_address mail user_email customer_email buyer_id buyer contact_id person_id "
    "profile_id distinct_id user_pseudo_id user_name username loyalty_id card_id household_id "
    "household_key subscriber_id",
    "time": "timestamp ts time t at date datetime event_time event_timestamp event_date occurred "
    "created created_at created_on create_time order_date order_time purchase_date purchased_at "
    "updated_at sent_at received_at original_timestamp processed_at happened_at date_time "
    "event_ts time_stamp requested_at occurred_at",
    "order_id": "order order_number order_no order_nr order_ref basket_id cart_id checkout_id "
    "invoice_id transaction_id transaction receipt_id receipt_no",
    "items": "line_item product item line order_line order_item basket cart cart_item basket_item "
    "position article content detail purchased_item",
    "product": "item article object ecommerce product_data",
    "product_id": "sku item_id product article_id article variant_id product_code item_code "
    "item_no product_number asin ean gtin upc pid item_sku product_sku content_id item product_key "
    "material_number",
    "category": "item_category product_category category_name category_path product_type "
    "department content_category cat breadcrumb google_product_category item_group product_group "
    "category_id commodity product_department",
    "brand": "item_brand product_brand manufacturer vendor make brand_name maker brand_id label",
    "price": "unit_price item_price price_each sale_price product_price unit_amount amount value "
    "unit_cost price_amount list_price retail_price sales_value unitprice item_amount net_price "
    "gross_price",
    "quantity": "qty count unit piece item_quantity quantity_ordered number_of_item units_sold "
    "item_count num quantity_sold",
    "query": "search search_term q keyword search_query term search_string search_text "
    "search_keyword phrase query_string",
    "action": "event event_type type event_name verb activity event_action interaction action_type",
    "channel": "medium utm_medium media channel_name source_channel",
    "campaign": "campaign_id campaign_name utm_campaign newsletter campaign_code mailing promotion "
    "coupon",
    "persona": "segment persona_name cluster audience persona_id customer_segment class label",
    "source": "origin assigned_by",
    "expires_at": "valid_until expiry expires valid_to expiration expiration_date end_date",
    "attributes": "property custom custom_field extra metadata dimension attribute trait tag",
}  # fmt: skip
_BY_NAME: Final = {
    name: [field for field, names in _SYNONYMS.items() if name in names.split()]
    for names in _SYNONYMS.values()
    for name in names.split()
}
#: Fields of an item, and where a kind of event has its items.
ITEM_FIELDS: Final = ("product_id", "category", "brand", "price", "quantity", "attributes")
ITEM_PATHS: Final[Mapping[int, str]] = {PURCHASE: "items[]", BROWSE: "product"}
#: The fields of each kind of event, the required ones first.
EVENT_FIELDS: Final[Mapping[int, tuple[str, ...]]] = {
    PURCHASE: ("event_id", "customer_id", "occurred_at", "items", "order_id", "attributes"),
    BROWSE: ("event_id", "customer_id", "occurred_at", "action", "product", "query", "attributes"),
    ENGAGEMENT: (
        "event_id", "customer_id", "occurred_at", "channel", "action", "campaign", "attributes",
    ),
    ASSIGNMENT: (
        "assignment_id", "customer_id", "occurred_at", "persona", "source", "expires_at",
    ),
    DELETION: ("request_id", "customer_id", "requested_at"),
}  # fmt: skip
REQUIRED: Final[Mapping[int, int]] = {
    PURCHASE: 4, BROWSE: 4, ENGAGEMENT: 5, ASSIGNMENT: 4, DELETION: 3,
}  # fmt: skip
TIMES: Final = ("occurred_at", "requested_at", "expires_at")
IDS: Final = ("event_id", "assignment_id", "request_id")
#: What of the table stands for a field that is another one in each kind of event.
_ROLES: Final = {**dict.fromkeys(IDS, "id"), "occurred_at": "time", "requested_at": "time"}


def normalize_field_name(name: str) -> str:
    """Return a name in lower case, its words parted by ``_``, in the singular.

    >>> [normalize_field_name(each) for each in ("userId", "Order-Lines", "SKU")]
    ['user_id', 'order_line', 'sku']
    """
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    folded = re.sub(r"[^a-z0-9]+", "_", parted.casefold()).strip("_")
    if folded.endswith("ies"):
        return f"{folded[:-3]}y"
    return folded[:-1] if folded.endswith("s") and not folded.endswith(("ss", "us")) else folded


def list_field_paths(kind: int) -> dict[str, str]:
    """Return the fields of a kind of event and of its items, with the path of each."""
    paths = {field: field for field in EVENT_FIELDS[kind]}
    if kind in ITEM_PATHS:
        paths |= {
            field: f"{ITEM_PATHS[kind]}.{field}" for field in ITEM_FIELDS if field not in paths
        }
    return paths


def find_lookalike(path: str, kind: int) -> str | None:
    """Return the field of a kind of event that what nobody reads at a path looks like."""
    wanted = list_field_paths(kind)
    name = normalize_field_name(path.rpartition(".")[2].removesuffix("[]"))
    shapes = {normalize_field_name(field): field for field in wanted}
    candidates = [shapes[name]] if name in shapes else []
    if name == "id" and "[]." in path:
        candidates.append("product_id")
    for role in _BY_NAME.get(name, ()):
        candidates += [field for field in wanted if field == role or _ROLES.get(field) == role]
    if not candidates:
        candidates = [shapes[near] for near in difflib.get_close_matches(name, shapes, 1, _ALIKE)]
    return next((field for field in candidates if _may_be(field, path, kind)), None)


def _may_be(field: str, path: str, kind: int) -> bool:
    """Whether a field of an event may stand at a path: what is in an item is of the item."""
    is_within = "[]." in path
    return not (is_within and kind in ITEM_PATHS and field not in ITEM_FIELDS)
