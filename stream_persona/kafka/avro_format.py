"""Avro, by fastavro: a writer's schema as what decodes its payloads.

fastavro recurses in C. A payload of a recursive schema may be nested as deep as it has bytes, which
ends the process; so those are left to its reader in Python, which raises. And an array of items
without bytes has as many of them as a few bytes say: such a schema is refused.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any, Final

import fastavro
from confluent_kafka.schema_registry.avro import parse_schema_with_repo
from fastavro import _read_py

from stream_persona.errors import DecodeError
from stream_persona.kafka.plain_values import Decode, make_plain

_PRIMITIVES: Final = frozenset({
    "null", "boolean", "int", "long", "float", "double", "bytes", "string",
})  # fmt: skip


def make_avro_decoder(schema: str, references: Mapping[str, str]) -> Decode:
    """Make the decoder of payloads of a schema; ``references`` are those that it names.

    Raises:
        DecodeError: no payload of it can be read.
    """
    try:
        named = {name: json.loads(text) for name, text in references.items()}
        for raw in tuple(named.values()):
            if isinstance(raw, dict) and "name" in raw:
                named[_find_full_name(raw)] = raw
        parsed = parse_schema_with_repo(schema, named)
        shape = _Shape(parsed)
    except Exception as error:  # noqa: BLE001 - whatever a library makes of a wrong schema
        detail = f"the schema cannot be used: {str(error)[:200] or type(error).__name__}"
        raise DecodeError("unknown_schema", detail) from None
    if shape.is_unbounded:
        raise DecodeError("unknown_schema", "the schema has an array of items without bytes")
    read = _read_py.schemaless_reader if shape.is_recursive else fastavro.schemaless_reader

    def decode(payload: bytes) -> Any:  # noqa: ANN401 - JSON of any shape
        stream = io.BytesIO(payload)
        try:
            value = read(stream, parsed, None)
        except RecursionError:
            raise DecodeError("too_deep", "nested deeper than can be read") from None
        except Exception as error:  # noqa: BLE001 - whatever a library makes of wrong bytes
            detail = f"not of its Avro schema: {str(error)[:200] or type(error).__name__}"
            raise DecodeError("wrong_format", detail) from None
        if stream.tell() != len(payload):
            rest = len(payload) - stream.tell()
            raise DecodeError("wrong_format", f"{rest} bytes more than its Avro schema has")
        return make_plain(value)

    return decode


class _Shape:
    """What is to be known of a parsed schema before a payload of it is read."""

    def __init__(self, schema: object) -> None:
        self._named: dict[str, dict[str, Any]] = {}
        self.is_recursive = self.is_unbounded = False
        self._walk(schema, ())

    def _walk(self, schema: object, around: tuple[str, ...]) -> bool:
        """Look at a schema within those ``around`` it; whether its values may have no bytes."""
        if isinstance(schema, list):  # a union, whose values begin with a number
            for each in schema:
                self._walk(each, around)
            return False
        if isinstance(schema, str):
            return self._walk_name(schema, around)
        return isinstance(schema, dict) and self._walk_complex(schema, around)

    def _walk_complex(self, schema: dict[str, Any], around: tuple[str, ...]) -> bool:
        own = schema["type"]
        if own in {"record", "error"}:
            return self._walk_record(schema, around)
        if own in {"enum", "fixed"}:
            self._named[_find_full_name(schema)] = schema
            return own == "fixed" and int(schema["size"]) == 0
        if own in {"array", "map"}:
            is_empty = self._walk(schema["items" if own == "array" else "values"], around)
            self.is_unbounded |= is_empty and own == "array"
            return False
        return self._walk(own, around)

    def _walk_name(self, name: str, around: tuple[str, ...]) -> bool:
        if name in _PRIMITIVES:
            return name == "null"
        if name in around:
            self.is_recursive = True
            return False
        known = self._named.get(name)
        return known is not None and self._walk(known, around)

    def _walk_record(self, schema: dict[str, Any], around: tuple[str, ...]) -> bool:
        name = _find_full_name(schema)
        if name in around:
            self.is_recursive = True
            return False
        self._named[name] = schema
        inner = (*around, name)
        empty = [self._walk(each["type"], inner) for each in schema["fields"]]
        return all(empty)


def _find_full_name(schema: Mapping[str, Any]) -> str:
    name, space = str(schema["name"]), schema.get("namespace")
    return f"{space}.{name}" if space and "." not in name else name
