"""Classifies customer ids: a customer's, one that stands for nobody, or malformed.

It needs nothing but the standard library, since clients check ids before a lookup.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Most bytes of a customer id (UTF-8).
MAX_ID_BYTES: Final = 256

#: What producers write where they know no customer, if no other list is set; in any case and form.
DEFAULT_NOBODY_IDS: Final = (
    "undefined", "null", "none", "nil", "nan", "n/a", "0", "-1", "guest", "anonymous", "unknown",
    "(not set)", "(none)", "(null)", "<null>", "[object Object]",
    "00000000-0000-0000-0000-000000000000", "00000000000000000000000000000000",
)  # fmt: skip

#: An id of no more characters has no more than its most bytes.
SHORT_ID: Final = MAX_ID_BYTES // 4


class NobodyIds:
    """The ids that stand for nobody: those of a list, in any case and form, and blank ones.

    >>> "GUEST " in NobodyIds(["guest"]), "" in NobodyIds(["guest"]), "Gus" in NobodyIds(["guest"])
    (True, True, False)
    """

    __slots__ = ("_folded",)

    def __init__(self, ids: Iterable[str] = ()) -> None:
        """Take the default list in place of an empty one."""
        self._folded = (frozenset(map(_fold, ids)) or _DEFAULT) | {""}

    def __contains__(self, customer_id: str) -> bool:
        return _fold(customer_id) in self._folded

    @property
    def own(self) -> tuple[str, ...] | None:
        """The list as it is compared; None if it is the default one."""
        listed = self._folded - {""}
        return None if listed == _DEFAULT else tuple(sorted(listed))


def _fold(text: str) -> str:
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return text.strip().casefold()


_DEFAULT: Final = frozenset(map(_fold, DEFAULT_NOBODY_IDS))

#: The default list.
NOBODY_IDS: Final = NobodyIds()


def find_fault(customer_id: str) -> str | None:
    """Find why an id could not be a part of keys and addresses; a sentence, None if it could."""
    if not customer_id.strip():
        return f"customer_id must have 1 to {MAX_ID_BYTES} bytes, not blanks alone"
    if not customer_id.isprintable():
        return "customer_id has characters that cannot be printed"
    if customer_id != customer_id.strip():
        return "customer_id has blanks at an end: one id with them and one without would be two"
    if len(customer_id) > SHORT_ID and len(customer_id.encode()) > MAX_ID_BYTES:
        return f"customer_id must have 1 to {MAX_ID_BYTES} bytes"
    return None


def is_customer(customer_id: object, nobody: NobodyIds) -> bool:
    """Whether anything that is given for an id could be a customer's."""
    return (
        isinstance(customer_id, str)
        and find_fault(customer_id) is None
        and customer_id not in nobody
    )
