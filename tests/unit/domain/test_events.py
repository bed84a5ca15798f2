import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from stream_persona.domain import events
from stream_persona.domain.events import (
    KINDS,
    REASONS,
    decode_event,
    decode_for_taxonomy,
    encode,
    event_id,
    event_time,
    milliseconds,
    rfc3339,
)
from stream_persona.domain.identity import NOBODY_IDS, NobodyIds
from stream_persona.domain.time import parse_number
from stream_persona.errors import DecodeError
from stream_persona.kafka.letters import MAX_DETAIL
from tests.support.constants import NOW
from tests.support.events import (
    assignment,
    browse,
    deletion,
    deliver,
    engagement,
    kind_of,
    purchase,
    quick_shop,
    shop,
)
from tests.support.examples import count_examples
from tests.support.processing import process_batch

BASE: dict[str, Any] = {"event_id": "e", "customer_id": "c", "occurred_at": NOW}
VIEW = {**BASE, "action": "view"}
EXAMPLES = (purchase("p"), browse("b"), engagement("e"), assignment("a"), deletion("d"))


def reason(kind: int, value: object) -> str:
    blob = value if isinstance(value, bytes) or value is None else json.dumps(value).encode()
    with pytest.raises(DecodeError) as caught:
        decode_event(kind, blob)
    assert caught.value.detail
    return caught.value.reason


def read_or_refused(kind: int, blob: bytes) -> events.Event | None:
    """The event, or None where the bytes were refused with a known reason."""
    refusal = None
    try:
        return decode_event(kind, blob)
    except DecodeError as error:
        refusal = error.reason
    assert refusal in REASONS
    return None


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
    assert milliseconds(getattr(event, name)) == AT
    assert decode_event(kind, encode(event)) == event
    assert rfc3339(AT) == "2025-11-24T16:00:00.123Z"


@pytest.mark.parametrize("written", [0, 1, 86_400.5, 99_999_999_999, 253_402_300_799_999_999_999])
@pytest.mark.parametrize(("kind", "fields", "name"), TIMED)
def test_a_time_that_is_no_milliseconds_by_its_size_survives_its_json(
    kind: int, fields: dict[str, Any], name: str, written: float
) -> None:
    event = decode_event(kind, json.dumps({**fields, name: written}).encode())
    assert milliseconds(getattr(event, name)) == parse_number(written)
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


def test_every_kind_has_an_id_and_a_time() -> None:
    assert [event_id(event) for event in EXAMPLES] == ["p", "b", "e", "a", "d"]
    assert {event_time(event) for event in EXAMPLES} == {NOW}


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
    assert rfc3339(event_time(decode_event(events.BROWSE, blob))) == "9999-12-31T23:59:59.999Z"


@given(st.integers(0, 4), st.binary(max_size=200))
@hypothesis(max_examples=count_examples(300))
def test_arbitrary_bytes_are_an_event_or_a_decode_error(kind: int, blob: bytes) -> None:
    read_or_refused(kind, blob)


@given(
    st.sampled_from(EXAMPLES),
    st.data(),
)
@hypothesis(max_examples=count_examples(400))
def test_a_damaged_event_is_an_event_or_a_decode_error(
    event: events.Event, data: st.DataObject
) -> None:
    blob = bytearray(encode(event))
    at = data.draw(st.integers(0, len(blob) - 1))
    blob[at : at + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=9))
    read = read_or_refused(kind_of(event), bytes(blob))
    assert read is None or decode_event(kind_of(event), encode(read)) == read


TEXT = st.text(max_size=40) | st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
IDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=80)
CUSTOMERS = IDS.filter(str.isprintable).filter(lambda text: len(text.encode()) <= 256)
TIMES = st.one_of(
    *(st.integers(0, 253_402_300_799_999).map(lambda at, per=per: at // per) for per in (1, 1_000)),
    *(st.integers(0, 253_402_300_799_999).map(lambda at, per=per: at * per)
      for per in (1_000, 1_000_000)),
    st.floats(0, 2e20), st.just(0), st.datetimes().map(lambda time: time.isoformat() + "Z"),
)  # fmt: skip
ATTRIBUTES = st.none() | st.dictionaries(TEXT, TEXT, max_size=5)
NUMBERS = st.floats(allow_infinity=False, allow_nan=False)
ITEMS = st.fixed_dictionaries(
    {"product_id": IDS},
    optional={
        "category": TEXT | st.text("a/", max_size=30), "brand": TEXT, "price": NUMBERS,
        "quantity": NUMBERS, "attributes": ATTRIBUTES,
    },
)  # fmt: skip
EVENT = {"event_id": IDS, "customer_id": CUSTOMERS, "occurred_at": TIMES}
MESSAGES = st.one_of(
    st.tuples(st.just(0), st.fixed_dictionaries(
        {**EVENT, "items": st.lists(ITEMS, min_size=1, max_size=5), "attributes": ATTRIBUTES})),
    st.tuples(st.just(1), st.fixed_dictionaries(
        {**EVENT, "action": st.sampled_from(["view", "search", "wishlist", "add_to_cart"]),
         "query": TEXT, "product": st.none() | ITEMS, "attributes": ATTRIBUTES})),
    st.tuples(st.just(2), st.fixed_dictionaries(
        {**EVENT, "channel": IDS.map(lambda t: t[:64]), "action": IDS.map(lambda t: t[:64]),
         "campaign": TEXT})),
    st.tuples(st.just(3), st.fixed_dictionaries(
        {"assignment_id": IDS, "customer_id": CUSTOMERS, "occurred_at": TIMES,
         "persona": st.none() | st.sampled_from(["parent", "gamer"]), "source": TEXT,
         "expires_at": st.none() | TIMES})),
    st.tuples(st.just(4), st.fixed_dictionaries(
        {"request_id": IDS, "customer_id": CUSTOMERS, "requested_at": TIMES})),
)  # fmt: skip


@given(MESSAGES, st.sampled_from([-14.0, 0.0, 14.0]))
@example((1, {**VIEW, "occurred_at": "9999-12-31T23:59:59.999Z"}), 14.0)
@example((1, {**VIEW, "occurred_at": "9999-12-31T23:59:59.999-14:00"}), 0.0)
@example((1, {**VIEW, "occurred_at": 0}), -14.0)
@example((3, {"assignment_id": "a", "customer_id": "c", "persona": None,
              "occurred_at": "9999-12-31T23:59:59-14:00"}), 0.0)  # fmt: skip
@hypothesis(max_examples=count_examples(150))
def test_every_readable_event_can_be_processed(
    message: tuple[int, dict[str, object]], offset_hours: float
) -> None:
    kind, fields = message
    event = read_or_refused(kind, json.dumps(fields).encode())
    if event is None:
        return
    assert decode_event(kind, encode(event)) == event
    outcome = process_batch(deliver(event), quick_shop(timezone_offset_hours=offset_hours))
    assert sum(outcome.applied) == 1


def test_a_thousand_items_of_the_highest_weight_can_be_processed() -> None:
    taxonomy = shop(signals={"purchase": 64})
    event = purchase("p", categories=[f"a/b/c/{i % 50}" for i in range(1_000)])
    assert process_batch(deliver(event), taxonomy).records["c"].counts.values.min() > 0


def test_a_signal_without_weight_leaves_no_count() -> None:
    outcome = process_batch(deliver(browse("b")), shop(signals={"search": 0}))
    assert not len(outcome.records["c"].counts.keys)
    assert not outcome.messages


def test_an_event_at_the_beginning_of_1970_counts_like_any_other() -> None:
    outcome = process_batch(deliver(purchase("p", 0)), shop())
    assert outcome.dropped == 0
    assert len(outcome.records["c"].counts.keys)


def test_each_kind_has_its_own_number() -> None:
    assert [KINDS[number] for number in range(5)] == [type(event) for event in EXAMPLES]
    assert all(issubclass(kind, msgspec.Struct) for kind in KINDS)
