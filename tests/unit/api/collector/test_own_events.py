"""Events of our own shapes, as anybody posts them: their kinds, and what they may leave out."""

import json
import uuid
from typing import Any

import msgspec
import pytest

from stream_persona.api.collector.own_events import find_named_kind, read_own_event
from stream_persona.domain.events import (
    BROWSE,
    ENGAGEMENT,
    PURCHASE,
    Browse,
    Purchase,
    get_event_time,
)
from stream_persona.domain.identity import NOBODY_IDS
from stream_persona.errors import DecodeError

AT = 1_764_000_000_000
ITEM = {"product_id": "p1"}


def read(**document: Any) -> Any:
    return read_own_event(msgspec.Raw(json.dumps(document).encode()), AT, NOBODY_IDS)


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        ({"items": [ITEM]}, PURCHASE),
        ({"items": [ITEM], "order_id": "o1", "event_id": "e1"}, PURCHASE),
        *(({"action": action}, BROWSE) for action in ("view", "search", "wishlist")),
        ({"action": "add_to_cart", "product": ITEM}, BROWSE),
        ({"action": "opens"}, BROWSE),  # which it then is refused as
        ({"channel": "email", "action": "open"}, ENGAGEMENT),
        ({"channel": "push"}, ENGAGEMENT),
        ({"type": "browse", "action": "view", "channel": "web"}, BROWSE),
        ({"type": "engagement", "action": "view", "channel": "email"}, ENGAGEMENT),
        ({"type": "purchase", "items": [ITEM], "action": "buy", "channel": "shop"}, PURCHASE),
    ],
)
def test_an_event_is_of_the_kind_that_its_type_or_its_shape_names(
    document: dict[str, Any], kind: int
) -> None:
    assert find_named_kind(document) == kind


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ({"items": [ITEM], "action": "view"}, "`items`, `action` may be of two kinds"),
        ({"items": [ITEM], "channel": "web"}, "`items`, `channel` may be of two kinds"),
        ({"action": "view", "channel": "web"}, "`action`, `channel` may be of two kinds"),
        ({"items": [], "action": "open", "channel": "x"}, "may be of two kinds"),
        ({"product": ITEM}, "an event has `items` (a purchase), `action`"),
        ({}, "an event has `items`"),
        ({"type": "view"}, "expected one of purchase, browse, engagement, got 'view'"),
        ({"type": "Purchase", "items": [ITEM]}, "got 'Purchase'"),
        ({"type": None, "items": [ITEM]}, "got NoneType"),
        ({"type": 3, "items": [ITEM]}, "got int"),
        ({"type": "assignment"}, "is for PUT /v1/customers/{id}/assignment"),
        ({"type": "deletion"}, "is for DELETE /v1/customers/{id}"),
        ({"persona": "student"}, "`persona` is for PUT /v1/customers/{id}/assignment"),
        ({"request_id": "r1", "customer_id": "c1"}, "is for DELETE /v1/customers/{id}"),
    ],
)
def test_an_event_that_may_be_of_two_kinds_or_of_none_is_refused(
    document: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(DecodeError) as refused:
        find_named_kind(document)
    assert sentence in refused.value.detail


def test_fields_of_commands_do_not_make_a_command_of_an_event() -> None:
    assert find_named_kind({"items": [ITEM], "request_id": "r1"}) == PURCHASE


def test_an_event_without_a_time_happened_when_it_came_in() -> None:
    kind, event = read(event_id="e1", customer_id="c1", action="search", query="nappies")
    assert kind == BROWSE
    assert event == Browse("e1", "c1", AT, "search", query="nappies")


def test_an_event_without_an_id_gets_one_of_its_own_each_time() -> None:
    ids = {read(customer_id="c1", items=[ITEM])[1].event_id for _ in range(2)}
    assert len({uuid.UUID(each) for each in ids}) == 2


def test_an_event_keeps_the_time_and_the_id_that_it_has() -> None:
    _, event = read(
        event_id="e1", customer_id="c1", occurred_at="2025-11-24T16:00:00Z", items=[ITEM]
    )
    assert isinstance(event, Purchase)
    assert (event.event_id, get_event_time(event)) == ("e1", 1_764_000_000_000)


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ({"items": [ITEM]}, "customer_id"),
        ({"customer_id": "c1", "items": []}, "items"),
        ({"customer_id": "c1", "items": [{}]}, "product_id"),
        ({"customer_id": " c1", "items": [ITEM]}, "blanks at an end"),
        ({"customer_id": "c1", "items": [ITEM], "event_id": ""}, "event_id"),
        ({"customer_id": "c1", "items": [ITEM], "event_id": None}, "event_id"),
        ({"customer_id": "c1", "items": [ITEM], "occurred_at": None}, "occurred_at"),
        ({"customer_id": "c1", "items": [ITEM], "occurred_at": "today"}, "occurred_at"),
        ({"customer_id": "c1", "action": "looked"}, "expected one of view, search"),
        ({"customer_id": "c1", "channel": "email"}, "action"),
    ],
)
def test_an_event_that_no_worker_could_read_is_refused(
    document: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(DecodeError) as refused:
        read(**document)
    assert sentence in refused.value.detail


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "not_json"),
        (b"{", "not_json"),
        (b"3", "invalid_field"),
        (b"null", "invalid_field"),
        (b'"text"', "invalid_field"),
        (b'[{"items": []}]', "invalid_field"),
        (b'{"customer_id": "\xff"}', "not_utf8"),
        (b'{"customer_id": "\\ud800", "items": [{"product_id": "p"}]}', "not_json"),
        (b'{"items": ' + b"[" * 300 + b"]" * 300 + b"}", "too_deep"),
        (b'{"query": "' + b"x" * 32_768 + b'"}', "too_large"),
    ],
)
def test_what_is_no_event_at_all_is_refused(raw: bytes, reason: str) -> None:
    with pytest.raises(DecodeError) as refused:
        read_own_event(msgspec.Raw(raw), AT, NOBODY_IDS)
    assert refused.value.reason == reason
