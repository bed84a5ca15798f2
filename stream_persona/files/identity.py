"""How a file is known again: by its content, whatever its name and however it is packed.

A file's content is the numbers and texts of its rows, written as ``<last number>:<hash>``.
The first time that a content is replayed it gets an id, which is its hash. A file that begins with
the rows of a known one is that one, grown: it keeps the id. Where a known one has grown otherwise
already, only the rows in common have that id, and those below them one of their own: a content has
*parts*, written as ``<last number>:<id>,...,<id>``.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from stream_persona.errors import InputError
from stream_persona.files.formats import Format
from stream_persona.files.rows import read_contents

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from stream_persona.files.formats import EventFile

_DIGEST_BYTES: Final = 16
#: Rows between two signs of progress.
_STEP: Final = 10_000


@dataclass(frozen=True, slots=True)
class Content:
    """The content of a file: its number of rows, a hash of them, and the texts it is known by.

    ``key`` is that of all rows; ``begun`` that of all but the last one, which somebody may still be
    writing. ``beginnings`` are known contents that it begins with, the shortest first, perhaps
    itself.
    """

    rows: int
    digest: str
    key: str
    begun: str
    beginnings: tuple[str, ...] = ()


def read_content(
    file: EventFile,
    known: Collection[str] = (),
    advance: Callable[[int], None] = lambda _: None,
) -> Content:
    """Read what a file's content is, and with which ``known`` ones it begins.

    ``advance`` is called with numbers of rows that were read.

    Raises:
        InputError: the file cannot be read to its end, or holds nothing.
    """
    hashed, rows, pending = hashlib.blake2b(digest_size=_DIGEST_BYTES), 0, b""
    last = before = 0
    ends, beginnings = {find_last(key) for key in known}, []
    for number, content in read_contents(file):
        hashed.update(pending)
        rows, before, last, pending = rows + 1, last, number, _frame(number, content)
        if number in ends:
            reached = hashed.copy()
            reached.update(pending)
            beginnings.append(f"{number}:{reached.hexdigest()}")
        if rows % _STEP == 0:
            advance(_STEP)
    begun = f"{before}:{hashed.hexdigest()}"
    hashed.update(pending)
    digest = hashed.hexdigest()
    if rows <= (file.format is Format.CSV):  # a header row is no event
        raise InputError(f"{file.path}: is empty: there are no events in it")
    found = tuple(key for key in beginnings if key in known)
    return Content(rows, digest, f"{last}:{digest}", begun, found)


def find_last(key: str) -> int:
    """Return the number of the last row of a content, given its ``key``."""
    return int(key.partition(":")[0])


@dataclass(frozen=True, slots=True)
class Part:
    """The rows of a file up to a number, or all that are left, and the id that they have."""

    last: float
    id: str


def find_parts(file: EventFile, content: Content, known: Mapping[str, str]) -> list[Part]:
    """Return the parts of a file with a content, given those of known ones by ``Content.key``."""
    if content.key in known:
        return parse_parts(known[content.key])
    lasts, end = {key: find_last(key) for key in known}, find_last(content.key)
    begun = [key for key in _find_beginnings(file, {*lasts.values()}, end) if key in known]
    if not begun:
        return [Part(math.inf, content.digest)]
    longest = begun[-1]
    *parts, tail = parse_parts(known[longest])
    if lasts[longest] == max(lasts[key] for key in known if _ends_as(known[key], tail.id)):
        return [*parts, tail]
    return [*parts, Part(lasts[longest], tail.id), Part(math.inf, content.digest)]


def find_beginnings(file: EventFile, content: Content, known: Collection[str]) -> list[str]:
    """Return the known contents that a file begins with, the shortest first, perhaps its own."""
    lasts, end = {find_last(key) for key in known}, find_last(content.key)
    return [key for key in [*_find_beginnings(file, lasts, end), content.key] if key in known]


def _ends_as(text: str, tail: str) -> bool:
    return text.rpartition(",")[2] == tail


def parse_parts(text: str) -> list[Part]:
    """Parse what ``format_parts`` returned."""
    *before, tail = text.split(",")
    parts = [each.partition(":") for each in before]
    return [*(Part(int(last), own) for last, _, own in parts), Part(math.inf, tail)]


def format_parts(parts: Sequence[Part]) -> str:
    """Return parts as a text."""
    *before, tail = parts
    return ",".join([*(f"{part.last}:{part.id}" for part in before), tail.id])


def _find_beginnings(file: EventFile, lasts: Collection[int], end: int) -> list[str]:
    """Return the contents of a file up to rows of some numbers, the shortest first."""
    shorter = {last for last in lasts if last < end}
    if not shorter:
        return []
    furthest = max(shorter)
    found, hashed = [], hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for number, content in read_contents(file):
        hashed.update(_frame(number, content))
        if number in shorter:
            found.append(f"{number}:{hashed.hexdigest()}")
        if number >= furthest:
            break
    return found


def _frame(number: int, content: bytes) -> bytes:
    return b"%d:%d:%b" % (number, len(content), content)
