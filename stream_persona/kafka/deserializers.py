"""Avro, Protobuf and JSON Schema in the Confluent wire format, with schemas of a registry.

A payload is a zero, the number of its schema in four bytes, in Protobuf the indexes of its message,
and the content. Schemas are fetched by their number before a batch is read, off the event loop, and
kept. A registry that is away is asked again with backoff, and in the end ends the worker: nothing
is given up for that. A number that it does not know, and a content that is not of its schema, make
a dead letter.
"""

from __future__ import annotations

import asyncio
import io
import logging
import struct
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from stream_persona.domain.message_size import MAX_BYTES, check_size
from stream_persona.errors import DecodeError, SettingsError, UnavailableError
from stream_persona.retrying import retry_until

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from aiokafka import ConsumerRecord
    from confluent_kafka.schema_registry import Schema, SchemaRegistryClient

    from stream_persona.domain.mapping.sources import Sources
    from stream_persona.settings import Settings

logger = logging.getLogger(__name__)

#: Most schemas that are kept of a registry, and most that are fetched at a time.
_MOST_SCHEMAS: Final = 1_000
_AT_A_TIME: Final = 8
#: Seconds that one answer of a registry may take; seconds for which an unknown number stays so.
_PATIENCE: Final = 10.0
_UNKNOWN_SECONDS: Final = 30.0
_FRAME_BYTES: Final = 5
_NOT_FOUND: Final = 404
#: What a schema may have of references, and these again.
_MOST_REFERENCES: Final = 200

#: From a whole payload, its frame included, to plain values.
Decode = Callable[[bytes], Any]


class Fetch(Protocol):
    """Fetches what decodes the payloads of a schema; blocks, in a thread of its own."""

    def __call__(self, number: int) -> Decode:
        """Return it.

        Raises:
            DecodeError: the registry has no such schema, or none that can be used.
        """
        ...


class Deserializers:
    """Decodes the payloads of topics that have schemas."""

    def __init__(self, by_topic: Mapping[str, RegistryDecoder]) -> None:
        self._by_topic = by_topic

    @classmethod
    def of(cls, sources: Sources | None, settings: Settings) -> Self:
        """Make those of the sources that are not plain JSON.

        Raises:
            SettingsError: what decodes them is not installed.
        """
        found: dict[tuple[str, str], RegistryDecoder] = {}
        by_topic = {}
        for source in sources.source if sources else ():
            if source.format == "json":
                continue
            key = source.format, source.registry or ""
            if key not in found:
                found[key] = RegistryDecoder(*key, settings)
            by_topic[source.topic] = found[key]
        return cls(by_topic)

    def __contains__(self, topic: str) -> bool:
        return topic in self._by_topic

    async def prepare(self, batch: Iterable[ConsumerRecord]) -> None:
        """Fetch the schemas of a batch that are not known yet.

        Raises:
            UnavailableError: a registry stayed away.
        """
        if not self._by_topic:
            return
        wanted: dict[RegistryDecoder, set[int]] = {}
        for raw in batch:
            decoder = self._by_topic.get(raw.topic)
            if decoder is not None and (number := find_number(raw.value)) is not None:
                wanted.setdefault(decoder, set()).add(number)
        for decoder, numbers in wanted.items():
            await decoder.prepare(numbers)

    def decode(self, topic: str, value: bytes | None) -> Any:  # noqa: ANN401 - JSON of any shape
        """Decode a message of a topic, whose schema was prepared.

        Raises:
            DecodeError: it cannot be read.
        """
        return self._by_topic[topic].decode(value)


def find_number(value: bytes | None) -> int | None:
    """Return the number of a payload's schema; None if it has no frame."""
    if not value or len(value) < _FRAME_BYTES or value[0]:
        return None
    number: int = struct.unpack_from(">I", value, 1)[0]
    return number


class RegistryDecoder:
    """Decodes payloads of one format with the schemas of one registry."""

    def __init__(self, kind: str, url: str, settings: Settings, fetch: Fetch | None = None) -> None:
        self._url = url
        self._seconds = settings.retry_seconds
        self._fetch = fetch or make_fetch(kind, url, settings)
        self._known: OrderedDict[int, Decode | DecodeError] = OrderedDict()
        self._unknown_since: dict[int, float] = {}

    async def prepare(self, numbers: Collection[int]) -> None:
        """Fetch those of some schemas that are not known.

        Raises:
            UnavailableError: the registry stayed away.
        """
        loop = asyncio.get_running_loop()
        self._forget_unknown(loop.time() - _UNKNOWN_SECONDS)
        new = sorted({*numbers} - self._known.keys())
        for number in {*numbers} & self._known.keys():
            self._known.move_to_end(number)
        deadline = loop.time() + self._seconds
        for first in range(0, len(new), _AT_A_TIME):
            some = new[first : first + _AT_A_TIME]
            found = await asyncio.gather(*(self._load(number, deadline) for number in some))
            self._known.update(zip(some, found, strict=True))
        for number in new:
            if isinstance(self._known[number], DecodeError):
                self._unknown_since[number] = loop.time()
        while len(self._known) > max(_MOST_SCHEMAS, len(numbers)):
            number, _ = self._known.popitem(last=False)
            self._unknown_since.pop(number, None)

    async def _load(self, number: int, deadline: float) -> Decode | DecodeError:
        """Fetch a schema; an error that trying again would not mend is returned."""

        async def fetch_once() -> Decode | DecodeError:
            try:
                return await asyncio.to_thread(self._fetch, number)
            except DecodeError as error:
                return error

        try:
            return await retry_until(deadline, fetch_once, on=UnavailableError)
        except UnavailableError as error:
            message = f"no schema came from the registry at {self._url} for {self._seconds:g} s"
            raise UnavailableError(f"{message}: {error}") from None

    def _forget_unknown(self, before: float) -> None:
        """Ask again for what a registry did not have: it may be a copy that lags behind."""
        for number, since in [*self._unknown_since.items()]:
            if since < before:
                del self._unknown_since[number]
                self._known.pop(number, None)

    def decode(self, value: bytes | None) -> Any:  # noqa: ANN401 - JSON of any shape
        """Decode a payload whose schema was prepared.

        Raises:
            DecodeError: it cannot be read.
        """
        if not value:
            raise DecodeError("empty", "the message has no value")
        if len(value) > MAX_BYTES:
            check_size(value)
        number = find_number(value)
        if number is None:
            raise DecodeError("wrong_format", "no zero and number of a schema stand before it")
        found = self._known[number]
        if isinstance(found, DecodeError):
            raise DecodeError(found.reason, f"schema {number}: {found.detail}")
        return found(value)


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
            return lambda value: decode(value[_FRAME_BYTES:])

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
