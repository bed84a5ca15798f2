"""The rows of files, one after another: no file is ever in memory whole.

A row's number is that of its line, from 1; in Parquet it is that of the row, in a JSON array that
of the element.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
from typing import TYPE_CHECKING, Final

from stream_persona.domain.events import MAX_BYTES
from stream_persona.errors import InputError
from stream_persona.files.columns import is_hint
from stream_persona.files.formats import EventFile, Format, open_content
from stream_persona.files.parquet_rows import read_parquet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

#: Most bytes of a line that are kept: what is longer is refused by its length.
_MAX_LINE: Final = MAX_BYTES + 2
#: Bytes of JSON that are read at a time, and most characters of one value.
_BLOCK: Final = 1 << 18
_MAX_VALUE: Final = 4 * MAX_BYTES
_BLANKS: Final = " \t\r\n"


def read_rows(file: EventFile) -> Iterator[tuple[int, bytes]]:
    """Yield number and content, as JSON, of what is not blank in a file that is no CSV.

    Raises:
        InputError: the file is damaged, or is not of its format from some place on.
        ConfigError: it is Parquet, and no package to read that is installed.
    """
    if file.format is Format.PARQUET:
        return read_parquet(file.path)
    return _read_values(file) if file.format is Format.VALUES else _read_lines(file)


def read_cells(file: EventFile) -> Iterator[tuple[int, list[str]]]:
    """Yield number and cells of what is not blank in a CSV file, the header row first.

    What is not UTF-8 in it stands as lone surrogates.

    Raises:
        InputError: the file is damaged, or a quote in it is not closed.
    """
    with open_content(file) as stream:
        text = io.TextIOWrapper(stream, "utf-8", errors="surrogateescape", newline="")
        # Not strict, it would take all up to the file's end for one text whose quote is not closed.
        rows = csv.reader(text, delimiter=file.delimiter, strict=True)
        number, is_first = 1, True
        try:
            for cells in rows:
                if any(map(str.strip, cells)) and not (is_first and is_hint(cells, file.delimiter)):
                    yield number, cells
                is_first, number = False, rows.line_num + 1
        except csv.Error as error:
            message = f"{file.path}: cannot be read as CSV from line {number} on ({error})"
            hint = "is a quote in it not closed, or not doubled within a text?"
            raise InputError(f"{message}: {hint}") from None
        finally:
            text.detach()  # it would close the stream, whose errors are explained elsewhere


def read_contents(file: EventFile) -> Iterator[tuple[int, bytes]]:
    """Yield number and content of all that is not blank, whatever the format."""
    if file.format is not Format.CSV:
        yield from ((number, line.strip()) for number, line in read_rows(file))
        return
    for number, cells in read_cells(file):
        yield number, "\x1f".join(cells).encode(errors="surrogateescape")


def _read_lines(file: EventFile) -> Iterator[tuple[int, bytes]]:
    number = 0
    with open_content(file) as stream:
        while line := stream.readline(_MAX_LINE):
            number += 1
            last = line
            while len(last) == _MAX_LINE and not last.endswith(b"\n"):
                last = stream.readline(_MAX_LINE)
            if line.strip():
                yield number, line


def _read_values(file: EventFile) -> Iterator[tuple[int, bytes]]:
    """Yield the values of JSON arrays, and of what stands outside of one."""
    decoder, number = json.JSONDecoder(), 0
    with open_content(file) as stream:
        for number, text in enumerate(_Values(stream, decoder, file.path), 1):
            yield number, text.encode(errors="surrogateescape")


class _Values:
    """Cuts a text into JSON values, block by block."""

    def __init__(self, stream: BinaryIO, decoder: json.JSONDecoder, path: Path) -> None:
        self._stream = stream
        self._decode = decoder.raw_decode
        self._utf8 = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._path = path
        self._text = ""
        self._at = 0
        self._has_ended = False
        self._is_within = False

    def __iter__(self) -> Iterator[str]:
        number = 0
        while self._skip():
            end = self._find_end(number)
            yield self._text[self._at : end]
            number += 1
            self._at = end
        if self._is_within:
            message = f"{self._path}: the JSON array has no end: is the file cut off after element"
            raise InputError(f"{message} {number}?")

    def _skip(self) -> bool:
        """Go on to the next value; False at the end."""
        while True:
            while self._at < len(self._text):
                character = self._text[self._at]
                if character in "[]":
                    if self._is_within == (character == "["):
                        return True  # a value that is an array, or one that is out of place
                    self._is_within = character == "["
                elif character != "," and character not in _BLANKS:
                    return True
                self._at += 1
            if self._has_ended:
                return False
            self._fill()

    def _find_end(self, number: int) -> int:
        """Return where the value ends at which we are."""
        while True:
            try:
                _, end = self._decode(self._text, self._at)
                if end < len(self._text) or self._has_ended:
                    return end
                error = None
            except RecursionError:
                raise self._make_error(number, "it is nested too deep") from None
            except ValueError as found:
                error = found
            if self._has_ended or len(self._text) - self._at > _MAX_VALUE:
                reason = str(error) if self._has_ended else f"it is longer than {_MAX_VALUE:,}"
                raise self._make_error(number, reason)
            self._fill()

    def _fill(self) -> None:
        block = self._stream.read(_BLOCK)
        self._has_ended = not block
        self._text = self._text[self._at :] + self._utf8.decode(block, final=not block)
        self._at = 0

    def _make_error(self, number: int, reason: str) -> InputError:
        message = f"{self._path}: element {number + 1} cannot be read as JSON ({reason})"
        return InputError(f"{message}, nor what follows: write an object on each line (jq -c)")
