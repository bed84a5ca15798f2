"""The fields of messages: how often each is there, whether we read it, what became of it."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from stream_persona.inspection.lookalikes import (
    EVENT_FIELDS,
    ITEM_FIELDS,
    ITEM_PATHS,
    REQUIRED,
    field_paths,
    find_lookalike,
)
from stream_persona.inspection.sample import KIND_NAMES, share

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from stream_persona.inspection.sample import Reading

#: Most paths that are counted, most values of one of them, and most that are shown.
_MOST_PATHS: Final = 400
_MOST_VALUES: Final = 20_000
_SHOWN: Final = 5
_VALUE_LENGTH: Final = 40
_DEEPEST: Final = 8
#: Of the messages, or of their items: a field of ours that fewer have is missed.
_MISSED: Final = 0.5

#: Which tokens a field of ours becomes.
_TOKENS_OF: Final = {
    "product_id": "product", "category": "category", "brand": "brand", "price": "price",
    "quantity": "quantity", "query": "query", "action": "action", "channel": "channel",
    "campaign": "campaign", "occurred_at": "hour", "items": "basket_size",
    "attributes": "attributes",
}  # fmt: skip


@dataclass(slots=True)
class FieldCount:
    """A path in messages of one kind: in how many places it could be, is, and gave a token."""

    present: int = 0
    messages: int = 0
    with_tokens: int = 0
    values: Counter[str] = field(default_factory=Counter)
    parent: str = ""


def walk(document: object, path: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Yield the path and value of everything that is given in a document: ``items[].price``."""
    if isinstance(document, dict) and depth < _DEEPEST:
        for name, value in document.items():
            if value is not None:
                inner = f"{path}.{name}" if path else str(name)
                yield inner, value
                yield from walk(value, inner, depth + 1)
    elif isinstance(document, list) and depth < _DEEPEST:
        for value in document:
            if value is not None:
                yield f"{path}[]", value
                yield from walk(value, f"{path}[]", depth + 1)


def count_fields(
    readings: Sequence[Reading], tokens: Sequence[frozenset[str]]
) -> dict[int, dict[str, FieldCount]]:
    """Count the paths in the messages of each kind; ``tokens`` are the fields that became some."""
    counts: dict[int, dict[str, FieldCount]] = defaultdict(dict)
    for reading, own in zip(readings, tokens, strict=True):
        paths, seen = counts[reading.kind], set[str]()
        paths.setdefault("", FieldCount()).present += bool(reading.fields)
        for path, value in walk(reading.fields):
            found = paths.get(path)
            if found is None:
                if len(paths) >= _MOST_PATHS:
                    continue
                found = paths[path] = FieldCount(parent=_parent(path))
            found.present += 1
            if path not in seen:
                seen.add(path)
                found.messages += 1
                found.with_tokens += _token_field(path, reading.kind) in own
            if not isinstance(value, dict | list) and len(found.values) < _MOST_VALUES:
                found.values[_show(value)] += 1
    return counts


def describe_fields(counts: Mapping[int, Mapping[str, FieldCount]]) -> list[dict[str, Any]]:
    """Return a row for each field of each kind, ours first."""
    rows = []
    for kind, paths in sorted(counts.items()):
        missed = find_missed(kind, paths)
        for path, found in paths.items():
            if not path or path.endswith("[]"):
                continue
            is_read = reads(path, kind)
            looks_like = None if is_read else find_lookalike(path, kind, missed)
            rows.append({
                "kind": KIND_NAMES[kind],
                "field": path,
                "messages": found.messages,
                "share": share(found.present, _count_of(paths, found.parent)),
                "read": is_read,
                "with_token": found.with_tokens if _token_field(path, kind) else None,
                "values": dict(found.values.most_common(_SHOWN)),
                "distinct_values": len(found.values),
                "looks_like": looks_like,
            })  # fmt: skip
    return sorted(rows, key=lambda row: (row["kind"], not row["read"]))


def find_missed(kind: int, paths: Mapping[str, FieldCount]) -> list[str]:
    """Find fields of ours that are in fewer than half of the places where they could be."""
    missed = []
    for name, path in field_paths(kind).items():
        found = paths.get(path)
        places = _count_of(paths, _parent(path))
        if not places or share(found.present if found else 0, places) < _MISSED:
            missed.append(name)
    return missed


def find_absent(kind: int, paths: Mapping[str, FieldCount]) -> list[str]:
    """Find the required fields of a kind that no message has."""
    return [name for name in EVENT_FIELDS[kind][: REQUIRED[kind]] if name not in paths]


def reads(path: str, kind: int) -> bool:
    """Whether we read what is at a path in a message of a kind."""
    head, _, rest = path.partition(".")
    if head == "topic":
        return not rest
    if head == "attributes":
        return "attributes" in EVENT_FIELDS[kind] and "." not in rest
    if kind in ITEM_PATHS and path.startswith(f"{ITEM_PATHS[kind]}."):
        inner, _, below = path.removeprefix(f"{ITEM_PATHS[kind]}.").partition(".")
        return inner in ITEM_FIELDS and (not below or inner == "attributes")
    return path in EVENT_FIELDS[kind]


def _token_field(path: str, kind: int) -> str | None:
    """Return which tokens a path becomes, if we read it."""
    if not reads(path, kind):
        return None
    parts = path.split(".")
    return "attributes" if "attributes" in parts else _TOKENS_OF.get(parts[-1])


def _count_of(paths: Mapping[str, FieldCount], path: str) -> int:
    found = paths.get(path)
    return found.present if found else 0


def _parent(path: str) -> str:
    return path.removesuffix("[]") if path.endswith("[]") else path.rpartition(".")[0]


def _show(value: object) -> str:
    text = value if isinstance(value, str) else str(value)
    return text if len(text) <= _VALUE_LENGTH else f"{text[: _VALUE_LENGTH - 1]}…"
