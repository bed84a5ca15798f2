"""Values as other tools write them: numbers in texts, ids that are numbers, several spellings.

What cannot be read as meant is returned as it is, so that the check of the event refuses it by its
name.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from stream_persona.domain.events import MAX_ID_BYTES, MAX_ITEMS
from stream_persona.errors import DecodeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from stream_persona.domain.identity import NobodyIds

_NUMBER: Final = re.compile(r"\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?\s*", re.ASCII)
_NAIVE: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d(?:\.\d{1,9})?)(?: UTC)?", re.ASCII
)
#: Most characters of an id of several parts: it is not the whole of what follows.
_LONGEST_ID: Final = MAX_ID_BYTES - 16
#: Most events of one document.
MAX_EVENTS: Final = 10_000
#: Seconds, milliseconds, microseconds, nanoseconds.
_EPOCH: Final = re.compile(r"(?:\d{10}|\d{13}|\d{16}|\d{19})(\.\d{1,9})?", re.ASCII)
#: Longer texts of digits are no numbers: to parse one costs the square of its length.
_LONGEST_NUMBER: Final = 40


def convert_number(value: Any) -> Any:
    """Return a number that may be a text; None where there is none.

    >>> convert_number("12.50"), convert_number(" "), convert_number("ca. 12")
    (12.5, None, 'ca. 12')
    """
    if isinstance(value, str):
        if len(value) <= _LONGEST_NUMBER and _NUMBER.fullmatch(value):
            return float(value)
        return value if value.strip() else None
    return float(value) if isinstance(value, Decimal) else value


def convert_text(value: Any) -> Any:
    """Return a text that may be a whole number; None where there is none.

    >>> convert_text(207119551), convert_text(""), convert_text(4711.0)
    ('207119551', None, '4711')
    """
    if isinstance(value, str):
        return value or None
    if isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return f"{value:.0f}"
    return str(value) if isinstance(value, int) else value


def read_name(value: Any) -> str:
    """Return a name; the empty one for anything else, which may be no member of a set."""
    return value if isinstance(value, str) else ""


def find_first_text(fields: Mapping[str, Any], names: Iterable[str]) -> Any:
    """Return the text of the first of several names that has one."""
    for name in names:
        value = convert_text(fields.get(name))
        if value is not None and value != "":
            return value
    return None


def convert_time(value: Any) -> Any:
    """Return a time whose number may be a text: of as many digits as a unit's have since 2001.

    Digits such as 20251124 are no seconds, but a date.

    >>> convert_time("1764000000"), convert_time("1764000000.5"), convert_time("20251124")
    (1764000000, 1764000000.5, '20251124')
    """
    if isinstance(value, str):
        value = value.strip()
        if (found := _EPOCH.fullmatch(value)) is not None:
            return float(value) if found[1] else int(value)
        return value or None
    return value


def convert_utc_time(value: Any) -> Any:
    """Return a time; one without an offset, as databases write it, is UTC."""
    if isinstance(value, str) and (found := _NAIVE.fullmatch(value.strip())):
        return f"{found[1]}T{found[2]}Z"
    return convert_time(value)


def find_inner(fields: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return the object of a name; an empty one where there is none."""
    value = fields.get(name)
    return value if isinstance(value, dict) else {}


def require_inner(fields: Mapping[str, Any], name: str, place: str) -> Mapping[str, Any]:
    """Return the object of a name; an empty one where there is nothing.

    Raises:
        DecodeError: there is something else.
    """
    value = fields.get(name)
    return {} if value is None else require_object(value, f"{place}.{name}")


def choose_customer(candidates: Iterable[Any], nobody: NobodyIds) -> Any:
    """Return the first id that stands for somebody, else the first there is, else the empty one.

    A document without any id is one of nobody's, as one with an empty id is.
    """
    first = None
    for candidate in map(convert_text, candidates):
        if candidate is None:
            continue
        if not isinstance(candidate, str) or candidate not in nobody:
            return candidate
        first = candidate if first is None else first
    return "" if first is None else first


def join_id(*parts: object) -> str:
    """Return an id of several parts: one of its own for each other list of parts.

    It shows the parts, where these are short and no blank of theirs could be taken for a border.

    >>> join_id("order", 17, None), join_id("/shop", "a b")
    ('order 17 ', '/shop a b')
    """
    texts = ["" if part is None else str(part) for part in parts]
    joined = " ".join(texts)
    if len(joined) <= _LONGEST_ID and joined.count(" ") == len(texts) - 1 + texts[-1].count(" "):
        return joined
    return f"{texts[0][:32]} {digest(repr(texts))}"


def digest(content: str) -> str:
    """Return 32 hexadecimal digits of a text."""
    return hashlib.blake2b(content.encode(errors="surrogatepass"), digest_size=16).hexdigest()


def number_id(event_id: Any, index: int) -> Any:
    """Return the id of one of several events of a foreign one: of the first, its own."""
    return f"{event_id} #{index}" if index and isinstance(event_id, str) else event_id


def read_items(items: Any, read: Callable[[Any], Any]) -> Any:
    """Return each item read; what is no list, or longer than a purchase may be, as it is."""
    if isinstance(items, list) and len(items) <= MAX_ITEMS:
        return list(map(read, items))
    return items


def require_list(value: Any, place: str, most: int) -> list[Any]:
    """Return a list of at most so many.

    Raises:
        DecodeError: it is none, or longer.
    """
    if not isinstance(value, list):
        raise DecodeError(
            "invalid_field", f"Expected `array`, got {_name_type(value)} - at `{place}`"
        )
    if len(value) > most:
        detail = f"{len(value):,} entries; at most {most:,} are read - at `{place}`"
        raise DecodeError("invalid_field", detail)
    return value


def require_object(value: Any, place: str) -> Mapping[str, Any]:
    """Return an object.

    Raises:
        DecodeError: it is none.
    """
    if isinstance(value, dict):
        return value
    raise DecodeError("invalid_field", f"Expected `object`, got {_name_type(value)} - at `{place}`")


def _name_type(value: object) -> str:
    kinds = {list: "array", dict: "object", type(None): "null"}
    return f"`{kinds.get(type(value), type(value).__name__)}`"
