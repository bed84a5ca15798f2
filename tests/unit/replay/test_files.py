"""Files of events: rows of any format, in chunks, each with a position of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stream_persona.errors import InputError
from stream_persona.pipeline.process import Delivery
from stream_persona.replay.files import CHUNK, KIND_NAMES, Files, number_file_partition
from stream_persona.replay.summary import Unreadable
from tests.support.constants import DAY, NOW
from tests.support.event_files import SETTINGS, file_of, line
from tests.support.events import assignment, browse, deletion, purchase, shop

TAXONOMY = shop()


def test_no_two_of_many_file_names_are_taken_for_one() -> None:
    names = [f"exports/{n:05}.jsonl" for n in range(20_000)]
    assert len({number_file_partition(name) for name in names}) == len(names)


@pytest.mark.parametrize("kind", range(len(KIND_NAMES)))
def test_positions_of_files_keep_clear_of_those_of_topics(kind: int) -> None:
    source = Delivery.of(browse("e"), kind, number_file_partition("history.jsonl"), 1).source
    assert source > len(KIND_NAMES) << 16
    assert (source >> 16) & 7 == kind


async def test_rows_of_parquet_are_events_as_lines_are(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    happened = [
        purchase("e1", categories=("food", "baby/diapers")),
        browse("e2", NOW + 1),
        assignment("a1", NOW + 2, persona=None),
        purchase("e3", NOW + 3),
    ]
    rows = [json.loads(line(event)) for event in happened]
    columns = {name: None for row in rows for name in row}
    rows = [{**columns, **row} for row in rows]
    parquet.write_table(pyarrow.Table.from_pylist(rows), path := tmp_path / "h.parquet")
    files = Files([path], None, SETTINGS, TAXONOMY)
    found = [each async for chunk in files.read_chunks() for each in chunk]
    assert files.total == len(happened)
    assert [each.event for each in found if isinstance(each, Delivery)] == happened
    assert [each.offset for each in found if isinstance(each, Delivery)] == [1, 2, 3, 4]


async def test_times_and_numbers_of_parquet_are_read_as_they_are_meant(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    item = {"product_id": "p", "price": 2.5, "attributes": {"colour": "red"}}
    frame = pandas.DataFrame({
        "event_id": ["e1", "e2"],
        "customer_id": ["c", "c"],
        "occurred_at": pandas.to_datetime(["2025-11-24T16:00:00", "2025-11-24T16:00:01"]),
        "action": ["view", "view"],
        "product": [item, None],
        "query": [float("nan"), None],
    })  # fmt: skip
    frame.to_parquet(tmp_path / "browses.parquet")
    files = Files([tmp_path / "browses.parquet"], 1, SETTINGS, TAXONOMY)
    (chunk,) = [chunk async for chunk in files.read_chunks()]
    first, second = chunk
    assert isinstance(first, Delivery)
    assert isinstance(second, Delivery)
    assert first.at == NOW
    assert first.event.product.attributes == {"colour": "red"}  # type: ignore[union-attr]
    assert second.event.product is None  # type: ignore[union-attr]


@pytest.mark.parametrize("content", [b"PAR1 and no more", None])
def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "broken.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"broken\.parquet: cannot be read"):
        Files([path], None, SETTINGS, TAXONOMY)


HEADER = "event_id,customer_id,occurred_at,product_id,category,price\n"


async def test_rows_of_csv_are_events_with_the_number_of_their_first_line(tmp_path: Path) -> None:
    rows = "e1,c,1764000000000,p,food,2.5\ne1,c,1764000000000,q,food,\nbad\ne2,c,never,p,,\n"
    (path := tmp_path / "orders.csv").write_text(f"{HEADER}{rows}e3,c,1764000000001,p,,\n")
    files = Files([path], 0, SETTINGS, TAXONOMY)
    (chunk,) = [chunk async for chunk in files.read_chunks()]
    bought = [each for each in chunk if isinstance(each, Delivery)]
    assert [(each.event.event_id, each.offset) for each in bought] == [("e1", 2), ("e3", 6)]  # type: ignore[union-attr]
    assert len(bought[0].event.items) == 2  # type: ignore[union-attr]
    letters = [each for each in chunk if isinstance(each, Unreadable)]
    assert [(each.reason, each.line) for each in letters] == [
        ("invalid_field", 4), ("invalid_field", 5),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("header", "kind", "sentence"),
    [
        ("user_id,ts,sku", 0, "no column event_id nor customer_id nor occurred_at nor product_id"),
        ("event_id,customer_id,occurred_at", 1, r"no column action \("),
        (HEADER.strip(), None, "no column topic, .* or give --kind"),
        ("customer_id,customer_id", 0, "two columns are named 'customer_id'"),
    ],
)
def test_csv_whose_header_lacks_a_field_is_refused_before_anything_is_read(
    tmp_path: Path, header: str, kind: int | None, sentence: str
) -> None:
    (path := tmp_path / "orders.csv").write_text(f"{header}\n" + "1," * header.count(",") + "1\n")
    with pytest.raises(InputError, match=sentence):
        Files([path], kind, SETTINGS, TAXONOMY)


async def test_long_files_come_in_chunks(tmp_path: Path) -> None:
    path = file_of(tmp_path / "h.jsonl", [browse("e")] * (CHUNK + 1))
    files = Files([path], None, SETTINGS, TAXONOMY)
    assert [len(chunk) async for chunk in files.read_chunks()] == [CHUNK, 1]
    assert files.total == CHUNK + 1


async def test_what_a_file_dates_far_ahead_is_unreadable_but_for_a_deletion(tmp_path: Path) -> None:
    far = NOW + DAY + 1
    happened = [
        purchase("p", far - 1),
        purchase("q", far),
        assignment("a", far),
        deletion("d", far),
    ]
    files = Files([file_of(tmp_path / "h.jsonl", happened)], None, SETTINGS, TAXONOMY, lambda: NOW)
    found = [each async for chunk in files.read_chunks() for each in chunk]
    assert [each.at for each in found if isinstance(each, Delivery)] == [NOW, far - 1]
    letters = [(each.reason, each.line) for each in found if isinstance(each, Unreadable)]
    assert letters == [("future_time", 2), ("future_time", 3)]
