"""How numbers and texts become values of tokens: bands of prices and sizes, words, levels.

It needs nothing but the standard library, since clients that rank items name tokens too.
"""

from __future__ import annotations

import math
import re
import unicodedata
from typing import Final

#: Most levels of a category, and most words of a search.
MAX_LEVELS: Final = 6
MAX_WORDS: Final = 16

#: The values of ``hour`` and ``weekday``.
HOURS: Final = ("0-6", "7-10", "11-13", "14-16", "17-19", "20-21", "22-23")
WEEKDAYS: Final = ("weekday", "weekend")

_WORD = re.compile(r"\w{2,32}")


def price_band(price: float) -> str:
    """Bands by powers of two, from ``<0.25`` to ``1024+``."""
    if price < 0.25:  # noqa: PLR2004 - the steps are the definition
        return "<0.25"
    if price >= 1024:  # noqa: PLR2004
        return "1024+"
    low = 2.0 ** (math.frexp(price)[1] - 1)
    return f"{low:g}..{2 * low:g}"


def quantity_band(quantity: float) -> str:
    """``1`` to ``4``, then ``5+``."""
    whole = max(1, int(min(quantity, 5)))
    return "5+" if whole == 5 else str(whole)  # noqa: PLR2004


def size_band(items: int) -> str:
    """Bands of a basket's size by powers of two: ``1``, ``2-3``, ..., ``64+``."""
    low = 1 << min(items.bit_length() - 1, 6)
    return "64+" if low == 64 else "1" if low == 1 else f"{low}-{2 * low - 1}"  # noqa: PLR2004


def words(query: str) -> list[str]:
    """The distinct words of a search, folded to one case and form; at most 16."""
    folded = unicodedata.normalize("NFKC", query).casefold()
    return list(dict.fromkeys(_WORD.findall(folded)))[:MAX_WORDS]


def levels(category: str, separator: str) -> list[str]:
    """Each level of a hierarchical category with those above it, the widest first; at most 6."""
    parts = category.split(separator, MAX_LEVELS)[:MAX_LEVELS]
    return [separator.join(parts[: i + 1]) for i in range(len(parts))]
