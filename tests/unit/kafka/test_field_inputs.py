"""What real producers send, the whole way: each is the right shopper's, with the right weight."""

import json
from typing import Any

import pytest

from stream_persona.domain.features import compute_profiles
from stream_persona.store.memory import MemoryTables
from tests.support.constants import NOW
from tests.support.one_worker import SHOP, left_by, stored
from tests.support.workers import RecordingPublisher, raw

LETTERS = "persona-dead-letters"
DOG = {"product_id": "P1", "category": "dog/food", "price": 3.0}
SECONDS = NOW // 1_000


def order(name: str, at: object = NOW, *items: dict[str, Any], customer: str = "c") -> bytes:
    return json.dumps({
        "event_id": name, "customer_id": customer, "occurred_at": at, "items": items or [DOG],
    }).encode()  # fmt: skip


async def left_by_orders(*orders: bytes) -> tuple[MemoryTables, RecordingPublisher]:
    return await left_by([raw("purchases", value, i) for i, value in enumerate(orders)])


def evidence(tables: MemoryTables) -> float:
    profile = compute_profiles([stored(tables).counts], SHOP.features)
    return float(profile.events[0])


def letters(outbox: RecordingPublisher) -> list[dict[str, bytes]]:
    return [dict(message.headers) for message in outbox.messages if message.topic == LETTERS]


@pytest.mark.parametrize(
    "written",
    [SECONDS, SECONDS + 0.0, NOW, NOW * 1_000, NOW * 10**6, "2025-11-24T16:00:00Z"],
)
async def test_orders_in_any_unit_count_beside_one_in_milliseconds(written: object) -> None:
    tables, outbox = await left_by_orders(order("a1"), *(order(f"b{i}", written) for i in range(3)))
    assert evidence(tables) == pytest.approx(4.0)
    assert stored(tables).counts.clock == NOW
    assert letters(outbox) == []


@pytest.mark.parametrize("line", [{"quantity": -1}, {"quantity": 0}, {"price": -2.5}])
async def test_the_rest_of_an_order_with_a_returned_line_counts(line: dict[str, float]) -> None:
    returned = {"product_id": "Q", "category": "cat/food", **line}
    tables, outbox = await left_by_orders(order("r", NOW, DOG, returned))
    alone, _ = await left_by_orders(order("r", NOW, DOG))
    assert stored(tables).counts.values.tolist() == stored(alone).counts.values.tolist()
    assert stored(tables).counts.keys.tolist() == stored(alone).counts.keys.tolist()
    assert evidence(tables) == pytest.approx(1.0)
    assert letters(outbox) == []


async def test_an_order_of_which_everything_was_returned_counts_nothing() -> None:
    returned = {**DOG, "quantity": -1}
    tables, outbox = await left_by_orders(order("p"), order("r", NOW, returned))
    assert evidence(tables) == pytest.approx(1.0)
    assert letters(outbox) == []


async def test_an_order_of_a_customer_with_blanks_at_an_end_is_a_letter() -> None:
    tables, outbox = await left_by_orders(order("p", customer="c "), order("q"))
    assert tables.states.keys() == {"c"}
    assert [letter["reason"] for letter in letters(outbox)] == [b"invalid_id"]


async def test_a_letter_of_a_text_of_digits_says_what_a_time_looks_like() -> None:
    _, outbox = await left_by_orders(order("p", str(NOW)))
    (letter,) = letters(outbox)
    assert letter["reason"] == b"invalid_field"
    assert b"occurred_at" in letter["detail"]
    assert b"RFC 3339" in letter["detail"]
    assert b"nanoseconds" in letter["detail"]
