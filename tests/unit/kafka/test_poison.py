"""What broken producers send, through the whole path: an event with bounded effect, or a letter."""

import json
from dataclasses import replace
from typing import Any

import pytest

from stream_persona.domain import events
from stream_persona.domain.events import MAX_BYTES, MAX_DEPTH, MAX_ITEM_ATTRIBUTES, REASONS
from stream_persona.domain.taxonomy import FIELDS
from stream_persona.domain.token_names import MAX_NAME
from stream_persona.domain.tokenizer import MAX_TOKENS, Tokenizer
from tests.support.constants import NOW
from tests.support.events import purchase, shop
from tests.support.names import load_all_carried
from tests.support.one_worker import SHOP, good, left_by, stored
from tests.support.processing import unpack_tokens
from tests.support.workers import fetch, raw

LETTERS = "persona-dead-letters"
YEAR_9999 = "9999-12-31T23:59:59.999Z"

BASE: dict[str, Any] = {"event_id": "e", "customer_id": "c", "occurred_at": NOW}
VIEW = {**BASE, "action": "view"}
BOUGHT = {**BASE, "items": [{"product_id": "p"}]}
ASSIGNED = {"assignment_id": "a", "customer_id": "c", "occurred_at": NOW, "persona": "parent"}
DELETED = {"request_id": "r", "customer_id": "c", "requested_at": NOW}
OPENED = {**BASE, "channel": "email", "action": "open"}


def text(fields: dict[str, Any], **changed: Any) -> bytes:
    return json.dumps({**fields, **changed}).encode()


def bought(**item: Any) -> bytes:
    return text(BASE, items=[{"product_id": "p", **item}])


def with_literal(literal: bytes) -> bytes:
    """An event whose price is any bytes at all."""
    return bought(price=7).replace(b"7}", literal + b"}")


def basket(items: int, attributes: int = 0, length: int = 1, **more: Any) -> bytes:
    given = {**more, "attributes": {f"k{i}": "v" * length for i in range(attributes)}}
    return text(BASE, items=[{"product_id": f"p{i}", **given} for i in range(items)])


def nested(levels: int, opening: bytes = b"[", closing: bytes = b"]") -> bytes:
    """An event that is nested so deep in an unknown field."""
    inner = levels - 1
    return text(VIEW)[:-1] + b',"z":' + opening * inner + b"0" + closing * inner + b"}"


LONG = "x" * 900_000

REFUSED: dict[str, tuple[str, bytes | None, str]] = {
    # --- no JSON ---
    "a tombstone": ("purchases", None, "empty"),
    "no bytes": ("purchases", b"", "empty"),
    "random bytes": ("browses", bytes(range(256)), "not_json"),
    "zeros": ("browses", bytes(10_000), "not_json"),
    "a byte order mark": ("browses", b"\xef\xbb\xbf" + text(VIEW), "not_json"),
    "UTF-16": ("browses", text(VIEW).decode().encode("utf-16"), "not_json"),
    "Avro's first byte": ("browses", b"\0\0\0\0\x07" + text(VIEW), "not_json"),
    "a truncated event": ("browses", text(VIEW)[:-9], "not_json"),
    "two events": ("browses", text(VIEW) * 2, "not_json"),
    "NaN": ("purchases", with_literal(b"NaN"), "not_json"),
    "Infinity": ("purchases", with_literal(b"-Infinity"), "not_json"),
    "a control character": ("browses", text(VIEW).replace(b'"e"', b'"\x01"'), "not_json"),
    "a lone surrogate": ("browses", text(VIEW, event_id="\ud800"), "not_json"),
    "a lone surrogate in a customer id": ("browses", text(VIEW, customer_id="\udfff"), "not_json"),
    "invalid UTF-8": ("browses", text(VIEW).replace(b'"e"', b'"\xff"'), "not_utf8"),
    "an overlong NUL": ("browses", text(VIEW).replace(b'"c"', b'"\xc0\x80"'), "not_utf8"),
    "a surrogate in UTF-8": ("browses", text(VIEW).replace(b'"c"', b'"\xed\xa0\x80"'), "not_utf8"),
    # --- too much ---
    "a huge event": ("browses", text(VIEW, query="x" * MAX_BYTES), "too_large"),
    "ten megabytes of nothing": ("browses", b" " * 10_000_000, "too_large"),
    "arrays without end": ("browses", b"[" * 900_000, "too_deep"),
    "arrays without bottom": ("browses", nested(MAX_DEPTH + 1), "too_deep"),
    "objects without bottom": ("browses", nested(100_000, b'{"a":', b"}"), "too_deep"),
    "10,000 items": ("purchases", basket(10_000), "invalid_field"),
    "too many attributes": ("purchases", basket(400, 11), "invalid_field"),
    "65 attributes": ("purchases", basket(1, 65), "invalid_field"),
    "a huge text": ("browses", text(VIEW, query=LONG), "invalid_field"),
    "a huge event id": ("browses", text(VIEW, event_id=LONG), "invalid_field"),
    "a huge action": ("browses", text(VIEW, action=LONG), "invalid_field"),
    "a huge attribute's key": ("browses", text(VIEW, attributes={LONG: "v"}), "invalid_field"),
    "a huge persona": ("persona-assignments", text(ASSIGNED, persona=LONG), "invalid_field"),
    "a huge number": ("purchases", with_literal(b"1" * 900_000), "invalid_field"),
    # --- other shapes ---
    "null": ("browses", b"null", "invalid_field"),
    "a list of events": ("browses", b"[" + text(VIEW) + b"]", "invalid_field"),
    "an event in a text": ("browses", json.dumps(text(VIEW).decode()).encode(), "invalid_field"),
    "another kind": ("browses", text(BOUGHT), "invalid_field"),
    "a number as id": ("browses", text(VIEW, event_id=5), "invalid_field"),
    "null as customer": ("browses", text(VIEW, customer_id=None), "invalid_field"),
    "no customer": ("customer-deletions", b'{"request_id":"r","requested_at":1}', "invalid_field"),
    "items in an object": ("purchases", text(BASE, items={"0": {}}), "invalid_field"),
    "no items": ("purchases", text(BASE, items=[]), "invalid_field"),
    "items that are null": ("purchases", text(BASE, items=[None]), "invalid_field"),
    "attributes in a list": ("engagements", text(OPENED, attributes=["a"]), "invalid_field"),
    "attributes that nest": ("engagements", text(OPENED, attributes={"a": {}}), "invalid_field"),
    "a boolean as time": ("browses", text(VIEW, occurred_at=True), "invalid_field"),
    # --- numbers ---
    "a price in a text": ("purchases", bought(price="3"), "invalid_field"),
    "a price without end": ("purchases", with_literal(b"1e999"), "invalid_field"),
    # --- times ---
    "the year 0001": ("browses", text(VIEW, occurred_at="0001-01-01T00:00:00Z"), "invalid_field"),
    "before the year 0001": (
        "browses", text(VIEW, occurred_at="0001-01-01T00:00:00+14:00"), "invalid_field"),
    "after the year 9999": (
        "browses", text(VIEW, occurred_at="9999-12-31T23:59:59-01:00"), "invalid_field"),
    "an end before the year 0001": (
        "persona-assignments", text(ASSIGNED, expires_at="0001-01-01T00:00:00+01:00"),
        "invalid_field"),
    "no time zone": ("browses", text(VIEW, occurred_at="2024-01-01T00:00:00"), "invalid_field"),
    "a time before 1970": ("browses", text(VIEW, occurred_at=-1), "invalid_field"),
    "nanoseconds of the year 10000": (
        "browses", text(VIEW, occurred_at=253_402_300_800 * 10**9), "invalid_field"),
    "a time past 128 bits": ("browses", text(VIEW, occurred_at=1 << 128), "invalid_field"),
    "a time of 10 to the 300": ("browses", text(VIEW, occurred_at=1e300), "invalid_field"),
    "a time in a text": ("browses", text(VIEW, occurred_at=str(NOW)), "invalid_field"),
    "the 31st of June": ("browses", text(VIEW, occurred_at="2024-06-31T00:00:00Z"),
                         "invalid_field"),
    # --- customers ---
    "a blank at an end": ("browses", text(VIEW, customer_id="c "), "invalid_id"),
    "a wide blank at the beginning": ("browses", text(VIEW, customer_id="\u3000c"), "invalid_id"),
    "a customer id of 10 kB": ("browses", text(VIEW, customer_id="x" * 10_000), "invalid_field"),
    "one of 257 bytes": ("browses", text(VIEW, customer_id="é" * 128 + "x"), "invalid_id"),
    "one with a newline": ("browses", text(VIEW, customer_id="a\nb"), "invalid_id"),
    "one with NUL": ("browses", text(VIEW, customer_id="a\0b"), "invalid_id"),
    "one that turns text around": ("browses", text(VIEW, customer_id="a\u202eb"), "invalid_id"),
    # --- personas ---
    "an unknown persona": ("persona-assignments", text(ASSIGNED, persona="x"), "unknown_persona"),
    "one with strange letters": (
        "persona-assignments", text(ASSIGNED, persona="\x07" * 128), "unknown_persona"),
    "an assignment of nothing": (
        "persona-assignments", text(VIEW, assignment_id="a"), "invalid_field"),
}  # fmt: skip

READ: dict[str, tuple[str, bytes]] = {
    "a price of 10 to the 308": ("purchases", bought(price=1e308)),
    "a price past 64 bits": ("purchases", bought(price=10**30)),
    "a negative price": ("purchases", bought(price=-0.01)),
    "no quantity": ("purchases", bought(quantity=0)),
    "a negative quantity": ("purchases", bought(quantity=-1)),
    "a price of minus zero": ("purchases", with_literal(b"-0.0")),
    "the smallest price": ("purchases", bought(price=5e-324)),
    "a price of many digits": ("purchases", with_literal(b"0." + b"0" * 900_000 + b"1")),
    "a quantity of 10 to the 308": ("purchases", bought(quantity=1e308)),
    "the smallest quantity": ("purchases", bought(quantity=5e-324)),
    "1,000 items": ("purchases", basket(1_000, 4)),
    "as many attributes as may be": ("purchases", basket(64, 64, 100)),
    "texts as long as may be": ("purchases", bought(category="/" * 1_024, brand="é" * 1_024)),
    "a search for one ligature": ("browses", text(VIEW, query="\ufdfa" * 1_024)),
    "words of combining marks": ("browses", text(VIEW, query="a" + "\u0301" * 1_023)),
    "empty texts": ("browses", text(VIEW, query="", attributes={"": ""})),
    "control characters": ("browses", text(VIEW, event_id="\0\n", attributes={"\0": "\x1b[2J"})),
    "a key twice": ("browses", b'{"customer_id":"first",' + text(VIEW)[1:]),
    "256 levels": ("browses", nested(MAX_DEPTH)),
    "brackets in a text": ("browses", text(VIEW, z='"\\' + "[{" * 10_000)),
    "unknown fields": ("browses", text(VIEW)[:-1] + b',"z":[1e400,-0,[{}]]}'),
    "bad UTF-8 in an unknown field": ("browses", text(VIEW)[:-1] + b',"z":"\xff"}'),
    "a deletion that says more": ("customer-deletions", text(DELETED, items=LONG)),
    "an end in the year 9999": ("persona-assignments", text(ASSIGNED, expires_at=YEAR_9999)),
    "nanoseconds": ("browses", text(VIEW, occurred_at=NOW * 1_000_000)),
    "a time past 64 bits": ("browses", text(VIEW, occurred_at=1 << 64)),
    "the first millisecond": ("engagements", text(OPENED, occurred_at=0)),
    "the last millisecond": ("engagements", text(OPENED, occurred_at=YEAR_9999)),
}


@pytest.mark.parametrize(("topic", "value", "reason"), REFUSED.values(), ids=REFUSED)
async def test_poison_is_a_dead_letter_and_the_stream_goes_on(
    topic: str, value: bytes | None, reason: str
) -> None:
    poison = replace(raw(topic, value, 7), key=b"\xff\0")
    tables, outbox = await left_by([poison, *good()], good(first=2_000))
    (letter,) = [message for message in outbox.messages if message.topic == LETTERS]
    headers = dict(letter.headers)
    assert (letter.key, letter.value) == (b"\xff\0", value)
    assert headers["reason"].decode() == reason
    assert headers["detail"]
    assert sum(len(name) + len(content) for name, content in letter.headers) < 1_000
    assert (headers["topic"], headers["partition"], headers["offset"]) == (
        topic.encode(), b"0", b"7",
    )  # fmt: skip
    assert tables.states.keys() == {"good"}
    assert stored(tables, "good").positions == {0: 2_001}


@pytest.mark.parametrize(("topic", "value"), READ.values(), ids=READ)
async def test_what_is_odd_but_readable_is_an_event_of_bounded_effect(
    topic: str, value: bytes
) -> None:
    tables, outbox = await left_by([raw(topic, value, 7), *good()], good(first=2_000))
    assert LETTERS not in {message.topic for message in outbox.messages}
    blobs = {**tables.states, **tables.markers}
    assert blobs.keys() == {"c", "good"}
    assert len(blobs["c"]) < 16 * MAX_TOKENS
    assert all(len(name) <= MAX_NAME for name in await load_all_carried(tables))


def test_every_reason_has_an_example() -> None:
    # No message here lacks an arrival (``test_arrivals``) or has a schema (``test_formats``).
    elsewhere = {"future_time", "unknown_schema", "wrong_format"}
    assert {reason for _, _, reason in REFUSED.values()} == REASONS - elsewhere


async def test_a_message_without_a_key_is_read_by_its_value_and_refused_without_one() -> None:
    keyless = [replace(record, key=None) for record in good()]
    bad = replace(raw("browses", b"?"), key=None)
    tables, outbox = await left_by([bad, *keyless])
    assert "good" in tables.states
    (letter,) = [message for message in outbox.messages if message.topic == LETTERS]
    assert (letter.key, letter.value) == (None, b"?")


async def test_a_message_that_holds_nothing_is_a_letter_that_holds_nothing() -> None:
    nothing = replace(raw("browses", None, 7), key=None)
    tables, outbox = await left_by([nothing, *good()])
    (letter,) = [message for message in outbox.messages if message.topic == LETTERS]
    assert (letter.key, letter.value) == (None, None)
    assert dict(letter.headers)["offset"] == b"7"
    assert tables.states.keys() == {"good"}


async def test_any_printable_customer_id_is_a_key_of_its_own() -> None:
    names = [
        "{}",
        "{a}b",
        "a:b",
        "*",
        "a b",
        "é",
        "e\u0301",
        "persona:c",
        "\U00010338" * 64,
        "\\",
        "%00",
    ]
    bought_by = [purchase(f"e{i}", customer=name) for i, name in enumerate(names)]
    tables, _ = await left_by(fetch(*bought_by))
    assert tables.states.keys() == set(names)


def test_the_largest_purchase_has_no_more_tokens_than_are_stated() -> None:
    everything = shop(features={"fields": [*FIELDS]})
    most = MAX_ITEM_ATTRIBUTES // 1_000
    value = basket(1_000, most, category="a/b/c/d/e/f/g", brand="b", price=1, quantity=2)
    event = events.decode_event(events.PURCHASE, value)
    assert isinstance(event, events.Purchase)
    read = Tokenizer(everything).tokenize(event)
    tokens = unpack_tokens(read.slots, read.weights)
    assert 0.98 * MAX_TOKENS < len(tokens) <= MAX_TOKENS


@pytest.mark.long
def test_the_memory_of_a_tokenizer_is_bounded_whatever_attributes_are_called() -> None:
    tokenizer = Tokenizer(SHOP)
    for i in range(110_000):
        tokenizer.find_slot(f"attributes.k{i % 3_000}", f"v{i}")
        if i % 10 == 0:
            tokenizer.find_slot("brand", "x" * 1_000 + str(i // 10 % 1_000))
    assert len(tokenizer.slots) <= 100_000
    assert len(tokenizer.slots._unsettled) <= 100_000
    assert tokenizer.names.found == []
