import json
from typing import Any

import msgspec
import pytest

from stream_persona.domain import events
from stream_persona.domain.events import (
    KINDS,
    decode_event,
    decode_for_taxonomy,
    encode,
    format_rfc3339,
    get_event_time,
    to_milliseconds,
)
from stream_persona.domain.identity import NOBODY_IDS, NobodyIds
from stream_persona.domain.time import parse_number
from stream_persona.errors import DecodeError
from stream_persona.kafka.letters import MAX_DETAIL
from tests.support.constants import NOW
from tests.support.event_examples import BASE, EXAMPLES, VIEW
from tests.support.events import (
    assignment,
    browse,
    kind_of,
    shop,
)


def reason(kind: int, value: object) -> str:
    blob = value if isinstance(value, bytes) or value is None else json.dumps(value).encode()
    with pytest.raises(DecodeError) as caught:
        decode_event(kind, blob)
    assert caught.value.detail
    return caught.value.reason


def bought(**item: object) -> dict[str, Any]:
    return {**BASE, "items": [{"product_id": "p", **item}]}


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: type(event).__name__)
def test_every_kind_survives_its_json(event: events.Event) -> None:
    assert decode_event(kind_of(event), encode(event)) == event


def test_unknown_fields_are_ignored() -> None:
    assert (
        decode_event(events.BROWSE, json.dumps({**VIEW, "shoe_size": [43]}).encode()).action
        == "view"
    )


#: Each kind with the field of its time, and with that of its end.
TIMED: list[tuple[int, dict[str, Any], str]] = [
    (0, bought(), "occurred_at"),
    (1, VIEW, "occurred_at"),
    (2, {**BASE, "channel": "email", "action": "open"}, "occurred_at"),
    (3, {**BASE, "assignment_id": "a", "persona": None}, "occurred_at"),
    (3, {**BASE, "assignment_id": "a", "persona": None}, "expires_at"),
    (4, {"request_id": "r", "customer_id": "c"}, "requested_at"),
]
AT = NOW + 123


@pytest.mark.parametrize(
    "written",
    [
        "2025-11-24T17:00:00.123+01:00", 1_764_000_000.123, 1_764_000_000_123,
        1_764_000_000_123.9, 1_764_000_000_123_999, 1_764_000_000_123_999_999,
    ],
)  # fmt: skip
@pytest.mark.parametrize(("kind", "fields", "name"), TIMED)
def test_every_time_may_be_written_in_any_form(
    kind: int, fields: dict[str, Any], name: str, written: object
) -> None:
    event = decode_event(kind, json.dumps({**fields, name: written}).encode())
    assert to_milliseconds(getattr(event, name)) == AT
    assert decode_event(kind, encode(event)) == event
    assert format_rfc3339(AT) == "2025-11-24T16:00:00.123Z"


@pytest.mark.parametrize("written", [0, 1, 86_400.5, 99_999_999_999, 253_402_300_799_999_999_999])
@pytest.mark.parametrize(("kind", "fields", "name"), TIMED)
def test_a_time_that_is_no_milliseconds_by_its_size_survives_its_json(
    kind: int, fields: dict[str, Any], name: str, written: float
) -> None:
    event = decode_event(kind, json.dumps({**fields, name: written}).encode())
    assert to_milliseconds(getattr(event, name)) == parse_number(written)
    assert decode_event(kind, encode(event)) == event


@pytest.mark.parametrize(
    "written", [-1, -0.5, True, str(NOW), "yesterday", "2025-11-24", [], {}, 1e30, 10**40]
)
@pytest.mark.parametrize(("kind", "fields", "name"), TIMED)
def test_a_letter_of_a_wrong_time_names_its_field_and_all_forms(
    kind: int, fields: dict[str, Any], name: str, written: object
) -> None:
    with pytest.raises(DecodeError) as caught:
        decode_event(kind, json.dumps({**fields, name: written}).encode())
    assert caught.value.reason == "invalid_field"
    assert f"$.{name}" in caught.value.detail
    for form in ("RFC 3339", "seconds", "milliseconds", "microseconds", "nanoseconds"):
        assert form in caught.value.detail


@pytest.mark.parametrize("given", ["stare", "View", "vi\u0435w", "view ", 5, None, "\u0435" * 900])
def test_a_letter_of_an_unknown_action_lists_the_known_ones_and_tells_letters_apart(
    given: object,
) -> None:
    with pytest.raises(DecodeError) as caught:
        decode_event(events.BROWSE, json.dumps({**VIEW, "action": given}).encode())
    assert caught.value.detail.isascii()
    assert len(caught.value.detail) < MAX_DETAIL
    for action in ("view", "search", "add_to_cart", "remove_from_cart", "wishlist"):
        assert f" {action}" in caught.value.detail


@pytest.mark.parametrize(
    ("given", "known", "shown"),
    [
        ("\u0435" * 128, "parent", "is not of the taxonomy; expected one of parent, student"),
        ("teen", "parent", "persona 'teen' is not of the taxonomy; expected one of parent, "),
        ("p\u0430rent", "parent", "'p\u0430rent' ('p\\u0430rent') is not of the taxonomy"),
    ],
)  # fmt: skip
def test_a_letter_of_an_unknown_persona_tells_apart_what_looks_alike(
    given: str, known: str, shown: str
) -> None:
    with pytest.raises(DecodeError) as caught:
        decode_for_taxonomy(3, encode(assignment("a", persona=given)), shop([known, "student"]))
    assert caught.value.reason == "unknown_persona"
    assert shown in caught.value.detail
    assert len(caught.value.detail) < MAX_DETAIL


@pytest.mark.parametrize(
    "customer", ["", " ", "\t", "undefined", " NULL\n", "guest", "0", "(none)"]
)
def test_an_event_of_nobody_is_read_whatever_else_is_wrong_with_the_id(customer: str) -> None:
    event = decode_event(events.BROWSE, json.dumps({**VIEW, "customer_id": customer}).encode())
    assert event.customer_id in NOBODY_IDS
    given = assignment("a", customer=customer, persona="unheard-of")
    assert decode_for_taxonomy(3, encode(given), shop()) == given


def test_which_ids_are_of_nobody_can_be_set() -> None:
    kiosk = encode(browse("b", customer=" Kiosk "))
    assert decode_event(events.BROWSE, kiosk, NobodyIds(["kiosk"])).customer_id == " Kiosk "
    assert reason(events.BROWSE, kiosk) == "invalid_id"


def test_every_kind_has_a_time() -> None:
    assert {get_event_time(event) for event in EXAMPLES} == {NOW}


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (0, None, "empty"),
        (0, b"", "empty"),
        (1, b"not json", "not_json"),
        (1, b"\xef\xbb\xbf{}", "not_json"),
        (1, b'{"event_id": "e', "not_json"),
        (1, b'{"a":' * 100_000, "too_deep"),
        (1, b'{"a":' + b"[" * 100_000, "too_deep"),
        (1, b"[1]", "invalid_field"),
        (1, encode(VIEW).replace(b'"e"', b'"\xff"'), "not_utf8"),
        (1, encode(VIEW).replace(b'"e"', b'"\\ud800"'), "not_json"),
        (1, {"customer_id": "c"}, "invalid_field"),
        (1, {**VIEW, "action": "stare"}, "invalid_field"),
        (1, {**VIEW, "action": "view\n"}, "invalid_field"),
        (1, {**VIEW, "event_id": ""}, "invalid_field"),
        (1, {**VIEW, "event_id": 5}, "invalid_field"),
        (1, {**VIEW, "customer_id": "C1 "}, "invalid_id"),
        (1, {**VIEW, "customer_id": "\u2003C1"}, "invalid_id"),
        (1, {**VIEW, "customer_id": "C1\n"}, "invalid_id"),
        (1, {**VIEW, "customer_id": None}, "invalid_field"),
        (1, {**VIEW, "customer_id": 0}, "invalid_field"),
        (1, {**VIEW, "customer_id": "x" * 257}, "invalid_field"),
        (1, {**VIEW, "customer_id": "é" * 200}, "invalid_id"),
        (1, {**VIEW, "customer_id": "a\nb"}, "invalid_id"),
        (1, {**VIEW, "customer_id": "a\x00b"}, "invalid_id"),
        (1, {**VIEW, "occurred_at": "yesterday"}, "invalid_field"),
        (1, {**VIEW, "occurred_at": "2024-01-01T00:00:00"}, "invalid_field"),
        (1, {**VIEW, "occurred_at": "0001-01-01T00:00:00+14:00"}, "invalid_field"),
        (1, {**VIEW, "occurred_at": "1969-12-31T23:59:59.999Z"}, "invalid_field"),
        (1, {**VIEW, "occurred_at": "9999-12-31T23:59:59-14:00"}, "invalid_field"),
        (1, {**VIEW, "occurred_at": -1}, "invalid_field"),
        (1, {**VIEW, "occurred_at": 10**30}, "invalid_field"),
        (1, {**VIEW, "occurred_at": True}, "invalid_field"),
        (1, {**VIEW, "attributes": {f"k{i}": "v" for i in range(65)}}, "invalid_field"),
        (0, {**BASE, "items": []}, "invalid_field"),
        (0, {**BASE, "items": [{"product_id": "p"}] * 1_001}, "invalid_field"),
        (0, bought(price="3"), "invalid_field"),
        (0, bought(price=10**400), "invalid_field"),
        (0, encode(bought(price=7)).replace(b"7", b"NaN"), "not_json"),
        (0, encode(bought(price=7)).replace(b"7", b"Infinity"), "not_json"),
        (0, encode(bought(price=7)).replace(b"7", b"1e999"), "invalid_field"),
        (2, {**BASE, "channel": "", "action": "open"}, "invalid_field"),
        (3, {"assignment_id": "a", "customer_id": "c", "occurred_at": NOW}, "invalid_field"),
        (4, {"request_id": "r", "customer_id": "c", "requested_at": None}, "invalid_field"),
    ],
)  # fmt: skip
def test_an_unreadable_message_has_a_reason(kind: int, value: object, expected: str) -> None:
    assert reason(kind, value) == expected


def test_the_last_moment_of_the_year_9999_is_readable() -> None:
    blob = json.dumps({**VIEW, "occurred_at": "9999-12-31T23:59:59.999Z"}).encode()
    assert (
        format_rfc3339(get_event_time(decode_event(events.BROWSE, blob)))
        == "9999-12-31T23:59:59.999Z"
    )


def test_each_kind_has_its_own_number() -> None:
    assert [KINDS[number] for number in range(5)] == [type(event) for event in EXAMPLES]
    assert all(issubclass(kind, msgspec.Struct) for kind in KINDS)
