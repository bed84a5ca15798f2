"""What is wrong with bytes that are no event, in a sentence that helps to mend them."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Final

import msgspec

from stream_persona.domain import time
from stream_persona.errors import DecodeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: Most characters of a value that are shown.
_MOST_SHOWN: Final = 100
#: The end of msgspec's sentences: at which field.
_PLACE: Final = re.compile(r" - at `(\$[^`]*)`$")
_TIMES: Final = frozenset({"$.occurred_at", "$.requested_at", "$.expires_at"})


def explain(error: Exception, known: Mapping[str, Iterable[str]]) -> DecodeError:
    """Explain why bytes are not an event of their kind: invalid JSON, or invalid fields.

    ``known`` are the values of fields that have a closed list of them.
    """
    if isinstance(error, RecursionError):
        return DecodeError("too_deep", "nested deeper than can be read")
    if isinstance(error, UnicodeDecodeError):
        return DecodeError("not_utf8", str(error))
    if not isinstance(error, msgspec.ValidationError):
        return DecodeError("not_json", str(error))
    detail = str(error)
    place = _PLACE.search(detail)
    field = place[1] if place else ""
    if field in _TIMES:
        detail = f"{detail}: {time.FORMS}"
    elif (values := known.get(field.removeprefix("$."))) is not None:
        # In escapes: a letter may look like another one. Shortened: a letter has little room.
        shown = _shorten(escape(detail[: place.start()] if place else detail))
        detail = f"{shown} - at `{field}`: expected one of {', '.join(values)}"
    return DecodeError("invalid_field", detail)


def escape(text: str) -> str:
    """Write everything but ASCII in escapes."""
    return text.encode("ascii", "backslashreplace").decode()


def show_apart(value: str, known: Iterable[str]) -> tuple[str, str]:
    """Show a value that is none of the known ones, and these; with escapes what looks alike.

    >>> show_apart("teen", ["parent", "student"])
    ("'teen'", 'parent, student')
    """
    alike = _fold(value)
    names = [
        name if name.isascii() or _fold(name) != alike else f"{name} ({name!a})" for name in known
    ]
    shown = _shorten(repr(value))
    return shown if value.isascii() else f"{shown} ({_shorten(ascii(value))})", ", ".join(names)


def _shorten(text: str) -> str:
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 3]}..."


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold().strip()
