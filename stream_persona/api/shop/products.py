"""The rows of a catalogue's file as products: checked one by one, refused with a reason.

**Limits.** They bound what a product costs in memory, whatever the file holds:

===================  =============================================================================
``product_id``       1 to 256 bytes, printable, no blanks at an end; a whole number is read as text
``title``            1 to 512 characters
category, brand      1,024 characters, as in events
texts                no control characters, and none that turn the direction of writing; runs of
                     blanks are one
``price``            a finite number of 0 or more
``popularity``       a finite number of 0 or more; 0 where there is none
attributes           64, of texts of 1,024 characters, as in events
``bought_with``      the first 50 are kept; weights from a millionth to a million
the whole product    4,096 bytes of JSON
===================  =============================================================================
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

import msgspec

from stream_persona.domain.events import MAX_ATTRIBUTES, MAX_ID_BYTES
from stream_persona.domain.text import normalize

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Why a row is left out.
REASONS: Final = (
    "not_json", "invalid_id", "invalid_title", "invalid_text", "invalid_price",
    "invalid_popularity", "invalid_attributes", "invalid_bought_with", "too_large", "duplicate",
    "too_many",
)  # fmt: skip
MOST_TITLE: Final = 512
MOST_TEXT: Final = 1_024
MOST_PARTNERS: Final = 50
#: Bytes of a product's JSON.
MOST_BYTES: Final = 4_096
#: Most of a price or a popularity, so that no product of them overflows; bounds of a weight.
_MOST: Final = 1e100
_LEAST_WEIGHT: Final = 1e-6
_MOST_WEIGHT: Final = 1e6
#: Columns of Parquet that are attributes.
_ATTRIBUTE: Final = "attributes."
#: Control characters, and those that turn the direction of what follows, so that a title could
#: read as another one.
_REFUSED: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


class RowError(Exception):
    """A row is left out; ``reason`` is one of ``REASONS``."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class Product(NamedTuple):
    """A product of a catalogue; ``bought_with`` are ids with their weights."""

    product_id: str
    title: str
    category: str | None
    brand: str | None
    price: float | None
    attributes: dict[str, str]
    popularity: float | None
    bought_with: tuple[tuple[str, float], ...]

    @property
    def item(self) -> dict[str, Any]:
        """What is shown of it, and what ``POST /v1/rank`` takes as it is."""
        return {
            "product_id": self.product_id, "title": self.title, "category": self.category,
            "brand": self.brand, "price": self.price, "attributes": self.attributes,
        }  # fmt: skip


def read_product(row: bytes) -> Product:
    """Read a row, which is JSON.

    Raises:
        RowError: it is left out.
    """
    found = _decode(row)
    title = _read_text(found.get("title"), MOST_TITLE, "invalid_title")
    if title is None or not normalize(title):
        raise RowError("invalid_title")
    return Product(
        _read_id(found.get("product_id")),
        title,
        _read_text(found.get("category"), MOST_TEXT, "invalid_text"),
        _read_text(found.get("brand"), MOST_TEXT, "invalid_text"),
        _read_number(found.get("price"), "invalid_price"),
        _read_attributes(found),
        _read_number(found.get("popularity"), "invalid_popularity"),
        _read_partners(found.get("bought_with")),
    )


def _decode(row: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(row)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise RowError("not_json") from None
    if not isinstance(found, dict):
        raise RowError("not_json")
    return found


def _read_id(value: object) -> str:
    """Read an id as events have it: a text, or a whole number as one."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not text.isprintable() or text.strip() != text:
        raise RowError("invalid_id")
    if not 0 < len(text.encode()) <= MAX_ID_BYTES:
        raise RowError("invalid_id")
    return text


def _read_text(value: object, most: int, reason: str) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise RowError(reason)
    text = " ".join(value.split())
    if len(text) > most or _REFUSED.search(text):
        raise RowError(reason)
    return text or None


def _read_number(value: object, reason: str) -> float | None:
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise RowError(reason)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not 0 <= number <= _MOST:
        raise RowError(reason)
    return number + 0.0  # no minus before a zero


def _read_attributes(found: Mapping[str, Any]) -> dict[str, str]:
    """Read what is in ``attributes`` and in columns ``attributes.<key>``; nothing is left out."""
    given = found.get("attributes")
    if given is not None and not isinstance(given, dict):
        raise RowError("invalid_attributes")
    columns = {
        name[len(_ATTRIBUTE) :]: value for name, value in found.items()
        if name.startswith(_ATTRIBUTE)
    }  # fmt: skip
    read = {
        key: _read_text(value, MOST_TEXT, "invalid_attributes")
        for key, value in {**(given or {}), **columns}.items()
    }
    for key in read:
        if not key or len(key) > MOST_TEXT or _REFUSED.search(key):
            raise RowError("invalid_attributes")
    kept = {key: text for key, text in read.items() if text is not None}
    if len(kept) > MAX_ATTRIBUTES:
        raise RowError("invalid_attributes")
    return kept


def _read_partners(value: object) -> tuple[tuple[str, float], ...]:
    """Read ids, each with the inverse of its place as its weight, or with the one beside it."""
    if value is None:
        return ()
    if not isinstance(value, list):
        raise RowError("invalid_bought_with")
    return tuple(_weigh_partners(islice(value, MOST_PARTNERS)))


def _weigh_partners(value: Iterator[Any]) -> Iterator[tuple[str, float]]:
    """Yield ids and weights; what is no id of a product is none of the catalogue's, at least."""
    for place, each in enumerate(value, 1):
        named, weight = each, cast("Any", 1.0 / place)
        if isinstance(each, list) and len(each) == 2:  # noqa: PLR2004 - a pair
            named, weight = each
        elif isinstance(each, dict):  # Parquet has no lists of two types
            named, weight = each.get("product_id"), each.get("lift")
        if isinstance(named, int) and not isinstance(named, bool):
            named = str(named)
        is_id = isinstance(named, str) and len(named) <= MAX_ID_BYTES
        is_weight = isinstance(weight, float | int) and not isinstance(weight, bool)
        if not is_id or not is_weight or not _LEAST_WEIGHT <= weight <= _MOST_WEIGHT:
            raise RowError("invalid_bought_with")
        yield named, weight
