"""Fetches schemas of a registry by Confluent's API, and makes of each what decodes its payloads.

Everything here blocks, and runs in threads. No login is in any message.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol

from stream_persona.errors import DecodeError, SettingsError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from confluent_kafka.schema_registry import Schema, SchemaRegistryClient

    from stream_persona.kafka.plain_values import Decode
    from stream_persona.settings import Settings

logger = logging.getLogger(__name__)

#: The zero and the number of the schema that a payload begins with.
FRAME_BYTES: Final = 5
#: Seconds that one answer of a registry may take.
_PATIENCE: Final = 10.0
_NOT_FOUND: Final = 404
#: What a schema may have of references, and these again.
_MOST_REFERENCES: Final = 200


class Fetch(Protocol):
    """Fetches what decodes payloads of a schema with their frames; blocks, in a thread."""

    def __call__(self, number: int) -> Decode:
        """Return it.

        Raises:
            DecodeError: the registry has no such schema, or none that can be used.
        """
        ...


def make_fetch(kind: str, url: str, settings: Settings) -> Fetch:
    """Make what fetches the schemas of a registry, in the Confluent API.

    Raises:
        SettingsError: the libraries for it are not installed.
    """
    try:
        from confluent_kafka.schema_registry import SchemaRegistryClient  # noqa: PLC0415

        makers = _load_makers()
    except ImportError as error:
        raise SettingsError(
            f"STREAM_PERSONA_SOURCES: format {kind} needs more packages ({error.name} is missing): "
            "pip install 'stream-persona[registry]'"
        ) from None
    options: dict[str, Any] = {"url": url, "timeout": _PATIENCE, "max.retries": 0}
    if settings.registry_username:
        secret = settings.registry_password.get_secret_value()
        options["basic.auth.user.info"] = f"{settings.registry_username}:{secret}"
    client = SchemaRegistryClient(options)
    expected, make = makers[kind]

    def fetch(number: int) -> Decode:
        # What is kept is kept by number, and bounded.
        client.clear_caches()  # type: ignore[no-untyped-call]
        schema = _ask(url, lambda: client.get_schema(number, fmt=_format_of(kind)))
        own = (schema.schema_type or "AVRO").upper()
        if own != expected:
            raise DecodeError("wrong_format", f"it is of format {own}, not {expected}")
        return make(schema.schema_str or "", _load_references(client, url, kind, schema))

    return fetch


def _load_makers() -> dict[str, tuple[str, Callable[[str, Mapping[str, str]], Decode]]]:
    """Load what makes decoders: by format, with the registry's word for it."""
    from stream_persona.kafka import (  # noqa: PLC0415 - each needs packages of its own
        avro_format,
        json_schema_format,
        protobuf_format,
    )

    def strip(make: Callable[[str, Mapping[str, str]], Decode]) -> Any:  # noqa: ANN401
        def make_whole(schema: str, references: Mapping[str, str]) -> Decode:
            decode = make(schema, references)
            return lambda value: decode(value[FRAME_BYTES:])

        return make_whole

    def make_protobuf(schema: str, references: Mapping[str, str]) -> Decode:
        decode = protobuf_format.make_protobuf_decoder(schema, references)
        return lambda value: decode(*_split_indexes(value))

    return {
        "avro": ("AVRO", strip(avro_format.make_avro_decoder)),
        "json-schema": ("JSON", strip(json_schema_format.make_json_decoder)),
        "protobuf": ("PROTOBUF", make_protobuf),
    }


def _split_indexes(value: bytes) -> tuple[list[int], bytes]:
    """Split a Protobuf payload into the indexes of its message and its content."""
    from confluent_kafka.schema_registry.serde import SchemaId  # noqa: PLC0415

    frame, stream = SchemaId("PROTOBUF"), io.BytesIO(value)
    try:
        frame.from_bytes(stream)
    except Exception as error:  # noqa: BLE001 - whatever a library makes of wrong bytes
        detail = f"no indexes of its message stand before it: {error or type(error).__name__}"
        raise DecodeError("wrong_format", detail) from None
    return frame.message_indexes or [0], stream.read()


def _format_of(kind: str) -> str | None:
    """Ask for what can be read without a compiler, where a registry can give it."""
    return "serialized" if kind == "protobuf" else None


def _load_references(
    client: SchemaRegistryClient, url: str, kind: str, schema: Schema
) -> dict[str, str]:
    """Load what a schema names, and what that names again."""
    found: dict[str, str] = {}
    waiting = [*(schema.references or ())]
    while waiting:
        each = waiting.pop()
        name, subject, version = each.name or "", each.subject or "", each.version or 0
        if name in found:
            continue
        if len(found) >= _MOST_REFERENCES:
            raise DecodeError("unknown_schema", f"it has more than {_MOST_REFERENCES} references")
        loaded = _ask(
            url,
            lambda s=subject, v=version: client.get_version(s, v, True, _format_of(kind)),  # type: ignore[misc]  # noqa: FBT003
        )
        found[name] = loaded.schema.schema_str or ""
        waiting += loaded.schema.references or ()
    return found


def _ask(url: str, question: Callable[[], Any]) -> Any:  # noqa: ANN401 - what the client answers
    """Return what a registry answers.

    Raises:
        DecodeError: it has no such schema.
        UnavailableError: it does not answer, or not as expected. No login is in the message.
    """
    from confluent_kafka.schema_registry.error import SchemaRegistryError  # noqa: PLC0415

    try:
        return question()
    except SchemaRegistryError as error:
        if error.http_status_code == _NOT_FOUND and str(error.error_code).startswith("404"):
            raise DecodeError("unknown_schema", "the registry has no such schema") from None
        raise UnavailableError(f"it answered with status {error.http_status_code}") from None
    except Exception as error:  # noqa: BLE001 - of the client's own library for HTTP
        logger.debug("the registry at %s: %s", url, type(error).__name__)
        raise UnavailableError(type(error).__name__) from None
