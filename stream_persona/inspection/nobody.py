"""A stand-in for ``domain.identity``, to be replaced by it."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_DEFAULT: Final = (
    "undefined", "null", "none", "nil", "nan", "n/a", "0", "-1", "guest", "anonymous", "unknown",
    "(not set)", "(none)", "(null)", "<null>", "[object Object]",
    "00000000-0000-0000-0000-000000000000", "00000000000000000000000000000000",
)  # fmt: skip


class NobodyIds:
    """The ids that stand for nobody: those of a list, in any case and form, and blank ones."""

    def __init__(self, ids: Iterable[str] = ()) -> None:
        """Take the default list in place of an empty one."""
        self._folded = (frozenset(map(_fold, ids)) or frozenset(map(_fold, _DEFAULT))) | {""}

    def __contains__(self, customer_id: str) -> bool:
        return _fold(customer_id) in self._folded


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", text).strip().casefold()
