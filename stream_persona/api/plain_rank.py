"""Ordinary bodies of ``POST /v1/rank``: their items are checked in a tenth of the time.

Everything else of a body is checked by ``RankRequest``, like any other; and what is not an ordinary
item here is left to it as well.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any, TypedDict, cast

import msgspec
from pydantic import PrivateAttr, ValidationError

from stream_persona.api.quick_route import is_plain
from stream_persona.api.rank import MOST_ITEMS, MOST_NUMBER, MOST_TEXT, RankItem, RankRequest
from stream_persona.domain.events import MAX_ATTRIBUTES, MAX_ID_BYTES


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
        found = _read_items(items)
        request = PlainRankRequest.model_validate({**body, "items": ({},)})
    except (_UnusualError, msgspec.ValidationError, ValidationError):
        return None
    request._items = found  # noqa: SLF001 - of an object that is made here
    return request


def _read_items(items: list[Any]) -> list[dict[str, Any]]:
    """Return items as pydantic would: their known fields first, in their order, with floats."""
    read = cast("list[dict[str, Any]]", msgspec.convert(items, list[_Item]))
    return [_order(item, found) for item, found in zip(items, read, strict=True)]


def _order(item: dict[str, Any], read: dict[str, Any]) -> dict[str, Any]:
    """Return what was read of an item in the order of the fields, and its other fields behind."""
    order = _find_order(tuple(read))
    ordered = {field: read[field] for field in order} if order else read
    if len(read) < len(item):
        others = {field: value for field, value in item.items() if field not in read}
        if not all(map(is_plain, others.values())):
            raise _UnusualError
        return {**ordered, **others}
    return ordered


# A caller's items have their fields in one order, and mostly in this one.
@lru_cache(maxsize=64)
def _find_order(fields: tuple[str, ...]) -> tuple[str, ...]:
    """Return fields in the order in which they come back; none where they are in it."""
    ordered = tuple(field for field in RankItem.model_fields if field in fields)
    return () if ordered == fields else ordered


_Text = Annotated[str, msgspec.Meta(max_length=MOST_TEXT)]


class _Item(TypedDict, total=False):
    """An ordinary item, as ``RankItem`` has it: msgspec checks a hundred in 25 us."""

    product_id: Annotated[str, msgspec.Meta(max_length=MAX_ID_BYTES)] | None
    category: _Text | None
    brand: _Text | None
    price: Annotated[float, msgspec.Meta(ge=0.0, le=MOST_NUMBER)] | None
    attributes: Annotated[dict[_Text, _Text], msgspec.Meta(max_length=MAX_ATTRIBUTES)] | None
    score: Annotated[float, msgspec.Meta(ge=-MOST_NUMBER, le=MOST_NUMBER)] | None
