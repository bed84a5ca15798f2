"""CSV: columns named like fields, rows of one purchase together, any delimiter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stream_persona.domain.events import ASSIGNMENT, BROWSE, KINDS, PURCHASE, decode_event
from stream_persona.errors import InputError
from stream_persona.files.csv_events import EventRow, read_columns, read_events
from stream_persona.files.formats import recognize
from stream_persona.replay.files import KIND_NAMES

NAMES = {name: kind for kind, name in enumerate(KIND_NAMES)}


def rows(tmp_path: Path, text: str | bytes, kind: int | None = PURCHASE) -> list[EventRow]:
    path = tmp_path / "events.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return list(read_events(recognize(path), kind, NAMES))


def events(tmp_path: Path, text: str | bytes, kind: int | None = PURCHASE) -> list[dict[str, Any]]:
    found = rows(tmp_path, text, kind)
    assert not any(row.error for row in found)
    return [json.loads(row.value) for row in found]


ORDERS = """event_id,customer_id,occurred_at,product_id,category,brand,price,quantity
e1,c1,1764000000000,p1,dog/food,"Brand; or two",3.50,2
e1,c1,1764000000000,p2,,,1,
e2,c2,2025-11-24T16:00:00Z,p1,"two
lines",,,
"""


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_rows_of_one_event_are_one_purchase(tmp_path: Path, delimiter: str, end: str) -> None:
    text = ORDERS.replace(",", delimiter)
    text = text.replace("\n", end).replace(f"two{end}", "two\n")
    found = rows(tmp_path, text)
    first, second = (json.loads(row.value) for row in found)
    assert first["items"] == [
        {"product_id": "p1", "category": "dog/food",
         "brand": "Brand; or two", "price": 3.5, "quantity": 2},
        {"product_id": "p2", "price": 1},
    ]  # fmt: skip
    assert first["occurred_at"] == 1_764_000_000_000
    assert second["items"] == [{"product_id": "p1", "category": "two\nlines"}]
    assert [row.number for row in found] == [2, 4]
    assert all(type(decode_event(PURCHASE, row.value)) is KINDS[PURCHASE] for row in found)


def test_an_order_id_stands_in_for_an_event_id(tmp_path: Path) -> None:
    text = "order_id,customer_id,occurred_at,product_id\no,c,1,p\no,c,1,q\no2,c,1,p\n"
    assert [(e["event_id"], len(e["items"])) for e in events(tmp_path, text)] == [
        ("o", 2), ("o2", 1),
    ]  # fmt: skip


def test_names_of_columns_may_be_paths_and_of_any_case(tmp_path: Path) -> None:
    text = (
        "Event_ID, CUSTOMER_ID ,occurred_at,items[].product_id,items.attributes.Size,"
        "attributes.Shop,colour\ne,c,1,p,XL,Ulm,red\n"
    )
    (event,) = events(tmp_path, text)
    assert event["items"] == [{"product_id": "p", "attributes": {"Size": "XL"}}]
    assert event["attributes"] == {"Shop": "Ulm"}
    assert event["colour"] == "red"


def test_items_may_be_json_in_a_cell(tmp_path: Path) -> None:
    text = 'event_id,customer_id,occurred_at,items\ne,c,1,"[{""product_id"": ""p""}]"\n'
    assert events(tmp_path, text)[0]["items"] == [{"product_id": "p"}]


def test_a_browse_has_its_product(tmp_path: Path) -> None:
    text = "event_id,customer_id,occurred_at,action,product_id,category,query\n"
    text += "e1,c,1,view,p,dog,\ne2,c,1,search,,,dog food\n"
    first, second = events(tmp_path, text, BROWSE)
    assert first["product"] == {"product_id": "p", "category": "dog"}
    assert "query" not in first
    assert (second["query"], "product" in second) == ("dog food", False)


def test_an_empty_persona_is_a_withdrawal(tmp_path: Path) -> None:
    text = "assignment_id,customer_id,occurred_at,persona,source\na,c,1,,\n"
    (event,) = events(tmp_path, text, ASSIGNMENT)
    assert event["persona"] is None
    assert "source" not in event


def test_a_column_topic_names_each_row(tmp_path: Path) -> None:
    text = "topic,event_id,customer_id,occurred_at,action,product_id\n"
    text += "purchases,e,c,1,,p\nbrowses,e2,c,1,view,p\npurchases,e,c,1,,q\n"
    bought, viewed, apart = rows(tmp_path, text, None)
    assert json.loads(bought.value)["items"] == [{"product_id": "p"}]
    assert json.loads(viewed.value)["product"] == {"product_id": "p"}
    assert apart.error is not None
    assert "sort the file by event_id" in apart.error.detail


def test_a_decimal_comma_is_read_where_it_delimits_nothing(tmp_path: Path) -> None:
    text = "event_id;customer_id;occurred_at;product_id;price\ne;c;1;p;3,50\n"
    assert events(tmp_path, text)[0]["items"][0]["price"] == 3.5
    text = 'event_id,customer_id,occurred_at,product_id,price\ne,c,1,p,"3,500"\n'
    assert events(tmp_path, text)[0]["items"][0]["price"] == "3,500"  # refused by the decoder


@pytest.mark.parametrize("price", ["12 EUR", "1e999", "nan", "1.234,50"])
def test_what_is_no_number_is_not_taken_for_one(tmp_path: Path, price: str) -> None:
    text = f"event_id;customer_id;occurred_at;product_id;price\ne;c;1;p;{price}\n"
    assert events(tmp_path, text)[0]["items"][0]["price"] == price


def test_a_row_of_another_length_is_bad_and_the_next_one_is_not(tmp_path: Path) -> None:
    text = "event_id,customer_id,occurred_at,product_id\ne,c,1,p,more\ne2,c,1,p\ne3,c\n"
    first, second, third = rows(tmp_path, text)
    assert first.error is not None
    assert "has 5 cells, the header 4" in first.error.detail
    assert second.error is None
    assert third.error is not None
    assert [row.number for row in (first, second, third)] == [2, 3, 4]


def test_a_row_that_is_not_utf8_says_how_to_convert_it(tmp_path: Path) -> None:
    text = "event_id,customer_id,occurred_at,product_id\ne,c,1,Pâté\n".encode("latin-1")
    (row,) = rows(tmp_path, text)
    assert row.error is not None
    assert (row.error.reason, "iconv" in row.error.detail) == ("not_utf8", True)


def test_a_quote_that_is_not_closed_ends_the_file_with_its_line(tmp_path: Path) -> None:
    text = "event_id,customer_id,occurred_at,product_id\ne,c,1,p\n" + 'e,c,1,"' + "p\n" * 200_000
    with pytest.raises(InputError, match=r"from line 3 on .*is a quote in it not closed"):
        rows(tmp_path, text)


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="two columns are named 'price'"):
        rows(tmp_path, "event_id,customer_id,price,price\n")


@pytest.mark.parametrize(
    ("header", "kind"),
    [
        ("event_id,customer_id,product_id", 0), ("event_id,action,query", 1),
        ("event_id,channel,action", 2), ("customer_id,persona", 3),
        ("customer_id,requested_at", 4),
    ],
)  # fmt: skip
def test_columns_tell_which_kind_of_events_they_hold(
    tmp_path: Path, header: str, kind: int
) -> None:
    (path := tmp_path / "a.csv").write_text(f"{header}\n1,2,3\n"[: len(header) + 6])
    assert read_columns(recognize(path)).guess_kind() == kind


@pytest.mark.parametrize("header", ["category,Category", "category,items.category"])
def test_two_columns_of_one_field_are_refused(tmp_path: Path, header: str) -> None:
    text = f"event_id,customer_id,occurred_at,product_id,{header}\ne,c,1,p,a,b\n"
    with pytest.raises(InputError, match="two columns are named 'category', as 'category' and as"):
        rows(tmp_path, text)


@pytest.mark.parametrize("cell", ['"toys', '"to"ys', '"to\\"ys"'])
def test_a_quote_that_ends_nowhere_swallows_no_rows(tmp_path: Path, cell: str) -> None:
    text = f"event_id,customer_id,occurred_at,product_id,category\ne,c,1,p,{cell}\ne2,c,1,p,x\n"
    with pytest.raises(InputError, match=r"cannot be read as CSV from line 2 on .* a quote"):
        rows(tmp_path, text)
