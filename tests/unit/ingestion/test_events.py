"""Rows of event files: messages for their topics, in chunks that can be sent again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stream_persona.domain.anomaly import Anomaly
from stream_persona.domain.events import encode
from stream_persona.files.formats import recognize
from stream_persona.files.unreadable import Unreadable
from stream_persona.ingestion.events import EventFiles, Found
from stream_persona.ingestion.run import cut
from stream_persona.kafka.sender import Command, Outgoing
from tests.support.constants import DAY, NOW
from tests.support.event_files import SETTINGS, file_of, line
from tests.support.events import assignment, browse, deletion, engagement, purchase, shop

TAXONOMY = shop()
TOPICS = SETTINGS.input_topics


def read(path: Path, kind: int | None = None, first: int = 1, last: int = 99) -> list[Found]:
    files = EventFiles(SETTINGS, TAXONOMY, kind, lambda: NOW)
    return [each for _, found in files.read(recognize(path), first, last) for each in found]


def test_each_kind_goes_to_its_topic_as_it_stands(tmp_path: Path) -> None:
    happened = [
        purchase("e1"), browse("e2"), engagement("e3"), assignment("a1"), deletion("d1"),
    ]  # fmt: skip
    commands = [None, None, None, Command("assignment", "a1"), Command("deletion", "d1")]
    rows = list(map(line, happened))
    (path := tmp_path / "h.jsonl").write_bytes(b"\xef\xbb\xbf" + b"".join(rows))
    assert read(path) == [
        Outgoing(topic, "c", row.strip(), number, command=command)
        for number, (topic, row, command) in enumerate(zip(TOPICS, rows, commands, strict=True), 1)
    ]


def test_rows_of_csv_that_are_one_purchase_are_one_message(tmp_path: Path) -> None:
    rows = f"o1;c;{NOW};p;2,5\no1;c;{NOW};q;\no2;d;{NOW};p;1\n"
    path = tmp_path / "orders.csv"
    path.write_text(f"order_id;customer_id;occurred_at;product_id;price\n{rows}")
    first, second = read(path, 0)
    assert isinstance(first, Outgoing)
    assert isinstance(second, Outgoing)
    assert (first.line, second.line) == (2, 4)
    assert json.loads(first.value) == {
        "event_id": "o1",
        "order_id": "o1",
        "customer_id": "c",
        "occurred_at": NOW,
        "items": [{"product_id": "p", "price": 2.5}, {"product_id": "q"}],
    }


def test_what_cannot_be_read_is_no_message(tmp_path: Path) -> None:
    rows = [
        line(browse("e1")),
        b"{\n",
        line(browse("e2"), topic="prices"),
        line(assignment("a", persona="nobody knows")),
        line(browse("e3", NOW + 9 * DAY)),
        line(browse("e4", customer="guest")),
        line(browse("e5", customer=" c")),
        line(browse("e6")),
    ]
    (path := tmp_path / "h.jsonl").write_bytes(b"".join(rows))
    found = read(path)
    assert [each.line for each in found if isinstance(each, Outgoing)] == [1, 8]
    assert [(each.line, each.reason) for each in found if isinstance(each, Unreadable)] == [
        (2, "not_json"), (3, "invalid_field"), (4, "unknown_persona"), (5, "future_time"),
        (7, "invalid_id"),
    ]  # fmt: skip
    assert [each for each in found if isinstance(each, Anomaly)] == [Anomaly.NOBODY]


def test_reading_begins_and_ends_with_given_rows(tmp_path: Path) -> None:
    path = file_of(tmp_path / "h.jsonl", [browse(f"e{n}") for n in range(6)])
    found = read(path, None, 3, 4)
    assert [each.line for each in found if isinstance(each, Outgoing)] == [3, 4]


def test_a_value_in_our_shape_is_sent_as_it_is_with_fields_that_we_do_not_know(
    tmp_path: Path,
) -> None:
    value = json.dumps(json.loads(encode(browse("e"))) | {"basket": {"x": [1]}}).encode()
    (path := tmp_path / "h.jsonl").write_bytes(value)
    (found,) = read(path, 1)
    assert isinstance(found, Outgoing)
    assert found.value == value


def messages(*customers: str) -> list[tuple[int, list[Found]]]:
    return [(n, [Outgoing("browses", name, b"", n)]) for n, name in enumerate(customers, 1)]


def test_rows_come_in_chunks_of_a_number_and_in_order() -> None:
    rows = messages(*(f"c{n}" for n in range(25)))
    chunks = list(cut(iter(rows), 10))
    assert [len(chunk) for chunk in chunks] == [10, 10, 5]
    assert [row for chunk in chunks for row in chunk] == rows


def test_no_chunk_has_more_of_a_customer_than_is_known_again() -> None:
    chunks = list(cut(iter(messages(*["c"] * 300, *["d"] * 100)), 1_000))
    assert [len(chunk) for chunk in chunks] == [128, 128, 144]


@pytest.mark.parametrize("most", [1, 1_000])
def test_rows_without_messages_end_a_chunk_at_some_time(most: int) -> None:
    rows: list[tuple[int, list[Found]]] = [(n, [Anomaly.NOBODY]) for n in range(25_000)]
    assert [len(chunk) for chunk in cut(iter(rows), most)] == [10_000, 10_000, 5_000]


def test_no_chunk_has_more_bytes_than_fit_into_memory_well() -> None:
    value = b"x" * 1_000_000
    rows: list[tuple[int, list[Found]]] = [
        (n, [Outgoing("browses", f"c{n}", value, n)]) for n in range(9)
    ]
    assert [len(chunk) for chunk in cut(iter(rows), 1_000)] == [4, 4, 1]
