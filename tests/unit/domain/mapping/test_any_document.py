"""Whatever a document holds, it is mapped or refused by a DecodeError, at a bounded cost."""

import copy
import math
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_persona.domain.anomaly import Anomaly
from stream_persona.domain.events import KINDS, REASONS, decode_event, encode
from stream_persona.domain.mapping.documents import MappedDocument, decode_document, map_document
from stream_persona.domain.message_size import MAX_BYTES
from stream_persona.errors import DecodeError
from tests.support.foreign.presets import ways

WAYS = ways()
SOURCES = {name: way.sources for name, way in WAYS.items()}
#: One for each preset.
PRESETS = {
    "segment": SOURCES["segment segment-python"], "ga4": SOURCES["ga4 export"],
    "snowplow": SOURCES["snowplow raw"], "shopify": SOURCES["shopify"],
    "cloudevents": SOURCES["cloudevents of ours"], "expressions": SOURCES["expressions"],
}  # fmt: skip
each_preset = pytest.mark.parametrize("preset", PRESETS)


def check_reason(error: DecodeError) -> None:
    assert error.reason in REASONS


def check(preset: str, document: object) -> MappedDocument | None:
    """Map a document; every event of it is one that our own shape would be read as."""
    try:
        found = map_document(PRESETS[preset], document, arrived_at=1_764_000_000_000)
    except DecodeError as error:
        check_reason(error)
        return None
    for kind, event in found.events:
        assert isinstance(event, KINDS[kind])
        assert decode_event(kind, encode(event)) == event
    assert set(found.left_out) <= set(Anomaly)
    return found


LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20),
    st.sampled_from(["", "0", "12.50", "nan", "2025-11-24T09:00:00Z", "(not set)", "\x00", "a "]),
    st.sampled_from([math.nan, math.inf, 10**400, -1, 1e308, 2**63, "\ud800"]),
)  # fmt: skip
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)  # fmt: skip


@each_preset
@given(document=ANYTHING)
def test_any_document_is_mapped_or_refused(preset: str, document: object) -> None:
    check(preset, document)


EXAMPLES = [
    (name, document)
    for name, way in WAYS.items()
    for document in way.documents
    if isinstance(document, dict | list)
]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if not isinstance(value, dict | list):
        return
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield from places(inner, (*path, key))


def put(document: Any, path: tuple[Any, ...], value: object) -> Any:
    if not path:
        return value
    copied = copy.deepcopy(document)
    target = copied
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    return copied


PLACES = [list(places(document)) for _, document in EXAMPLES]


@given(data=st.data(), value=ANYTHING)
def test_a_document_with_anything_at_any_place_is_mapped_or_refused(
    data: st.DataObject, value: object
) -> None:
    number = data.draw(st.integers(0, len(EXAMPLES) - 1))
    document = put(EXAMPLES[number][1], data.draw(st.sampled_from(PLACES[number])), value)
    for preset in PRESETS:
        check(preset, document)


@given(
    value=st.binary(max_size=200)
    | ANYTHING.map(repr).map(lambda text: text.encode(errors="replace"))
)
def test_any_bytes_are_a_document_or_refused(value: bytes) -> None:
    try:
        document = decode_document(value)
    except DecodeError as error:
        check_reason(error)
        return
    for preset in PRESETS:
        check(preset, document)


@pytest.mark.parametrize(
    ("value", "reason"),
    [(b"", "empty"), (None, "empty"), (b"{", "not_json"), (b'"\xff"', "not_utf8"),
     (b" " * (MAX_BYTES + 1), "too_large"), (b"[" * 300 + b"]" * 300, "too_deep"),
     (b'"\\ud800"', "not_json")],
)  # fmt: skip
def test_the_limits_of_messages_are_those_of_our_own(value: bytes | None, reason: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decode_document(value)
    assert caught.value.reason == reason


def deep(document: Any = None) -> Any:
    for _ in range(100_000):
        document = {"data": document, "properties": [document]}
    return document


@each_preset
def test_a_document_of_any_depth_is_mapped_or_refused(preset: str) -> None:
    nested = deep({})
    for document in (
        nested, {"type": "track", "event": "Product Viewed", "properties": nested},
        {"event_name": "view_item", "event_timestamp": 1, "event_params": nested, "items": nested},
        {"events": [{"name": "search", "params": nested}], "client_id": "a"},
        {"line_items": nested, "token": nested},
    ):  # fmt: skip
        check(preset, document)


PRODUCTS = [{"product_id": "P", "item_id": "P", "id": "P", "sku": "P", "price": "1.5"}] * 10_000
TINY = [{}] * 300_000
TRACK = {"type": "track", "messageId": "m", "userId": "c", "timestamp": 1_764_000_000}
HOSTILE = {
    "a long basket": {**TRACK, "event": "Order Completed", "properties": {"products": PRODUCTS}},
    "a basket of nothing": {**TRACK, "event": "Order Completed", "properties": {"products": TINY}},
    "a long cart": {**TRACK, "event": "Product Added", "properties": {"products": TINY}},
    "a long batch": {"batch": TINY},
    "a row of many items": {"event_name": "view_item", "event_timestamp": 1, "items": TINY},
    "a row of many parameters": {
        "event_name": "search", "event_timestamp": 1_764_000_000, "user_pseudo_id": "a",
        "event_params": [{"key": "k", "value": {"int_value": 1}}] * 20_000,
    },
    "a long request": {"client_id": "c", "events": TINY},
    "a long order": {"order_number": 1, "id": 1, "line_items": TINY},
    "a long webhook": {"token": "t", "line_items": TINY},
    "many envelopes": TINY,
    "many entities": {
        "event_id": "e", "event": "unstruct",
        "contexts": {"data": [{"schema": "iglu:a/b/c/1-0-0", "data": {}}] * 20_000},
        "unstruct_event": {"data": {
            "schema": "iglu:com.snowplowanalytics.snowplow.ecommerce/snowplow_ecommerce_action/"
            "jsonschema/1-0-0", "data": {"type": "transaction"},
        }},
    },
    "a long number": {**TRACK, "event": "Product Viewed", "properties": {
        "product_id": "P", "price": "1" * 900_000,
    }},
    "long texts": dict.fromkeys(("id", "source", "specversion", "subject"), "x" * 200000),
}  # fmt: skip


@pytest.mark.parametrize("document", HOSTILE.values(), ids=list(HOSTILE))
def test_the_cost_of_a_document_is_bounded(document: object) -> None:
    began = time.process_time()
    for preset in PRESETS:
        check(preset, document)
    assert time.process_time() - began < 5.0  # what grew with the square would take minutes


def test_a_document_has_so_many_events_and_items_and_no_more() -> None:
    call = {**TRACK, "event": "Products Searched", "properties": {"query": "dog"}}
    found = check("segment", {"batch": [call] * 10_000})
    assert found is not None
    assert len(found.events) == 10_000
    assert check("segment", {"batch": [call] * 10_001}) is None
    for event in ("Order Completed", "Product Added"):
        listed = {**TRACK, "event": event, "properties": {"products": PRODUCTS[:1_000]}}
        assert check("segment", listed) is not None
        assert check("segment", put(listed, ("properties", "products"), PRODUCTS[:1_001])) is None


def test_values_of_other_formats_are_read_or_refused_as_json_is() -> None:
    from datetime import UTC, datetime
    from decimal import Decimal

    document = WAYS["expressions"].documents[-1] | {"at": datetime(2025, 11, 24, tzinfo=UTC)}
    assert check("expressions", document) is not None
    bought = next(d for d in WAYS["expressions"].documents if d["shop_event"] == "purchase")
    for price, is_right in ((Decimal("9.50"), True), (Decimal("NaN"), False), (math.nan, False)):
        lines = [{**bought["lines"][0], "paid": price}]
        found = check("expressions", {**bought, "lines": lines})
        assert (found is not None) == is_right
    assert check("expressions", {**bought, "nr": "\ud800"}) is None
    assert check("expressions", {**bought, "nr": b"bytes"}) is None


@pytest.mark.parametrize(
    ("preset", "document"),
    [("segment", {"batch": []}), ("ga4", {"client_id": "c", "events": []}), ("cloudevents", [])],
)
def test_a_document_that_holds_nothing_is_counted_too(preset: str, document: object) -> None:
    found = check(preset, document)
    assert found is not None
    assert (found.events, found.left_out) == ((), {Anomaly.NOT_OF_INTEREST: 1})
