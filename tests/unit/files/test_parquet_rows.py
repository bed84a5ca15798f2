"""Parquet: the types that other programs write are what they mean, or are refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from stream_persona.domain.events import PURCHASE, decode_event
from stream_persona.errors import DecodeError, InputError
from stream_persona.files.parquet_rows import read_parquet

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

BEGAN = datetime(2026, 11, 1, 10, tzinfo=UTC)
NANOSECONDS = int(BEGAN.timestamp()) * 10**9 + 123_456_789
FINEST = pa.timestamp("ns")


def read_rows(tmp_path: Path, **columns: Any) -> list[bytes]:
    given = {
        "event_id": pa.array(["e"]),
        "customer_id": pa.array(["c"]),
        "occurred_at": pa.array([BEGAN]),
        "items": pa.array([[{"product_id": "p"}]]),
    }
    path = tmp_path / "purchases.parquet"
    parquet.write_table(pa.table(given | columns), path)
    return [value for _, value in read_parquet(path)]


@pytest.mark.parametrize("zone", [None, "UTC", "America/New_York"])
def test_times_in_nanoseconds_are_read(tmp_path: Path, zone: str | None) -> None:
    times = pa.array([NANOSECONDS], pa.timestamp("ns", zone))
    (value,) = read_rows(tmp_path, occurred_at=times)
    found = datetime.fromisoformat(json.loads(value)["occurred_at"])
    assert found == BEGAN.replace(microsecond=123_456)


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(FINEST),
        pa.large_list(FINEST),
        pa.list_(pa.struct([("at", FINEST)])),
        pa.time64("ns"),
        pa.duration("ns"),
    ],
)
def test_no_field_that_nobody_reads_keeps_a_file_from_being_read(tmp_path: Path, kind: Any) -> None:
    value: Any = 1_000_000_001
    if not pa.types.is_temporal(kind):
        value = [{"at": value}] if pa.types.is_struct(kind.value_type) else [value]
    (found,) = read_rows(tmp_path, more=pa.array([value], kind))
    assert decode_event(PURCHASE, found).customer_id == "c"


def test_texts_that_are_written_as_bytes_are_texts(tmp_path: Path) -> None:
    (found,) = read_rows(tmp_path, customer_id=pa.array(["zoë".encode()]))
    assert decode_event(PURCHASE, found).customer_id == "zoë"


@pytest.mark.parametrize(
    ("field", "column"),
    [
        ("customer_id", pa.array([b"\xff\x00"])),
        ("price", pa.array([[{"product_id": "p", "price": float("inf")}]])),
    ],
)
def test_what_json_has_no_form_for_is_refused_and_no_other_value(
    tmp_path: Path, field: str, column: Any
) -> None:
    (found,) = read_rows(tmp_path, **{"items" if field == "price" else field: column})
    with pytest.raises(DecodeError, match=field):
        decode_event(PURCHASE, found)


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "twice.parquet"
    columns = [pa.array(["a"]), pa.array(["b"])]
    parquet.write_table(pa.table(columns, names=["customer_id", "customer_id"]), path)
    with pytest.raises(InputError, match="two columns are named 'customer_id'"):
        list(read_parquet(path))
