"""How files are known again: parts of contents, as texts and as they are found."""

from __future__ import annotations

import math
from pathlib import Path

from stream_persona.files.formats import recognize
from stream_persona.files.identity import (
    Content,
    Part,
    find_beginnings,
    find_parts,
    format_parts,
    parse_parts,
    read_content,
)


def content_of(path: Path, *numbers: int) -> Content:
    path.write_text("".join(f'{{"n": {n}}}\n' for n in numbers))
    return read_content(recognize(path))


def test_parts_are_read_as_they_were_written() -> None:
    for parts in ([Part(math.inf, "a")], [Part(2, "a"), Part(7, "b"), Part(math.inf, "c")]):
        assert parse_parts(format_parts(parts)) == parts


def test_a_content_is_that_of_its_rows_and_their_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a"
    content = content_of(path, 1, 2)
    path.write_text('{"n": 1} \r\n{"n": 2}')
    assert read_content(recognize(path)) == content
    path.write_text('{"n": 1}\n\n{"n": 2}')
    assert read_content(recognize(path)).key != content.key
    assert content_of(path, 1, 2, 3).begun == content.key


def test_a_content_tells_the_known_ones_that_it_begins_with(tmp_path: Path) -> None:
    path = tmp_path / "a"
    one, two, other = (content_of(path, *rows).key for rows in ((1,), (1, 2), (7, 8)))
    all_rows = content_of(path, 1, 2, 3)
    known = {one, two, other, all_rows.key}
    file = recognize(path)
    assert read_content(file, known).beginnings == (one, two, all_rows.key)
    assert find_beginnings(file, all_rows, known) == [one, two, all_rows.key]
    assert read_content(file, {other}).beginnings == ()
    assert find_beginnings(file, all_rows, {other}) == []


def test_the_longest_known_beginning_gives_the_id(tmp_path: Path) -> None:
    path = tmp_path / "a"
    one, two = content_of(path, 1), content_of(path, 1, 2)
    grown = content_of(path, 1, 2, 3)
    file = recognize(path)
    assert find_parts(file, grown, {}) == [Part(math.inf, grown.digest)]
    assert find_parts(file, grown, {one.key: "x"}) == [Part(math.inf, "x")]
    assert find_parts(file, grown, {one.key: "x", two.key: "x"}) == [Part(math.inf, "x")]
    assert find_parts(file, grown, {"1:other": "y"}) == [Part(math.inf, grown.digest)]


def test_what_grew_otherwise_keeps_the_rows_in_common(tmp_path: Path) -> None:
    path = tmp_path / "a"
    one, other = content_of(path, 1), content_of(path, 1, 9)
    grown = content_of(path, 1, 2, 3)
    parts = find_parts(recognize(path), grown, {one.key: "x", other.key: "x"})
    assert parts == [Part(1, "x"), Part(math.inf, grown.digest)]
    known = {one.key: "x", other.key: "x", grown.key: format_parts(parts)}
    further = content_of(path, 1, 2, 3, 4)
    assert find_parts(recognize(path), further, known) == parts
