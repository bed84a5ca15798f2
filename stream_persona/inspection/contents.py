"""What messages hold: scripts of searches, prices and quantities, spellings of categories."""

from __future__ import annotations

import html
import unicodedata
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, Final

from stream_persona.inspection.sample import compute_percentiles, compute_share

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stream_persona.inspection.sample import Reading

#: Whole prices whose median is above are minor units, or of a currency without any.
_LARGE: Final = 100.0
_SHOWN: Final = 5
#: What parts the levels of categories elsewhere.
_SEPARATORS: Final = (" > ", ">", "|", "::", "»", "\\", " - ")


def describe_contents(readings: Sequence[Reading], separator: str) -> dict[str, Any]:
    """Describe the contents of messages."""
    items = [item for reading in readings for item in find_items(reading)]
    return {
        "scripts_of_searches": _count_scripts(readings),
        "prices": _describe_prices(items),
        "negative": _count_negative(items),
        "categories": _describe_categories(items, separator),
    }


def find_items(reading: Reading) -> Iterator[dict[str, Any]]:
    """Yield the items of a purchase, and the product of a browse."""
    items = reading.fields.get("items")
    for item in [*(items if isinstance(items, list) else ()), reading.fields.get("product")]:
        if isinstance(item, dict):
            yield item


def find_script(text: str) -> str | None:
    """Return the script that most letters of a text are of, by the names that Unicode gives them.

    >>> find_script("dog food"), find_script("कुत्ते का खाना"), find_script("犬 food 用品")
    ('Latin', 'Devanagari', 'Latin')
    """
    names = (unicodedata.name(letter, "").split(" ")[0] for letter in text if letter.isalpha())
    counts = Counter(name.capitalize() for name in names if name)
    return counts.most_common(1)[0][0] if counts else None


def _count_scripts(readings: Sequence[Reading]) -> dict[str, int]:
    queries = (reading.fields.get("query") for reading in readings)
    found = (find_script(query) for query in queries if isinstance(query, str))
    return dict(Counter(script for script in found if script).most_common())


def _describe_prices(items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    prices = [price for item in items if (price := _read_number(item.get("price"))) is not None]
    if not prices:
        return {"count": 0}
    spread, whole = (
        compute_percentiles(prices),
        compute_share(sum(p == int(p) for p in prices), len(prices)),
    )
    is_large = whole == 1.0 and spread["median"] >= _LARGE
    return {
        "count": len(prices), **spread, "whole": whole, "looks_like_minor_units": is_large,
    }  # fmt: skip


def _read_number(value: object) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and abs(value) < float("inf") else None  # type: ignore[arg-type]


def _count_negative(items: Sequence[dict[str, Any]]) -> dict[str, int]:
    def count(field: str) -> int:
        return sum((_read_number(item.get(field)) or 0.0) < 0 for item in items)

    none = sum(_read_number(item.get("quantity")) == 0 for item in items)
    return {"quantities": count("quantity"), "prices": count("price"), "quantities_of_0": none}


def _describe_categories(items: Sequence[dict[str, Any]], separator: str) -> dict[str, Any]:
    counts = Counter(
        category for item in items if isinstance(category := item.get("category"), str)
    )
    spellings: dict[str, list[str]] = defaultdict(list)
    for category in counts:
        spellings[_fold(category, separator)].append(category)
    several = [group for group in spellings.values() if len(group) > 1]
    parted = {
        mark: sum(n for category, n in counts.items() if mark in category)
        for mark in _SEPARATORS
        if mark != separator
    }
    usual = max(parted, key=lambda mark: parted[mark])
    is_parted = sum(n for category, n in counts.items() if separator in category) < parted[usual]
    return {
        "distinct": len(counts),
        "with_entities": sum(n for each, n in counts.items() if html.unescape(each) != each),
        "spellings": {
            "groups": len(several),
            "messages": sum(counts[each] for group in several for each in group),
            "examples": [sorted(group) for group in several[:_SHOWN]],
        },
        "other_separator": {"separator": usual, "count": parted[usual]} if is_parted else None,
    }


def _fold(category: str, separator: str) -> str:
    text = unicodedata.normalize("NFKC", html.unescape(category)).casefold()
    levels = text.replace(" > ", separator).split(separator)
    return separator.join(level.strip() for level in levels if level.strip())
