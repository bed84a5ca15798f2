"""How numbers and texts become values of tokens: bands of prices and sizes, words, levels.

A token is ``field:value``. Whatever its text came as, its canonical form is what is counted, hashed
and looked up; what came first is shown. It needs nothing but the standard library, since clients
that rank items name tokens too.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from stream_persona.domain.text import fold_text, normalize, normalize_id, split_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

#: Most levels of a category.
MAX_LEVELS: Final = 6
#: The separator of a category's levels that is read besides the taxonomy's own.
_LEVEL: Final = "/"

#: Prices below belong together, in place of their powers of two.
LEAST_PRICE: Final = 0.25
#: A greater power of two is written as a power.
_LONGEST: Final = 1 << 63
#: The values of ``hour`` and ``weekday``.
HOURS: Final = ("0-6", "7-10", "11-13", "14-16", "17-19", "20-21", "22-23")
WEEKDAYS: Final = ("weekday", "weekend")

_ATTRIBUTE: Final = "attributes."


# --- numbers ---


def find_price_band(price: float) -> str:
    """Find a price's band by powers of two: ``<0.25``, ``0.25..0.5``, ..., without an end."""
    if price < LEAST_PRICE:
        return f"<{LEAST_PRICE}"
    power = _find_power(price) - 1
    return f"{_show_power(power)}..{_show_power(power + 1)}"


def find_quantity_band(quantity: float) -> str:
    """Find its band by powers of two: ``1`` (and fractions), ``2-3``, ``4-7``, without an end."""
    power = max(0, _find_power(quantity) - 1)
    if power == 0:
        return "1"
    return f"{_show_power(power)}-{_show_power(power + 1, less=1)}"


def find_size_band(items: int) -> str:
    """Find the band of a basket's size, as that of a quantity: ``1``, ``2-3``, ``4-7``, ..."""
    return find_quantity_band(items)


def _find_power(number: float) -> int:
    """Find the least power of two above a positive number, which may be an integer of any size."""
    return number.bit_length() if isinstance(number, int) else math.frexp(number)[1]


def _show_power(power: int, less: int = 0) -> str:
    if power < 0:
        return f"{2.0**power:g}"
    value = 1 << power
    return str(value - less) if value <= _LONGEST else f"2^{power}"


#: Features whose tokens are bands of numbers.
BANDS: Final[dict[str, Callable[[float], str]]] = {
    "price": find_price_band,
    "quantity": find_quantity_band,
    "basket_size": find_quantity_band,
}
_NUMBER: Final = re.compile(r"(?:2\^(\d{1,4})|(\d{1,400}(?:\.\d{1,400})?))(?:\+|(?:\.\.|-)\S+)?")


def _read_band(field: str, text: str) -> str:
    """Return the band that a text means: a band's own, a number's, or that of ``5+``."""
    found = _NUMBER.fullmatch(text)
    if found is None:
        return text
    power, number = found.groups()
    if power is not None:
        return BANDS[field](1 << int(power))
    whole = int(number.partition(".")[0])
    return BANDS[field](whole or float(number))


# --- tokens ---


def canonicalize_token(token: str) -> str:
    """Return the form in which a token is counted; empty where nothing is left of it.

    The value of a category is one of its ``split_shown_levels``.

    >>> canonicalize_token("category: &Eacute;levage/Lapins")
    'category:élevage/lapins'
    """
    field, _, value = token.partition(":")
    field = canonicalize_field(field)
    if field == "category":
        value = _canonicalize_path(value)
    elif field in BANDS:
        value = _read_band(field, normalize(value))
    else:
        value = normalize_id(value) if field == "product" else normalize(value)
    return f"{field}:{value}" if value and field != _ATTRIBUTE else ""


def canonicalize_field(field: str) -> str:
    """Return the form in which a field is compared: the key of an attribute is a text as well."""
    if not field.startswith(_ATTRIBUTE):
        return field
    return _ATTRIBUTE + normalize(field[len(_ATTRIBUTE) :])


def split_values(field: str, text: str, separator: str) -> list[str]:
    """Return what a text of a field counts as, as it is shown: levels, words, or the text."""
    if field == "category":
        return split_shown_levels(text, separator)
    return split_words(text) if field == "query" else [text]


def list_seed_tokens(field: str, text: str, separator: str) -> list[str]:
    """Return the canonical tokens of a seed: words of a search, the last level of a category."""
    values = split_values(field, text, separator)
    if field == "category":
        values = values[-1:]
    found = (canonicalize_token(f"{field}:{value}") for value in values)
    return [token for token in found if token]


# --- categories ---


def list_levels(category: str, separator: str) -> list[str]:
    """Split a category into its levels, each with those above it, the widest first; at most 6.

    Levels are parted by the separator, by ``/`` and by `` > ``, and joined by the separator. Empty
    ones vanish.

    >>> list_levels("/Baby &gt; Diapers/", "/")
    ['baby', 'baby/diapers']
    """
    parts = map(normalize, _split(fold_text(category), *_compile_folded_separators(separator)))
    return [_canonicalize_path(path) for path in _join_levels(parts, separator)]


def split_shown_levels(category: str, separator: str) -> list[str]:
    """Do as ``levels`` does, with each level as it came, for people.

    Where the text does not fall into the same levels before it is folded, they are as folded.
    """
    parts = [part.strip() for part in _split(category, *_compile_shown_separators(separator))]
    shown = _join_levels((part if normalize(part) else "" for part in parts), separator)
    compared = list_levels(category, separator)
    return shown if list(map(_canonicalize_path, shown)) == compared else compared


def _canonicalize_path(path: str) -> str:
    return _LEVEL.join(filter(None, map(normalize, path.split(_LEVEL))))


def _join_levels(parts: Iterable[str], separator: str) -> list[str]:
    kept = list(filter(None, parts))[:MAX_LEVELS]
    return [separator.join(kept[: end + 1]) for end in range(len(kept))]


def _split(text: str, plain: re.Pattern[str], arrow: re.Pattern[str]) -> list[str]:
    return [part for piece in plain.split(text) for part in arrow.split(piece)]


@lru_cache(maxsize=64)
def _compile_folded_separators(separator: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Compile the separators of a folded category; ``>`` needs blanks or ends around it."""
    return re.compile(f"{re.escape(fold_text(separator))}|/"), re.compile(r"(?<!\S)>(?!\S)")


@lru_cache(maxsize=64)
def _compile_shown_separators(separator: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Compile the same for a category as it came."""
    plain = re.compile(f"{re.escape(separator)}|/", re.IGNORECASE)
    return plain, re.compile(r"(?<!\S)(?:>|&gt;|&#62;)(?!\S)", re.IGNORECASE)
