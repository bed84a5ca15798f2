"""Label files: any format, mistakes that are counted, rows that contradict each other."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from stream_persona.domain.identity import NobodyIds
from stream_persona.errors import InputError
from stream_persona.ingestion.label_file import SHOWN, LabelFile
from stream_persona.ingestion.labels import LabelReader
from tests.support.constants import NOW
from tests.support.events import shop

TAXONOMY = shop()
ROWS = [("c1", "student"), ("c2", "gamer"), ("c3", "parent")]


def open_labels(path: Path, content: str | bytes, *, withdraw_empty: bool = False) -> LabelFile:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    reader = LabelReader(TAXONOMY, NobodyIds(), "cli", NOW, withdraw_empty=withdraw_empty)
    return LabelFile(path, reader)


def good(file: LabelFile) -> list[tuple[int, str, str | None]]:
    return [(each.line, each.event.customer_id, each.event.persona) for each in file.read_good()]


CSV = "customer_id,persona\n" + "".join(f"{c},{p}\n" for c, p in ROWS)
OBJECTS: list[dict[str, Any]] = [{"persona": p, "customer_id": c} for c, p in ROWS]


@pytest.mark.parametrize(
    ("content", "first"),
    [
        (CSV, 2),
        (CSV.replace(",", ";"), 2),
        (CSV.replace(",", "\t").replace("customer_id", "Customer_ID"), 2),
        ("\ufeff" + CSV, 2),
        ("sep=;\n" + CSV.replace(",", ";"), 3),
        (gzip.compress(b"\xef\xbb\xbf" + CSV.encode(), mtime=0), 2),
        ("\n".join(map(json.dumps, OBJECTS)), 1),
        ("\ufeff" + "\r\n".join(map(json.dumps, OBJECTS)), 1),
        (json.dumps(OBJECTS, indent=1), 1),
        (gzip.compress(json.dumps(OBJECTS).encode(), mtime=0), 1),
    ],
)
def test_a_file_is_read_whatever_its_format(
    tmp_path: Path, content: str | bytes, first: int
) -> None:
    file = open_labels(tmp_path / "labels", content)
    check = file.check()
    assert (check.rows, check.assignments, check.mistakes.total()) == (3, 3, 0)
    assert good(file) == [(first + n, *row) for n, row in enumerate(ROWS)]


def test_parquet_is_read_by_its_rows(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = pandas.DataFrame(
        {"customer_id": ["c1", "c2"], "persona": ["gamer", None], "expires_at": [None, None]}
    )
    frame.to_parquet(path := tmp_path / "labels.parquet")
    file = open_labels(path, path.read_bytes())
    check = file.check()
    assert (check.assignments, dict(check.mistakes)) == (1, {"empty_persona": 1})
    assert check.examples[0].line == 2


def test_two_personas_at_one_time_are_a_mistake_in_both_rows(tmp_path: Path) -> None:
    rows = "c1,student\nc2,gamer\nc1,gamer\nc1,student\n"
    file = open_labels(tmp_path / "labels", f"customer_id,persona\n{rows}")
    check = file.check()
    assert dict(check.mistakes) == {"contradiction": 3}
    assert [each.line for each in check.examples] == [2, 4, 5]
    assert "line 4" in check.examples[0].detail
    assert "line 2" in check.examples[1].detail
    assert (check.assignments, good(file)) == (1, [(3, "c2", "gamer")])


def test_equal_times_in_other_forms_are_one_time_and_other_times_are_no_contradiction(
    tmp_path: Path,
) -> None:
    rows = ["2025-11-24T16:00:00Z,student", f"{NOW},gamer", f"{NOW - 1},parent", ",athlete"]
    content = "customer_id,occurred_at,persona\n" + "".join(f"c1,{row}\n" for row in rows)
    file = open_labels(tmp_path / "labels", content)
    assert [each.line for each in file.check().examples] == [2, 3]
    assert [line for line, *_ in good(file)] == [4, 5]


def test_an_end_that_differs_is_a_contradiction(tmp_path: Path) -> None:
    content = f"customer_id,persona,expires_at\nc,gamer,{NOW + 1}\nc,gamer,{NOW + 2}\n"
    assert dict(open_labels(tmp_path / "labels", content).check().mistakes) == {"contradiction": 2}


def test_rows_that_repeat_others_are_counted_once(tmp_path: Path) -> None:
    rows = "c1,student\nc1,Student\nc2,\nc2,\n"
    file = open_labels(tmp_path / "l", f"customer_id,persona\n{rows}", withdraw_empty=True)
    check = file.check()
    assert (check.assignments, check.withdrawals, check.repeats) == (1, 1, 2)
    assert good(file) == [(2, "c1", "student"), (4, "c2", None)]


def test_the_first_of_many_mistakes_are_shown_and_all_are_counted(tmp_path: Path) -> None:
    rows = "".join(f"c{n},wrong{n % 3}\n" for n in range(100))
    check = open_labels(tmp_path / "l", f"customer_id,persona\n{rows}").check()
    assert dict(check.mistakes) == {"unknown_persona": 100}
    assert [each.line for each in check.examples] == [*range(2, 2 + SHOWN)]
    assert dict(check.unknown_personas) == {"'wrong0'": 34, "'wrong1'": 33, "'wrong2'": 33}


def test_columns_that_nobody_reads_are_counted(tmp_path: Path) -> None:
    content = "customer_id,persona,expire_at\nc1,gamer,2026-01-01\nc2,gamer,\n"
    assert dict(open_labels(tmp_path / "l", content).check().ignored) == {"expire_at": 1}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("customer_id,label\nc,gamer\n", "no column persona"),
        ("user;label\nc;gamer\n", "no column customer_id nor persona"),
        ("customer_id,persona,Persona\nc,gamer,student\n", "two columns are named 'persona'"),
        ("customer_id,persona\n", "is empty"),
        ("", "is empty"),
        (gzip.compress(CSV.encode(), mtime=0)[:-9], "cut off"),
    ],
)
def test_what_is_no_file_of_labels_is_refused(
    tmp_path: Path, content: str | bytes, sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        open_labels(tmp_path / "labels", content).check()


def test_a_file_that_changed_after_it_was_looked_through_is_noticed(tmp_path: Path) -> None:
    file = open_labels(path := tmp_path / "labels", CSV)
    file.check()
    for changed in (CSV.replace("c3,parent", "c3,student"), CSV + "c4,gamer\n"):
        path.write_text(changed)
        with pytest.raises(InputError, match="was changed"):
            good(file)
