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
    encode,
    event_id,
    event_time,
    rfc3339,
)
from stream_persona.errors import DecodeError
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


def test_a_time_may_be_rfc_3339_or_epoch_milliseconds() -> None:
    text = json.dumps({**VIEW, "occurred_at": "2025-11-24T17:00:00.123+01:00"}).encode()
    assert event_time(decode_event(events.BROWSE, text)) == NOW + 123
    assert rfc3339(NOW + 123) == "2025-11-24T16:00:00.123Z"


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
        (1, {**VIEW, "customer_id": ""}, "invalid_field"),
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
        (0, bought(price=-0.01), "invalid_field"),
        (0, bought(price="3"), "invalid_field"),
        (0, bought(price=10**400), "invalid_field"),
        (0, bought(quantity=0), "invalid_field"),
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
@hypothesis(max_examples=300)
def test_arbitrary_bytes_are_an_event_or_a_decode_error(kind: int, blob: bytes) -> None:
    read_or_refused(kind, blob)


@given(
    st.sampled_from(EXAMPLES),
    st.data(),
)
@hypothesis(max_examples=400)
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
TIMES = st.integers(0, 253_402_300_799_999) | st.just(0) | st.datetimes().map(
    lambda time: time.isoformat() + "Z"
)  # fmt: skip
ATTRIBUTES = st.none() | st.dictionaries(TEXT, TEXT, max_size=5)
NUMBERS = st.floats(0, allow_infinity=False, exclude_min=True)
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
@hypothesis(max_examples=150)
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
