"""What is no event: shown to people, and written to a file where they ask for it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stream_persona.domain.events import encode
from stream_persona.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@dataclass(slots=True, frozen=True)
class Unreadable:
    """A line or message that is no event: the reason, and its line, row or offset."""

    reason: str
    detail: str
    source: str
    line: int
    value: bytes

    def to_plain(self) -> dict[str, Any]:
        """Return it as plain values; what is not UTF-8 in the value is shown as escapes."""
        return {
            "reason": self.reason,
            "detail": self.detail,
            "source": self.source,
            "line": self.line,
            "value": self.value.decode(errors="backslashreplace").rstrip("\r\n"),
        }


@contextmanager
def open_dead_letters(path: Path | None) -> Iterator[Callable[[Unreadable], None]]:
    """Open a file for what cannot be read: a JSON object on each line.

    Raises:
        InputError: it cannot be written.
    """
    if path is None:
        yield lambda _: None
        return
    try:
        file = path.open("wb")
    except OSError as error:
        message = f"{path}: cannot be written: {error.strerror or error}"
        raise InputError(message) from None
    with file:

        def note(found: Unreadable) -> None:
            file.write(encode(found.to_plain()) + b"\n")

        yield note
