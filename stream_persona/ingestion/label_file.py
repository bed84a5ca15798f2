"""A label file: looked through as a whole, then read again to be sent.

It is read twice, since a mistake in its last row is to keep the first one from being sent. Of each
row a few numbers stay in memory, by which rows are found that contradict each other.
"""

from __future__ import annotations

import hashlib
import struct
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from stream_persona.domain.events import ASSIGNMENT, encode
from stream_persona.errors import InputError
from stream_persona.files.csv_events import read_columns
from stream_persona.files.formats import Format, recognize
from stream_persona.files.row_reader import RowReader
from stream_persona.ingestion.labels import FIELDS, LabelReader, LabelRow, Mistake, quote_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from stream_persona.files.csv_events import EventRow

#: Mistakes that are shown one by one, and names that are listed, at most.
SHOWN: Final = 20
#: Different names that are counted, at most.
_COUNTED: Final = 1_000
_NEEDED: Final = ("customer_id", "persona")
#: Rows between two signs of progress.
_STEP: Final = 1_000


@dataclass(slots=True)
class Check:
    """What was found in a file; ``assignments`` and ``withdrawals`` are to be sent.

    ``repeats`` are rows that give a customer what an earlier one gives at the same time.
    """

    rows: int = 0
    assignments: int = 0
    withdrawals: int = 0
    repeats: int = 0
    mistakes: Counter[str] = field(default_factory=Counter)
    #: The first mistakes, by line.
    examples: list[Mistake] = field(default_factory=list)
    unknown_personas: Counter[str] = field(default_factory=Counter)
    #: Columns that nobody reads, and in how many rows they have a value.
    ignored: Counter[str] = field(default_factory=Counter)

    def to_plain(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "rows": self.rows,
            "assignments": self.assignments,
            "withdrawals": self.withdrawals,
            "repeats": self.repeats,
            "mistakes": dict(self.mistakes.most_common()),
            "mistake_examples": [each._asdict() for each in self.examples],
            "unknown_personas": dict(self.unknown_personas.most_common(SHOWN)),
            "ignored_columns": dict(self.ignored.most_common(SHOWN)),
        }

    def add_mistake(self, mistake: Mistake) -> None:
        """Count a mistake, and keep it if it is among the first."""
        self.mistakes[mistake.reason] += 1
        if len(self.examples) < SHOWN or mistake < self.examples[-1]:
            self.examples = sorted([*self.examples, mistake])[:SHOWN]
        names = self.unknown_personas
        is_counted = mistake.value in names or len(names) < _COUNTED
        if mistake.reason == "unknown_persona" and is_counted:
            names[mistake.value] += 1


class LabelFile:
    """A file of labels.

    Raises:
        InputError: it cannot be read, or has no column of customers or personas.
        ConfigError: it is Parquet, and no package to read that is installed.
    """

    def __init__(self, path: Path, reader: LabelReader) -> None:
        self._file = recognize(path)
        self._reader = reader
        self._rows = RowReader(ASSIGNMENT, ())
        self._moments = _Moments()
        self._digest = b""
        if self._file.format is Format.CSV:
            self._check_columns()

    def check(self, advance: Callable[[int], None] = lambda _: None) -> Check:
        """Look through all rows."""
        check, hashed = Check(), hashlib.blake2b(digest_size=16)
        for row in self._read_rows(hashed):
            check.rows += 1
            found, ignored = self._reader.read(row)
            if len(check.ignored) < _COUNTED:
                check.ignored.update(ignored)
            mistakes = [found] if isinstance(found, Mistake) else self._find_contradictions(found)
            for mistake in mistakes:
                check.add_mistake(mistake)
            if check.rows % _STEP == 0:
                advance(_STEP)
        if not check.rows:
            raise InputError(f"{self._file.path}: is empty: there are no labels in it")
        self._digest = hashed.digest()
        check.assignments, check.withdrawals = self._moments.count()
        good = check.rows - check.mistakes.total()
        check.repeats = good - check.assignments - check.withdrawals
        return check

    def read_good(self) -> Iterator[LabelRow]:
        """Yield the labels that ``check`` has found, without repeats.

        Raises:
            InputError: the file is not the one any more that was looked through.
        """
        hashed = hashlib.blake2b(digest_size=16)
        for row in self._read_rows(hashed):
            found, _ = self._reader.read(row)
            if isinstance(found, LabelRow) and self._moments.is_to_be_sent(found):
                yield found
        if hashed.digest() != self._digest:
            message = f"{self._file.path}: was changed while it was read"
            raise InputError(f"{message}: look what it is now, and give the command again")

    def _read_rows(self, hashed: hashlib.blake2b) -> Iterator[EventRow]:
        """Yield all rows, and update the hash by each."""
        for row in self._rows.read(self._file):
            hashed.update(b"%d:%b" % (len(row.value), row.value))
            yield row

    def _find_contradictions(self, label: LabelRow) -> Iterator[Mistake]:
        for line, other in self._moments.add(label):
            value = quote_value(label.event.customer_id)
            detail = f"line {other} gives the customer another persona or end at the same time"
            yield Mistake(line, "contradiction", "customer_id", value, detail)

    def _check_columns(self) -> None:
        columns, path = read_columns(self._file), self._file.path
        names = [name.strip().casefold() for name in columns.names]
        twice = [name for name in FIELDS if names.count(name) > 1]
        if twice:
            raise InputError(f"{path}: two columns are named {twice[0]!r}")
        missing = [name for name in _NEEDED if name not in names]
        if missing:
            found = ", ".join(columns.names)[:200]
            message = f"{path}: the header row has no column {' nor '.join(missing)} ({found})"
            raise InputError(f"{message}: name them so")


class _Moments:
    """Customers and times, and what each is given first: in some hundred bytes for each."""

    #: The first line, a hash of what that gives, whether it withdraws, and whether others differ.
    _STATE = struct.Struct("<Q8sBB")

    def __init__(self) -> None:
        self._states: dict[bytes, bytes] = {}

    def add(self, label: LabelRow) -> list[tuple[int, int]]:
        """Add a label; return lines that contradict others, with one of these each."""
        key, content = _hash(label.moment, 16), _hash(label.content, 8)
        if key not in self._states:
            withdraws = label.event.persona is None
            self._states[key] = self._STATE.pack(label.line, content, withdraws, 0)
            return []
        first, known, withdraws, differs = self._STATE.unpack(self._states[key])
        if differs:
            return [(label.line, first)]
        if content == known:
            return []
        self._states[key] = self._STATE.pack(first, known, withdraws, 1)
        return [(first, label.line), (label.line, first)]

    def is_to_be_sent(self, label: LabelRow) -> bool:
        """Whether a label is the first one of its moment, and no other one contradicts it."""
        state = self._states.get(_hash(label.moment, 16))
        if state is None:
            return False  # the file was changed
        first, _, _, differs = self._STATE.unpack(state)
        return bool(first == label.line and not differs)

    def count(self) -> tuple[int, int]:
        """Count assignments and withdrawals that are to be sent."""
        withdrawals = assignments = 0
        for state in self._states.values():
            _, _, withdraws, differs = self._STATE.unpack(state)
            withdrawals += withdraws and not differs
            assignments += not withdraws and not differs
        return assignments, withdrawals


def _hash(content: object, size: int) -> bytes:
    return hashlib.blake2b(encode(content), digest_size=size).digest()
