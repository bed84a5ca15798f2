"""The fields of messages: how often each is there, whether we read it, what became of it."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from stream_persona.domain.events import BEHAVIOURAL
from stream_persona.files.row_reader import KIND_NAMES
from stream_persona.inspection.lookalikes import (
    EVENT_FIELDS,
    ITEM_FIELDS,
    ITEM_PATHS,
    REQUIRED,
    find_lookalike,
    list_field_paths,
)
from stream_persona.inspection.sample import compute_share

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from stream_persona.inspection.sample import Reading

#: Most paths that are counted, most values of one of them, and most that are shown.
_MOST_PATHS: Final = 400
_MOST_VALUES: Final = 20_000
_SHOWN: Final = 5
_VALUE_LENGTH: Final = 40
_DEEPEST: Final = 8
#: Which tokens a field of ours becomes.
_TOKENS_OF: Final = {
    "product_id": "product", "category": "category", "brand": "brand", "price": "price",
    "quantity": "quantity", "query": "query", "action": "action", "channel": "channel",
    "campaign": "campaign", "occurred_at": "hour", "items": "basket_size",
    "attributes": "attributes",
}  # fmt: skip


@dataclass(slots=True)
class FieldCount:
    """A path in messages of one kind: how often it is there, in how many messages.

    Of these ``with_tokens`` became tokens; in ``lacking`` it stands in the place of ``likeness``,
    the field of ours that it looks like.
    """

    parent: str = ""
    likeness: str | None = None
    present: int = 0
    messages: int = 0
    with_tokens: int = 0
    lacking: int = 0
    values: Counter[str] = field(default_factory=Counter)


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
        if reading.fields:
            _count_document(counts[reading.kind], reading, own)
    return counts


def _count_document(paths: dict[str, FieldCount], reading: Reading, own: frozenset[str]) -> None:
    found = list(walk(reading.fields))
    seen = {path for path, _ in found}
    paths.setdefault("", FieldCount()).present += 1
    for path, value in found:
        if path not in paths and len(paths) < _MOST_PATHS:
            paths[path] = FieldCount(_find_parent(path), _find_lookalike(path, reading.kind))
        if path not in paths:
            continue
        counted = paths[path]
        counted.present += 1
        if not isinstance(value, dict | list) and len(counted.values) < _MOST_VALUES:
            counted.values[_show(value)] += 1
    for path in seen & paths.keys():
        paths[path].messages += 1
        paths[path].with_tokens += _find_token_field(path, reading.kind) in own
    for path in _find_lacking(reading, paths, seen):
        paths[path].lacking += 1


def _find_lacking(
    reading: Reading, paths: Mapping[str, FieldCount], seen: AbstractSet[str]
) -> set[str]:
    """Find the foreign paths of a message that stand in the place of a field of ours."""
    ours = list_field_paths(reading.kind)
    found = set()
    for owner, value in [("", reading.fields), *walk(reading.fields)]:
        for name in value if isinstance(value, dict) else ():
            path = f"{owner}.{name}" if owner else str(name)
            likeness = paths[path].likeness if path in paths and path in seen else None
            if likeness is None:
                continue
            is_beside = _find_parent(ours[likeness]) == owner
            has_ours = value.get(likeness) is not None if is_beside else ours[likeness] in seen
            if not has_ours:
                found.add(path)
    return found


def _find_lookalike(path: str, kind: int) -> str | None:
    is_foreign = not path.endswith("[]") and not is_read(path, kind)
    return find_lookalike(path, kind) if is_foreign else None


def describe_fields(counts: Mapping[int, Mapping[str, FieldCount]]) -> list[dict[str, Any]]:
    """Return a row for each field of each kind, ours first."""
    rows = []
    for kind, paths in sorted(counts.items()):
        for path, found in paths.items():
            if not path or path.endswith("[]"):
                continue
            # Where both are there, the foreign one is something else.
            looks_like = found.likeness if 2 * found.lacking > found.messages else None
            rows.append({
                "kind": KIND_NAMES[kind],
                "field": path,
                "messages": found.messages,
                "share": compute_share(found.present, _count_of(paths, found.parent)),
                "read": is_read(path, kind),
                "with_token": found.with_tokens if _find_token_field(path, kind) else None,
                "values": dict(found.values.most_common(_SHOWN)),
                "distinct_values": len(found.values),
                "looks_like": looks_like,
                "lacking": found.lacking if looks_like else 0,
            })  # fmt: skip
    return sorted(rows, key=lambda row: (row["kind"], not row["read"]))


def find_absent(kind: int, paths: Mapping[str, FieldCount]) -> list[str]:
    """Find the required fields of a kind that no message has."""
    return [name for name in EVENT_FIELDS[kind][: REQUIRED[kind]] if name not in paths]


def is_read(path: str, kind: int) -> bool:
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


def _find_token_field(path: str, kind: int) -> str | None:
    """Return which tokens a path becomes, if we read it."""
    if kind not in BEHAVIOURAL or not is_read(path, kind):
        return None
    parts = path.split(".")
    return "attributes" if "attributes" in parts else _TOKENS_OF.get(parts[-1])


def _count_of(paths: Mapping[str, FieldCount], path: str) -> int:
    found = paths.get(path)
    return found.present if found else 0


def _find_parent(path: str) -> str:
    return path.removesuffix("[]") if path.endswith("[]") else path.rpartition(".")[0]


def _show(value: object) -> str:
    text = value if isinstance(value, str) else str(value)
    return text if len(text) <= _VALUE_LENGTH else f"{text[: _VALUE_LENGTH - 1]}…"
