"""Ordinary bodies of ``POST /v1/rank``: their items are checked by hand, in a tenth of the time.

Everything else of a body is checked by ``RankRequest``, like any other; and what is not an ordinary
item here is left to it as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pydantic import PrivateAttr, ValidationError

from stream_persona.api.quick_route import is_plain
from stream_persona.api.rank import MOST_ITEMS, MOST_NUMBER, MOST_TEXT, RankItem, RankRequest
from stream_persona.domain.events import MAX_ATTRIBUTES, MAX_ID_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable


class PlainRankRequest(RankRequest):
    """A request of which only the items were read in another way."""

    _items: list[dict[str, Any]] = PrivateAttr()

    def list_items(self) -> list[dict[str, Any]]:
        """Return the items, their known fields first."""
        return self._items


class _UnusualError(Exception):
    """An item is not an ordinary one; it may be right still."""


def read_rank_request(body: dict[str, Any]) -> PlainRankRequest | None:
    """Read a body; None if it is not an ordinary one."""
    items = body.get("items")
    if not isinstance(items, list) or not 0 < len(items) <= MOST_ITEMS:
        return None
    try:
        found = list(map(_read_item, items))
        request = PlainRankRequest.model_validate({**body, "items": ({},)})
    except (_UnusualError, ValidationError):
        return None
    request._items = found  # noqa: SLF001 - of an object that is made here
    return request


def _read_item(item: object) -> dict[str, Any]:
    """Return an item as pydantic would: its known fields first, in their order, with floats."""
    if not isinstance(item, dict):
        raise _UnusualError
    read = {field: kind(item[field]) for field, kind in _KINDS if field in item}
    if len(read) < len(item):
        others = {field: value for field, value in item.items() if field not in read}
        if not all(map(is_plain, others.values())):
            raise _UnusualError
        read |= others
    return read


def _text(value: object, most: int = MOST_TEXT) -> object:
    if (isinstance(value, str) and len(value) <= most) or value is None:
        return value
    raise _UnusualError


def _id(value: object) -> object:
    return _text(value, MAX_ID_BYTES)


def _price(value: object, least: float = 0.0) -> float | None:
    if value is None:
        return None
    if type(value) in {float, int} and least <= value <= MOST_NUMBER:  # type: ignore[operator]
        return float(value)  # type: ignore[arg-type]
    raise _UnusualError


def _score(value: object) -> float | None:
    return _price(value, -MOST_NUMBER)


def _attributes(value: object) -> object:
    if value is None:
        return None
    if not isinstance(value, dict) or len(value) > MAX_ATTRIBUTES:
        raise _UnusualError
    if None in value.values():
        raise _UnusualError
    for text in (*value, *value.values()):
        _text(text)
    return value


_KIND_OF: Final[dict[str, Callable[[object], object]]] = {
    "product_id": _id, "category": _text, "brand": _text, "price": _price,
    "attributes": _attributes, "score": _score,
}  # fmt: skip
#: In the order in which they come back.
_KINDS: Final = tuple((field, _KIND_OF[field]) for field in RankItem.model_fields)
