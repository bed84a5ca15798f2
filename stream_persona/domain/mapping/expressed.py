"""Documents that a source reads by JMESPath of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from stream_persona.domain.anomaly import Anomaly
from stream_persona.domain.events import KINDS
from stream_persona.domain.mapping.drafts import EventDraft
from stream_persona.domain.mapping.sources import KIND_OF
from stream_persona.domain.mapping.values import (
    choose_customer,
    convert_number,
    convert_text,
    convert_time,
    read_items,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_persona.domain.identity import NobodyIds
    from stream_persona.domain.mapping.drafts import Findings
    from stream_persona.domain.mapping.sources import Source

_TIMES: Final = frozenset({"occurred_at", "requested_at", "expires_at"})
_NUMBERS: Final = frozenset({"price", "quantity"})
_FIELDS: Final = tuple(frozenset(kind.__struct_fields__) for kind in KINDS)


def read_expressed(source: Source, document: object, nobody: NobodyIds) -> Findings:
    """Read one event by the expressions of a source."""
    kind = source.fixed_kind
    if kind is None:
        found = source.kind.search(document) if source.kind else None
        kind = KIND_OF.get(found.lower()) if isinstance(found, str) else None
    if kind is None:
        yield Anomaly.UNKNOWN_EVENT
        return
    fields: dict[str, Any] = {}
    for name, expression in source.map.items():
        if name in _FIELDS[kind]:
            value = _READ.get(name, convert_text)(expression.search(document))
            # A persona of null withdraws one; where none is named, a field is missing.
            if value is not None or (name == "persona" and not expression.misses(document)):
                fields[name] = value
    fields["customer_id"] = choose_customer((fields.get("customer_id"),), nobody)
    names = {name: expression.text for name, expression in source.map.items()}
    yield EventDraft(kind, fields, "$", names)


def _read_items(found: Any) -> Any:
    return read_items(found, _read_item) if isinstance(found, list) else [_read_item(found)]


def _read_item(found: Any) -> Any:
    if not isinstance(found, dict):
        return found
    item = {}
    for name, value in found.items():
        own = _READ.get(name, convert_number if name in _NUMBERS else convert_text)(value)
        if own is not None:
            item[name] = own
    return item


def _read_attributes(found: Any) -> Any:
    if not isinstance(found, dict):
        return found
    return {
        key: convert_text(value) for key, value in found.items() if convert_text(value) is not None
    }


_READ: Final[Mapping[str, Callable[[Any], Any]]] = {
    **dict.fromkeys(_TIMES, convert_time), "items": _read_items,
    "product": _read_item, "attributes": _read_attributes,
}  # fmt: skip
