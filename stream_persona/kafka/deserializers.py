"""Avro, Protobuf and JSON Schema in the Confluent wire format, with schemas of a registry.

A payload is a zero, the number of its schema in four bytes, in Protobuf the indexes of its message,
and the content. Schemas are fetched by their number before a batch is read, off the event loop, and
kept. A registry that is away is asked again with backoff, and in the end ends the worker: nothing
is given up for that. A number that it does not know, and a content that is not of its schema, make
a dead letter.
"""

from __future__ import annotations

import asyncio
import struct
from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self

from stream_persona.domain.message_size import MAX_BYTES, check_size
from stream_persona.errors import DecodeError, UnavailableError
from stream_persona.kafka.schema_registry import FRAME_BYTES, make_fetch
from stream_persona.retrying import retry_until

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from aiokafka import ConsumerRecord

    from stream_persona.domain.mapping.sources import Sources
    from stream_persona.kafka.plain_values import Decode
    from stream_persona.kafka.schema_registry import Fetch
    from stream_persona.settings import Settings

#: Most schemas that are kept of a registry, and most that are fetched at a time.
_MOST_SCHEMAS: Final = 1_000
_AT_A_TIME: Final = 8
#: Seconds for which an unknown number stays so.
_UNKNOWN_SECONDS: Final = 30.0


class Deserializers:
    """Decodes the payloads of topics that have schemas."""

    def __init__(self, by_topic: Mapping[str, RegistryDecoder]) -> None:
        self._by_topic = by_topic

    @classmethod
    def of(cls, sources: Sources | None, settings: Settings) -> Self:
        """Make those of the sources that are not plain JSON."""
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
    if not value or len(value) < FRAME_BYTES or value[0]:
        return None
    number: int = struct.unpack_from(">I", value, 1)[0]
    return number


class RegistryDecoder:
    """Decodes payloads of one format with the schemas of one registry."""

    def __init__(self, kind: str, url: str, settings: Settings, fetch: Fetch | None = None) -> None:
        self._url = url
        self._seconds = settings.retry_seconds
        self._make_fetch = partial(make_fetch, kind, url, settings)
        self._fetch = fetch  # made once it is needed: a reader of reroutes needs none
        self._known: OrderedDict[int, Decode | DecodeError] = OrderedDict()
        self._unknown_since: dict[int, float] = {}

    async def prepare(self, numbers: Collection[int]) -> None:
        """Fetch those of some schemas that are not known.

        Raises:
            SettingsError: what decodes them is not installed.
            UnavailableError: the registry stayed away.
        """
        loop = asyncio.get_running_loop()
        self._forget_unknown(loop.time() - _UNKNOWN_SECONDS)
        new = sorted({*numbers} - self._known.keys())
        if new and self._fetch is None:
            self._fetch = self._make_fetch()
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
        fetch = self._fetch or self._make_fetch()

        async def fetch_once() -> Decode | DecodeError:
            try:
                return await asyncio.to_thread(fetch, number)
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
        found = self._known.get(number)
        if found is None:
            raise DecodeError("unknown_schema", f"schema {number} was not fetched")
        if isinstance(found, DecodeError):
            raise DecodeError(found.reason, f"schema {number}: {found.detail}")
        return found(value)
