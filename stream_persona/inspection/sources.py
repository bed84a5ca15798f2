"""Maps the messages of a source to events, so that these are what is inspected."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import msgspec

from stream_persona.domain.events import encode
from stream_persona.domain.identity import NobodyIds
from stream_persona.domain.mapping.configured import load_sources
from stream_persona.errors import DecodeError
from stream_persona.files.row_reader import KIND_NAMES
from stream_persona.inspection.sample import InputSample, SampledMessage
from stream_persona.kafka.arrivals import EventReader
from stream_persona.kafka.source_reader import SourceReader

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiokafka import ConsumerRecord

    from stream_persona.domain.events import Event
    from stream_persona.domain.mapping.sources import Source
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.settings import Settings


@dataclass(slots=True)
class _Taken:
    """What became of the messages that one source took."""

    messages: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    unreadable: Counter[str] = field(default_factory=Counter)

    def to_plain(self, title: str) -> dict[str, Any]:
        return {
            "source": title, "messages": self.messages, "events": dict(self.kinds),
            "left_out": dict(self.left_out), "unreadable": dict(self.unreadable),
        }  # fmt: skip


async def map_sample(
    sample: InputSample, records: Sequence[ConsumerRecord], settings: Settings, taxonomy: Taxonomy
) -> InputSample:
    """Return a sample of the events that the sources of a topic make of its messages.

    Those that no source takes are as they were if the topic is one of ours. Any other sample is
    returned as it is.

    Raises:
        UnavailableError: a registry stayed away.
    """
    sources = load_sources(settings.sources)
    own = sources.list_for_topic(sample.name) if sources else ()
    if not own:
        return sample
    nobody = NobodyIds(settings.nobody)
    reader = SourceReader(settings, taxonomy, EventReader(taxonomy, nobody=nobody), nobody)
    await reader.prepare(records)
    titles = _name_apart(own)
    taken: dict[str, _Taken] = {title: _Taken() for title in titles}
    messages: list[SampledMessage] = []
    for record, message in zip(records, sample.messages, strict=True):
        messages += _map_message(
            reader, dict(zip(titles, own, strict=True)), record, message, taken
        )
    mapping = [each.to_plain(title) for title, each in taken.items()]
    # Each event says of which kind it is.
    return replace(sample, messages=messages, kind=None, mapping=mapping)


def _map_message(
    reader: SourceReader,
    sources: Mapping[str, Source],
    record: ConsumerRecord,
    message: SampledMessage,
    taken: dict[str, _Taken],
) -> list[SampledMessage]:
    """Return the events of a message, and what is wrong with it; count both."""
    title = "no source"
    try:
        document = reader.decode(record)
        holds = (n for n, s in sources.items() if s.when is None or s.when.holds(document))
        title = next(holds, title)
        mapped = reader.read(record)
    except DecodeError as error:
        own = taken.setdefault(title, _Taken())
        own.messages += 1
        own.unreadable[error.reason] += 1
        return [replace(message, error=error)]
    if mapped is None:
        return [message]
    own = taken.setdefault(title, _Taken())
    own.messages += 1
    own.left_out.update({str(reason): n for reason, n in mapped.anomalies.items()})
    made = [each for events in mapped.events.values() for each in events]
    own.kinds.update(KIND_NAMES[kind] for kind, _ in made)
    found = [_as_message(message, kind, event) for kind, event in made]
    if mapped.fault is not None:
        own.unreadable[mapped.fault.reason] += 1
        found.append(replace(message, error=mapped.fault))
    return found


def _name_apart(sources: Sequence[Source]) -> list[str]:
    """Return a title of each source, with its number where another one has the same."""
    titles = [each.title for each in sources]
    return [
        title if titles.count(title) == 1 else f"{title} ({number})"
        for number, title in enumerate(titles, 1)
    ]


def _as_message(message: SampledMessage, kind: int, event: Event) -> SampledMessage:
    """Return an event as a message of its own; its key is as good as the customer's.

    All that comes of a source is forwarded by its customer, whatever the key is.
    """
    fields = msgspec.to_builtins(event)
    # What a field has not is left out; but a withdrawal has its persona without a value.
    known = {n: value for n, value in fields.items() if value is not None or n == "persona"}
    value = encode({"topic": KIND_NAMES[kind], **known})
    return replace(message, value=value, key=event.customer_id.encode())
