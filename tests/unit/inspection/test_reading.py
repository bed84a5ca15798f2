"""Reading samples: files as replay reads them, and how many of each partition."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from aiokafka import TopicPartition

from stream_persona.domain.events import encode
from stream_persona.errors import InputError
from stream_persona.inspection.reading import read_file, share_out_limit
from tests.support.commands import Ended
from tests.support.event_files import SETTINGS
from tests.support.inspection import order


def test_the_latest_of_all_partitions_are_read_evenly() -> None:
    lengths = {0: (5, 5), 1: (100, 130), 2: (0, 1_000), 3: (0, 7)}
    held = {TopicPartition("t", p): range(*bounds) for p, bounds in lengths.items()}
    found = {tp.partition: offsets for tp, offsets in share_out_limit(held, 101).items()}
    assert found == {0: range(5, 5), 1: range(100, 130), 2: range(936, 1_000), 3: range(7)}
    assert sum(map(len, share_out_limit(held, 2).values())) == 2
    assert sum(map(len, share_out_limit(held, 5_000).values())) == 1_037


def test_the_first_rows_of_a_file_are_read(tmp_path: Path) -> None:
    lines = b"\n".join(encode(order(n)) for n in range(20))
    (path := tmp_path / "orders").write_bytes(gzip.compress(lines))
    sample = read_file(path, None, 5, SETTINGS)
    assert [message.position for message in sample.messages] == [f"line {n}" for n in range(1, 6)]
    assert sample.format == "JSON Lines, gzipped"


def test_csv_of_foreign_columns_is_read_for_what_it_is(tmp_path: Path) -> None:
    (path := tmp_path / "orders.csv").write_text("user_id;sku;qty\nc;p;2\n")
    sample = read_file(path, None, 5, SETTINGS)
    assert json.loads(sample.messages[0].value or b"") == {"user_id": "c", "sku": "p", "qty": "2"}


def test_a_file_that_is_none_ends_with_2_and_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (path := tmp_path / "orders.xlsx").write_bytes(b"PK\x03\x04 [Content_Types].xml")
    ended = Ended(capsys, "inspect", str(path))
    assert (ended.code, ended.out) == (2, "")
    assert "an Excel workbook" in ended.err
    with pytest.raises(InputError, match="cannot be read"):
        read_file(tmp_path / "nowhere.csv", None, 5, SETTINGS)


def test_what_is_named_like_a_file_is_none_of_the_brokers(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ended = Ended(capsys, "inspect", "nowhere.csv")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("nowhere.csv: cannot be read")


def test_the_command_prints_tables_and_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign = order(items=[{"product_id": "P", "item_category": "dog", "qty": 2}])
    (path := tmp_path / "orders.jsonl").write_bytes(encode(foreign) + b"\n{\n")
    ended = Ended(capsys, "inspect", str(path), "--kind", "purchases")
    assert ended.code in {0, None}
    for words in ("1 readable", "not_json", "items[].qty", "Suggestions"):
        assert words in ended.out
    ended = Ended(capsys, "inspect", str(path), str(path), "--kind", "purchases", "--json")
    printed = json.loads(ended.out)
    first, second = printed["inputs"]
    assert first == second
    assert printed["suggestions"][0] == {"input": str(path), **first["suggestions"][0]}
    assert {each.get("reads_as") for each in first["suggestions"]} >= {"category", "quantity"}
