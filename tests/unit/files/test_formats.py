"""What a file is, by its content; what cannot be read has one sentence on what to do."""

from __future__ import annotations

import gzip
import io
import os
import re
import tarfile
import zipfile
from pathlib import Path

import pytest

from stream_persona.errors import InputError
from stream_persona.files.formats import BOM, Format, recognize
from stream_persona.files.identity import read_content
from stream_persona.files.rows import read_rows

EVENT = b'{"event_id": "e", "customer_id": "c", "occurred_at": 1764000000000}'
PRETTY = b'{\n  "event_id": "e",\n  "items": [{}]\n}\n'
HEADER = b"event_id,customer_id,occurred_at,product_id\n"


def gzipped(content: bytes) -> bytes:
    """Pack content without the time: the names of tests are the same in every process."""
    return gzip.compress(content, mtime=0)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (EVENT, Format.LINES),
        (EVENT + b"\n" + EVENT + b"\n", Format.LINES),
        (b"\r\n\r\n" + EVENT, Format.LINES),
        (b'{"event_id": \n' + EVENT, Format.LINES),
        (b"{\n" + EVENT, Format.LINES),
        (EVENT[:20], Format.LINES),
        (b'{"query": "' + b"x" * 200_000 + b'"}\n' + EVENT, Format.LINES),
        (b"[" + EVENT + b"]", Format.VALUES),
        (b"  [\n" + EVENT + b"\n]", Format.VALUES),
        (EVENT + EVENT, Format.VALUES),
        (EVENT + b",\n" + EVENT, Format.VALUES),
        (PRETTY * 3, Format.VALUES),
        (b'{\n  "query": "' + b"x" * 200_000 + b'"\n}', Format.VALUES),
        (HEADER + b"e,c,1764000000000,p", Format.CSV),
        (HEADER.replace(b",", b";"), Format.CSV),
        (HEADER.replace(b",", b"\t"), Format.CSV),
        (b'"Event_ID" , "customer_id"\n', Format.CSV),
        (b"sep=;\nevent_id;customer_id\n", Format.CSV),
        (b"user;when;sku\nc;2025-01-01;p\n", Format.CSV),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("mark", [b"", BOM])
def test_a_file_is_what_its_content_is(
    tmp_path: Path, content: bytes, expected: Format, packed: bool, mark: bytes
) -> None:
    path = tmp_path / "a.wrong-name"
    path.write_bytes(gzipped(mark + content) if packed else mark + content)
    assert (recognize(path).format, recognize(path).gzipped) == (expected, packed)


def test_parquet_is_known_by_its_first_bytes(tmp_path: Path) -> None:
    (path := tmp_path / "events").write_bytes(b"PAR1....")
    assert recognize(path).format is Format.PARQUET


def workbook() -> bytes:
    with zipfile.ZipFile(packed := io.BytesIO(), "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return packed.getvalue()


def zipped() -> bytes:
    with zipfile.ZipFile(packed := io.BytesIO(), "w") as archive:
        archive.writestr("events.jsonl", EVENT)
    return packed.getvalue()


def tarred() -> bytes:
    with tarfile.open(fileobj=(packed := io.BytesIO()), mode="w") as archive:
        info = tarfile.TarInfo("events.jsonl")
        info.size = len(EVENT)
        archive.addfile(info, io.BytesIO(EVENT))
    return packed.getvalue()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (workbook(), "an Excel workbook: save its sheet as CSV UTF-8"),
        (zipped(), r"a zip archive: unpack it \(unzip\)"),
        (tarred(), "a tar archive: unpack it"),
        (gzipped(tarred()), "a tar archive: unpack it"),
        (gzipped(gzipped(EVENT)), "gzipped twice"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1....", "an old Excel workbook"),
        (b"\x28\xb5\x2f\xfd....", r"zstd-compressed: decompress it first \(zstd -d\)"),
        (b"BZh91AY", "bzip2-compressed"),
        (b"\xfd7zXZ\x00....", "xz-compressed"),
        (b"\x04\x22\x4d\x18..", "lz4-compressed"),
        (EVENT.decode().encode("utf-16"), r"text in UTF-16: convert it .*iconv"),
        (EVENT.decode().encode("utf-16-le"), "text in UTF-16"),
        (EVENT.decode().encode("utf-16-be"), "text in UTF-16"),
        (EVENT.decode().encode("utf-32"), "text in UTF-32"),
        (b"Obj\x01....", "an Avro file"),
        (b"SQLite format 3\x00", "an SQLite database"),
        (b"\x01\x02\x00\x03", "binary data"),
        (b"<?xml version='1.0'?><events/>", "XML or HTML"),
        (b"", "is empty"),
        (BOM + b" \r\n", "is empty"),
        (gzipped(b""), "is empty"),
        (b"hello\n", "neither JSON nor CSV"),
        (gzipped(EVENT * 50_000)[:-20], "damaged or cut off"),
        (b"\x1f\x8bnothing", "damaged or cut off"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_sentence(
    tmp_path: Path, content: bytes, sentence: str
) -> None:
    (path := tmp_path / "events.jsonl").write_bytes(content)
    with pytest.raises(InputError, match=sentence) as caught:
        read_content(recognize(path))
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"[]", b"event_id,customer_id\n", b"[ ]\n"])
def test_a_file_without_events_is_empty(tmp_path: Path, content: bytes) -> None:
    (path := tmp_path / "events").write_bytes(content)
    with pytest.raises(InputError, match="is empty"):
        read_content(recognize(path))


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(pipe := tmp_path / "pipe")
    for path, sentence in (
        (tmp_path, "is a directory: name the files in it"),
        (pipe, "is no regular file"),
        (tmp_path / "nowhere", "cannot be read: No such file"),
    ):
        with pytest.raises(InputError, match=sentence):
            recognize(path)


@pytest.mark.parametrize(
    "content",
    [
        b'[{"n": 1}, {"n": 2}\n,\n{"n": 3}]\n',
        b'{"n": 1}{"n": 2} {"n": 3}',
        b'{\n"n": 1}\n{"n": 2}\n{\n"n": 3\n}',
        b'[{"n": 1}]\n[{"n": 2},{"n": 3}]',
        b'{"n": 1},\n{"n": 2},\n{"n": 3},\n',
    ],
)
def test_values_are_cut_out_of_json_of_any_shape(tmp_path: Path, content: bytes) -> None:
    (path := tmp_path / "a.json").write_bytes(content)
    values = [re.sub(rb"\s", b"", value) for _, value in read_rows(recognize(path))]
    assert values == [b'{"n":1}', b'{"n":2}', b'{"n":3}']


def test_a_long_array_is_read_value_by_value(tmp_path: Path) -> None:
    values = [b'{"query": "%s", "n": %d}' % ("é".encode() * (n % 2_000), n) for n in range(3_000)]
    (path := tmp_path / "a.json").write_bytes(b"[" + b", ".join(values) + b"]")
    assert list(read_rows(recognize(path))) == list(enumerate(values, 1))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b'[{"n": 1}, {"n": 2}', "no end: is the file cut off after element 2"),
        (b'[{"n": 1}, {"n": }, {"n": 3}]', "element 2 cannot be read as JSON"),
        (b"[" + b"[" * 100_000, "element 1 cannot be read as JSON"),
        (b'[{"query": "' + b"x" * 5_000_000 + b'"}]', "longer than"),
        (b'[{"n": 1}]]', "element 2 cannot be read"),
    ],
)
def test_an_array_that_is_broken_says_where(tmp_path: Path, content: bytes, sentence: str) -> None:
    (path := tmp_path / "a.json").write_bytes(content)
    with pytest.raises(InputError, match=sentence):
        read_content(recognize(path))


def test_a_line_without_end_is_not_kept(tmp_path: Path) -> None:
    (path := tmp_path / "a").write_bytes(b'{"q": "' + b"x" * 9_000_000 + b'"}\n' + EVENT + b"\n")
    first, second = read_rows(recognize(path))
    assert len(first[1]) < 1_100_000
    assert second == (2, EVENT + b"\n")
