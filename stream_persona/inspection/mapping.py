"""Messages as they would be if the fields that look like ours were named like them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from stream_persona.domain.events import PURCHASE, encode
from stream_persona.files.row_reader import KIND_NAMES
from stream_persona.inspection.lookalikes import EVENT_FIELDS, ITEM_FIELDS, ITEM_PATHS
from stream_persona.inspection.sample import decode_as_kind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stream_persona.inspection.sample import Reading

#: By kind, foreign paths and the fields that they look like.
Names = dict[int, dict[str, str]]


def find_names(fields: Sequence[Mapping[str, Any]]) -> Names:
    """Take from the rows of fields which foreign ones look like which of ours.

    Of several that look like the same one, that counts which most messages have.
    """
    names: Names = {}
    for row in sorted(fields, key=lambda row: -row["messages"]):
        own = names.setdefault(KIND_NAMES.index(row["kind"]), {})
        if row["looks_like"] and row["looks_like"] not in own.values():
            own[row["field"]] = row["looks_like"]
    return names


def map_all(readings: Sequence[Reading], names: Names) -> list[Reading]:
    """Return the readings with foreign fields under our names; others stay as they are."""
    return [
        _map_one(reading, names[reading.kind]) if names.get(reading.kind) else reading
        for reading in readings
    ]


def _map_one(reading: Reading, names: Mapping[str, str]) -> Reading:
    if not reading.fields:
        return reading
    document = rename_fields(reading.fields, reading.kind, names)
    event, error = decode_as_kind(replace(reading.message, value=encode(document)), reading.kind)
    return replace(reading, document=document, event=event, error=error)


def rename_fields(document: dict[str, Any], kind: int, names: Mapping[str, str]) -> dict[str, Any]:
    """Return a document with the fields of an event, and of its items, under our names."""
    mapped = dict(document)
    item: dict[str, Any] = {}
    for path, ours in names.items():
        if "." in path or path not in document or document[path] is None:
            continue
        is_of_item = ours in ITEM_FIELDS and ours not in EVENT_FIELDS[kind]
        (item if is_of_item else mapped).setdefault(ours, document[path])
    owner = ITEM_PATHS.get(kind, "").removesuffix("[]")
    if owner and item and owner not in mapped:
        mapped[owner] = [item] if kind == PURCHASE else item
    elif owner:
        mapped[owner] = _map_items(mapped.get(owner), _select_inner_names(names))
    return mapped


def _select_inner_names(names: Mapping[str, str]) -> dict[str, str]:
    return {path.rpartition(".")[2]: ours for path, ours in names.items() if "." in path}


def _map_items(items: object, names: Mapping[str, str]) -> object:
    if isinstance(items, list):
        return [_map_items(item, names) for item in items]
    if not isinstance(items, dict):
        return items
    renamed = {ours: items[name] for name, ours in names.items() if items.get(name) is not None}
    return {**renamed, **{name: value for name, value in items.items() if value is not None}}
