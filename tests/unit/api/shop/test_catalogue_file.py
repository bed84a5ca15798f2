"""A catalogue's file: in which forms it is read, what is refused, and how it changes."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet
from starlette.exceptions import HTTPException

from stream_persona.api.shop import catalogue_file
from stream_persona.api.shop.catalogue_file import CatalogueFile, read_catalogue
from stream_persona.errors import SettingsError
from tests.support.catalogues import lines, row

ROWS = [
    row(1, category="pets", popularity=1.0, attributes={"size": "S"}, bought_with=["P-2"]),
    row(2, brand="Rex", price=4.5, popularity=2.0, attributes={}, bought_with=[]),
]
#: Times of changes of a file: a test's are too close for its clock.
TIMES = count(1_000)


def write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    os.utime(path, (0, next(TIMES)))


def as_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    names = dict.fromkeys(name for each in rows for name in each)
    whole = [{name: each.get(name) for name in names} for each in rows]
    parquet.write_table(pa.Table.from_pylist(whole), path)


def with_columns(path: Path) -> None:
    """Attributes in columns, numbers for ids, and pairs as Parquet has them."""
    rows = [
        {**row(), "product_id": each, "attributes.size": size, "popularity": float(each),
         "bought_with": [{"product_id": 2, "lift": 0.5}]}
        for each, size in ((1, "S"), (2, None))
    ]  # fmt: skip
    as_parquet(path, rows)


@pytest.mark.parametrize(
    "write_file",
    [
        lambda path: path.write_bytes(lines(ROWS)),
        lambda path: path.write_bytes(b"\xef\xbb\xbf" + lines(ROWS)),
        lambda path: path.write_bytes(gzip.compress(lines(ROWS))),
        lambda path: path.write_text(json.dumps(ROWS, indent=1)),
        lambda path: as_parquet(path, ROWS),
    ],
    ids=["lines", "mark", "gzip", "array", "parquet"],
)
def test_a_catalogue_is_read_whatever_its_form(
    tmp_path: Path, write_file: Callable[[Path], None]
) -> None:
    write_file(tmp_path / "catalogue")
    found = read_catalogue(tmp_path / "catalogue", "/")
    assert found.facts.skipped == {}
    assert found.decode_item(0) == {
        "product_id": "P-2", "title": "Thing 2", "category": None, "brand": "Rex", "price": 4.5,
        "attributes": {}, "score": 2.0,
    }  # fmt: skip
    assert found.decode_item(1)["attributes"] == {"size": "S"}
    assert found.find_together([1])[0].tolist() == [0]


def test_columns_of_parquet_are_read_as_fields(tmp_path: Path) -> None:
    with_columns(tmp_path / "catalogue.parquet")
    found = read_catalogue(tmp_path / "catalogue.parquet", "/")
    assert [found.decode_item(each)["attributes"] for each in range(2)] == [{}, {"size": "S"}]
    assert found.positions == {"1": 1, "2": 0}
    assert found.find_together([1])[1].tolist() == [0.5]


def test_a_popularity_that_is_no_number_is_counted_as_none(tmp_path: Path) -> None:
    as_parquet(tmp_path / "c", [row(1, popularity=float("nan")), row(2, popularity=0.5)])
    found = read_catalogue(tmp_path / "c", "/")
    assert found.facts.without_popularity == 1
    assert found.scores.tolist() == [0.5, 0.0]


def test_a_product_without_an_end_to_its_popularity_is_left_out(tmp_path: Path) -> None:
    as_parquet(tmp_path / "c", [row(1, popularity=float("inf")), row(2, popularity=0.5)])
    found = read_catalogue(tmp_path / "c", "/")
    assert found.facts.skipped == {"invalid_popularity": 1}
    assert found.scores.tolist() == [0.5]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "can't be read"),
        (b"", "is empty"),
        (b"product_id,title\nP-1,Thing\n", "write it as Parquet or JSON Lines"),
        (b"\x28\xb5\x2f\xfd...", "zstd"),
        (b"{}\n" + b'{"product_id": "P-1"}\n[]\n', r"no product .*\(1 not_json, 2 invalid_title\)"),
        (b"[]", "no product in it"),
        (b"PAR1 and then nothing", "Parquet"),
        (gzip.compress(lines(ROWS))[:-9], "damaged or cut off"),
        (b"[" + lines(ROWS[:1]), "cut off"),
    ],
)  # fmt: skip
def test_a_file_that_is_none_is_refused_at_the_start_with_its_setting(
    tmp_path: Path, content: bytes | None, sentence: str
) -> None:
    path = tmp_path / "catalogue"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(
        SettingsError, match=f"(?s)STREAM_PERSONA_CATALOGUE: .*{sentence}"
    ) as caught:
        CatalogueFile(path, "/")
    assert caught.value.exit_code == 2


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="is a directory"):
        CatalogueFile(tmp_path, "/")


async def test_an_api_without_a_file_has_no_catalogue_and_a_sentence_says_so() -> None:
    none = CatalogueFile(None, "/")
    await none.refresh()
    with pytest.raises(HTTPException, match="STREAM_PERSONA_CATALOGUE") as caught:
        none.get()
    assert caught.value.status_code == 404
    assert (none.facts, none.troubles) == (None, [])


class Kept:
    """A catalogue's file that changes."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "catalogue.jsonl"
        write(self.path, lines(ROWS))
        self.file = CatalogueFile(self.path, "/")

    async def look(self, times: int = 2) -> None:
        for _ in range(times):
            await self.file.refresh()

    @property
    def products(self) -> int:
        return len(self.file.get())


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


async def test_a_change_is_read_once_the_file_stays_as_it_is(kept: Kept) -> None:
    write(kept.path, lines([*ROWS, row(3)]))
    await kept.look(1)
    assert kept.products == 2  # it may be being written
    write(kept.path, lines([*ROWS, row(3), row(4)]))
    await kept.look(1)
    assert kept.products == 2
    await kept.look(1)
    assert kept.products == 4
    assert kept.file.troubles == []


async def test_a_file_that_stays_is_not_read_again(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue_file, "read_catalogue", lambda *_: pytest.fail("read again"))
    before = kept.file.get()
    await kept.look(3)
    assert kept.file.get() is before


async def test_a_broken_change_keeps_the_old_catalogue_and_is_shown_until_it_is_mended(
    kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    before = kept.file.get()
    write(kept.path, b"product_id,title\nP-1,Thing\n")
    await kept.look(5)
    assert kept.file.get() is before
    assert len(kept.file.troubles) == 1
    assert "that of before stays in use" in kept.file.troubles[0]
    assert caplog.text.count("write it as Parquet or JSON Lines") == 1
    write(kept.path, lines([row(7)]))
    await kept.look()
    assert (kept.products, kept.file.troubles) == (1, [])


async def test_a_file_that_goes_and_comes_back_is_a_trouble_meanwhile(kept: Kept) -> None:
    kept.path.rename(kept.path.with_name("away"))
    await kept.look()
    assert "can't be read" in kept.file.troubles[0]
    assert kept.products == 2
    kept.path.with_name("away").rename(kept.path)
    await kept.look(1)
    assert kept.file.troubles == []


async def test_what_changes_while_it_is_read_is_not_used(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = catalogue_file.read_catalogue

    def read_and_write(path: Path, *given: Any) -> Any:
        found = read(path, *given)
        write(path, lines([row(7), row(8), row(9)]))
        return found

    monkeypatch.setattr(catalogue_file, "read_catalogue", read_and_write)
    write(kept.path, lines([row(7)]))
    await kept.look(2)
    assert kept.products == 2
    monkeypatch.setattr(catalogue_file, "read_catalogue", read)
    await kept.look(2)
    assert kept.products == 3


async def test_the_time_that_a_catalogue_took_is_of_the_clock_that_its_reader_is_given(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    path, seconds = tmp_path / "catalogue", iter([0.0, 3.0, 10.0, 17.5])
    write(path, lines(ROWS))
    file = CatalogueFile(path, "/", lambda: next(seconds))
    write(path, lines(ROWS[:1]))
    for _ in range(2):  # it has changed, and stays as it is
        await file.refresh()
    took = [text for text in caplog.messages if "read in" in text]
    assert ["3.0 s" in took[0], "7.5 s" in took[1]] == [True, True]
