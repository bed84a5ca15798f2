"""What a file is, by its content: one that can be read, or what it seems to be and what to do.

A file's name says nothing: a gzipped one is recognised wherever it comes from, and so is a
spreadsheet that was saved as ``events.csv``.
"""

from __future__ import annotations

import gzip
import json
import stat
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, cast

from stream_persona.errors import InputError
from stream_persona.files.columns import find_delimiter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

#: Bytes at a file's beginning by which it is recognised.
HEAD_BYTES: Final = 1 << 16
BOM: Final = b"\xef\xbb\xbf"

_GZIP: Final = b"\x1f\x8b"
_OLE: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_TAR_MARK: Final = slice(257, 262)
_DECOMPRESS: Final = "decompress it first ({}), or use gzip, which is read as it is"
#: What files of other programs begin with, what they are, and what to do.
_SIGNATURES: Final[tuple[tuple[bytes, str, str], ...]] = (
    (b"\x28\xb5\x2f\xfd", "zstd-compressed", _DECOMPRESS.format("zstd -d")),
    (b"BZh", "bzip2-compressed", _DECOMPRESS.format("bunzip2")),
    (b"\xfd7zXZ\x00", "xz-compressed", _DECOMPRESS.format("unxz")),
    (b"\x04\x22\x4d\x18", "lz4-compressed", _DECOMPRESS.format("lz4 -d")),
    (b"\xff\x06\x00\x00sNaPpY", "snappy-compressed", _DECOMPRESS.format("snzip -d")),
    (_GZIP, "gzipped twice", "decompress it once (gunzip)"),
    (b"\x1f\x9d", "compressed by compress", _DECOMPRESS.format("uncompress")),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it, and name the files in it"),
    (b"Rar!", "a RAR archive", "unpack it, and name the files in it"),
    (_OLE, "an old Excel workbook", "save its sheet as CSV UTF-8"),
    (b"ORC", "an ORC file", "write it as Parquet or JSON Lines"),
    (b"Obj\x01", "an Avro file", "write it as JSON Lines (avro-tools tojson)"),
    (b"ARROW1", "an Arrow file", "write it as Parquet or JSON Lines"),
    (b"SQLite format 3\x00", "an SQLite database", "export its table as CSV or JSON Lines"),
    (b"%PDF", "a PDF", "export the events as CSV or JSON Lines"),
    (b"\x89PNG", "a picture", "name a file of events"),
    (b"\xff\xd8\xff", "a picture", "name a file of events"),
)  # fmt: skip
_EXPECTED: Final = "expected JSON Lines, a JSON array, CSV with a header row, or Parquet"


class Format(StrEnum):
    """How the events of a file are written."""

    #: A JSON object on each line.
    LINES = "JSON Lines"
    #: JSON objects over several lines: in an array, or one after another.
    VALUES = "JSON"
    CSV = "CSV"
    PARQUET = "Parquet"


@dataclass(frozen=True, slots=True)
class EventFile:
    """A file that can be read; ``delimiter`` is that of its columns, if it is CSV."""

    path: Path
    format: Format
    gzipped: bool = False
    delimiter: str = ""


def recognize(path: Path) -> EventFile:
    """Return what a file is.

    Raises:
        InputError: it cannot be read; the message says what it seems to be and what to do.
    """
    _check_kind(path)
    gzipped = _read_head(path, gzipped=False).startswith(_GZIP)
    head = _read_head(path, gzipped=gzipped)
    if not head.strip():
        raise InputError(f"{path}: is empty: there are no events in it")
    _refuse_foreign(path, head)
    if head.startswith(b"PAR1"):
        if gzipped:
            raise InputError(f"{path}: seems to be gzipped Parquet: decompress it first (gunzip)")
        return EventFile(path, Format.PARQUET)
    found = _find_text_format(path, head)
    return EventFile(path, found[0], gzipped, found[1])


@contextmanager
def open_content(file: EventFile) -> Iterator[BinaryIO]:
    """Open a file's content: decompressed, and without a byte order mark.

    Raises:
        InputError: also while it is read: it is damaged, or cut off.
    """
    with _explain_errors(file.path), _open(file.path, gzipped=file.gzipped) as stream:
        if stream.read(len(BOM)) != BOM:
            stream.seek(0)
        yield stream


def _open(path: Path, *, gzipped: bool) -> BinaryIO:
    return cast("BinaryIO", gzip.open(path)) if gzipped else path.open("rb")


@contextmanager
def _explain_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        message = f"{path}: is gzipped, and damaged or cut off ({error}): copy it again"
        raise InputError(message) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None


def _check_kind(path: Path) -> None:
    """Refuse what is no regular file: it is read several times."""
    with _explain_errors(path):
        mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise InputError(f"{path}: is a directory: name the files in it, the oldest first")
    if not stat.S_ISREG(mode):
        message = f"{path}: is no regular file, and it has to be read more than once"
        raise InputError(f"{message}: write what comes of it to a file first")


def _read_head(path: Path, *, gzipped: bool) -> bytes:
    with _explain_errors(path), _open(path, gzipped=gzipped) as stream:
        return stream.read(HEAD_BYTES).removeprefix(BOM)


def _refuse_foreign(path: Path, head: bytes) -> None:
    """Refuse what is recognised as something that is not read.

    Raises:
        InputError: with what it seems to be, and what to do.
    """
    found = _find_foreign(head)
    if found is not None:
        raise InputError(f"{path}: seems to be {found[0]}: {found[1]}")


def _find_foreign(head: bytes) -> tuple[str, str] | None:
    for signature, what, remedy in _SIGNATURES:
        if head.startswith(signature):
            return what, remedy
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _describe_archive(head)
    if head[_TAR_MARK] == b"ustar":
        return "a tar archive", "unpack it, and name the files in it"
    return None if head.startswith(b"PAR1") else _find_foreign_text(head)


def _find_foreign_text(head: bytes) -> tuple[str, str] | None:
    if head.startswith((b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff")):
        return "text in UTF-32", "convert it to UTF-8 (iconv -f UTF-32 -t UTF-8)"
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or _is_wide(head):
        return "text in UTF-16", "convert it to UTF-8 (iconv -f UTF-16 -t UTF-8)"
    if b"\x00" in head:
        return "binary data of another program", _EXPECTED
    return ("XML or HTML", _EXPECTED) if head.lstrip().startswith(b"<") else None


def _describe_archive(head: bytes) -> tuple[str, str]:
    if b"[Content_Types].xml" in head or b"xl/" in head:
        return "an Excel workbook", "save its sheet as CSV UTF-8"
    if b"opendocument" in head:
        return "an OpenDocument file", "save its sheet as CSV UTF-8"
    return "a zip archive", "unpack it (unzip), and name the files in it"


def _is_wide(head: bytes) -> bool:
    """Whether it looks like UTF-16 without a mark: every other byte of plain text is zero."""
    start = head[:200]
    zeros = max(start[0::2].count(0), start[1::2].count(0))
    return zeros * 3 > len(start) and 0 in {start[0::2].count(0), start[1::2].count(0)}


def _find_text_format(path: Path, head: bytes) -> tuple[Format, str]:
    """Return the format of a text, and the delimiter of its columns.

    Raises:
        InputError: it is none that can be read.
    """
    start = head.lstrip()
    if start.startswith(b"["):
        return Format.VALUES, ""
    if start.startswith(b"{"):
        return (Format.VALUES if _spans_lines(start) else Format.LINES), ""
    delimiter = find_delimiter(head.decode(errors="replace"))
    if delimiter is None:
        raise InputError(f"{path}: seems to be neither JSON nor CSV: {_EXPECTED}")
    return Format.CSV, delimiter


def _spans_lines(head: bytes) -> bool:
    """Whether JSON objects do not stand on a line each: a line more or less shows that.

    A first line that is broken, with a sound one below it, is a bad line of JSON Lines.
    """
    first, *others = [line.strip() for line in head.splitlines() if line.strip()]
    if _is_json(first):
        return False
    rest = _find_rest(first)
    if rest is not None:
        return rest.startswith(("{", ","))
    if others and others[0].startswith(b"{"):
        return False
    return _find_rest(head) is not None or first == b"{"


def _find_rest(text: bytes) -> str | None:
    """Return what follows the first JSON value of a text; None if there is no whole one."""
    decoded = text.decode(errors="replace")
    try:
        _, end = json.JSONDecoder().raw_decode(decoded)
    except (ValueError, RecursionError):
        return None
    return decoded[end:].lstrip()


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
