"""Turns an item's fields into the tokens that they are in an event.

This module needs nothing but the standard library.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, cast

from stream_persona.domain.binning import canonicalize_token, find_price_band, list_levels
from stream_persona.domain.text import MAX_CACHED

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Most attributes of an item that are read, as in events.
MOST_ATTRIBUTES: Final = 64
#: Fields of an item that are features under another name.
_FIELDS: Final = {"product_id": "product", "brand": "brand"}
_CATEGORY, _PRICE = "category", "price"

#: The name of a feature, its value, and what parts the levels of a category.
Feature = tuple[str, str | float, str]
#: Category, product, brand and price of an item, and what parts the levels of its category.
Key = tuple[str | None, str | None, str | None, float | None, str]


def tokenize_item(item: Mapping[str, Any], separator: str = "/") -> list[list[str]]:
    """Return the tokens of an item as in an event, in groups, the most specific of a group first.

    The levels of a category are one group, every other feature is a group of its own. Fields that
    are no features, or of another type than an event's, are left out. Tokens are canonical.

    >>> tokenize_item({"category": "Baby > Diapers", "price": 9.5})
    [['category:baby/diapers', 'category:baby'], ['price:8..16']]
    """
    groups = map(tokenize, list_features(item, separator))
    return [list(group) for group in groups if group]


def list_features(item: object, separator: str) -> list[Feature]:
    """Return the features of an item's fields that are some, in order, not yet as tokens."""
    item, found = read_fields(item), list[Feature]()
    category = item.get("category")
    if isinstance(category, str) and category:
        found.append((_CATEGORY, category, separator))
    for field, feature in _FIELDS.items():
        value = item.get(field)
        if isinstance(value, str) and value:
            found.append((feature, value, ""))
    price = item.get("price")
    if isinstance(price, int | float) and not isinstance(price, bool) and 0 <= price < math.inf:
        found.append((_PRICE, price, ""))
    attributes = item.get("attributes")
    if isinstance(attributes, dict):
        found += [
            (f"attributes.{key}", value, "")
            for key, value in islice(attributes.items(), MOST_ATTRIBUTES)
            if isinstance(key, str) and isinstance(value, str)
        ]
    return found


def tokenize(feature: Feature) -> Sequence[str]:
    """Return the tokens of a feature, the most specific first."""
    name, value, separator = feature
    if isinstance(value, str):
        return (
            _list_level_tokens(value, separator) if name == _CATEGORY else _make_group(name, value)
        )
    return (f"{name}:{find_price_band(value)}",)


def make_key(item: object, separator: str) -> Key | None:
    """Return all that an item's features depend on, if that is short; else None."""
    if type(item) is not dict or item.get("attributes") is not None:
        return None
    category, product, brand = item.get(_CATEGORY), item.get("product_id"), item.get("brand")
    price, size = item.get(_PRICE), 0
    for text in (category, product, brand):
        if type(text) is str:
            size += len(text)
        elif text is not None:
            return None
    kind = type(price)  # no bool, which would be found as the number that it equals
    is_plain = kind is float or kind is int or price is None
    return (category, product, brand, price, separator) if is_plain and size <= MAX_CACHED else None


def list_key_features(key: Key) -> list[Feature]:
    """Return the features of the items that have this key."""
    category, product, brand, price, separator = key
    item = {_CATEGORY: category, "product_id": product, "brand": brand, _PRICE: price}
    return list_features(item, separator)


def _list_level_tokens(category: str, separator: str) -> tuple[str, ...]:
    """Return the tokens of a category, the last level first."""
    is_short = len(category) <= MAX_CACHED
    return (_find_levels if is_short else _find_levels.__wrapped__)(category, separator)


def _make_group(feature: str, value: str) -> tuple[str, ...]:
    """Return the token of a value, or none."""
    is_short = len(feature) + len(value) <= MAX_CACHED
    return (_find_token if is_short else _find_token.__wrapped__)(feature, value)


# Catalogues repeat themselves: a spelling is worked out once.
@lru_cache(maxsize=8_192)
def _find_levels(category: str, separator: str) -> tuple[str, ...]:
    return tuple(f"category:{level}" for level in reversed(list_levels(category, separator)))


@lru_cache(maxsize=32_768)
def _find_token(feature: str, value: str) -> tuple[str, ...]:
    token = canonicalize_token(f"{feature}:{value}")
    return (token,) if token else ()


def read_fields(item: object) -> Mapping[str, Any]:
    """Return an item that has fields as a mapping of them, anything else as an empty one."""
    if isinstance(item, dict):
        return item
    if isinstance(item, Mapping):
        return item
    if hasattr(item, "keys"):  # a row of a data frame is no Mapping; anything else may raise
        with suppress(Exception):
            return dict(cast("Mapping[str, Any]", item))
    return {}
