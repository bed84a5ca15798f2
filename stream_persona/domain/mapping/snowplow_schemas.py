"""What schemas describe of an enriched event of Snowplow's: the event itself, and its entities.

The analytics SDKs and loaders give each a key of its own, with the first number of its schema's
version, or, as older loaders do, with all three. Others leave all of them within one text or
object. Only schemas of the first number are read: another one has other fields.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import msgspec

from stream_persona.domain.mapping.values import find_inner, require_list, require_object
from stream_persona.errors import DecodeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    #: Vendor and name of a schema.
    Schema = tuple[str, str]

#: Most entities of one schema; of products, no more than an event may have are read.
_MOST: Final = 10_000
_EVENT, _ENTITIES = "unstruct_event_", "contexts_"
#: A key: up to the first number of a version, and what may follow that.
_KEY: Final = re.compile(r"(.+?_\d+)(?:_\d+_\d+)?(?:_recovered_\w+)?", re.ASCII)
_IGLU: Final = re.compile(r"iglu:([\w.-]+)/([\w.-]+)/[\w.-]+/1-\d+-\d+", re.ASCII)
#: Where all entities stand, as the tracker sent them and as enrichments added some.
_TOGETHER: Final = ("contexts", "derived_contexts")


class EventEntities:
    """What is described of one event."""

    def __init__(self, event: Mapping[str, Any]) -> None:
        self._event = event
        self._keys: dict[str, list[str]] = {}
        for key in event:
            if key.startswith((_EVENT, _ENTITIES)):
                self._keys.setdefault(_shorten(key), []).append(key)
        self._together: list[tuple[Schema | None, Mapping[str, Any]]] | None = None

    def find_event(self, schemas: Iterable[Schema]) -> tuple[Schema | None, Mapping[str, Any]]:
        """Return the schema of a self-describing event, and what it says.

        By its key only one of ``schemas`` is known.
        """
        for schema in schemas:
            for value in self._list_values(_EVENT, schema):
                if value is not None:
                    return schema, require_object(value, f"$.{_EVENT}{schema[1]}")
        outer = _parse(self._event.get("unstruct_event"), "$.unstruct_event")
        return _open(outer.get("data", outer)) if isinstance(outer, dict) else (None, {})

    def find_entities(self, schema: Schema) -> list[Any]:
        """Return the entities of a schema, in their order."""
        found: list[Any] = []
        for value in self._list_values(_ENTITIES, schema):
            found += [] if value is None else require_list(value, f"$.contexts.{schema[1]}", _MOST)
        return found or [data for own, data in self._open_all() if own == schema]

    def _list_values(self, kind: str, schema: Schema) -> list[Any]:
        key = f"{kind}{schema[0].replace('.', '_')}_{schema[1]}_1"
        keys = self._keys.get(key, ())
        return [_parse(self._event[each], f"$.{each}") for each in keys]

    def _open_all(self) -> list[tuple[Schema | None, Mapping[str, Any]]]:
        if self._together is None:
            self._together = []
            for name in _TOGETHER:
                outer = _parse(self._event.get(name), f"$.{name}")
                listed = outer.get("data") if isinstance(outer, dict) else outer
                self._together += map(_open, listed) if isinstance(listed, list) else []
        return self._together


@lru_cache(maxsize=1_024)
def _shorten(key: str) -> str:
    found = _KEY.fullmatch(key)
    return found[1] if found else key


def _open(described: Any) -> tuple[Schema | None, Mapping[str, Any]]:
    if not isinstance(described, dict):
        return None, {}
    schema = described.get("schema")
    found = _IGLU.fullmatch(schema) if isinstance(schema, str) else None
    return (found[1], found[2]) if found else None, find_inner(described, "data")


def _parse(value: Any, place: str) -> Any:
    """Return what a text of JSON holds: the line, and some loaders, leave it one."""
    if not isinstance(value, str):
        return value
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise DecodeError("invalid_field", f"no JSON - at `{place}`") from None
