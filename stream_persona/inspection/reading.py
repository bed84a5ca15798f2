"""Reads samples: the latest messages of a topic, evenly of its partitions, or a file's first rows.

It joins no group and commits nothing: it assigns itself the partitions, reads, and leaves.
"""

from __future__ import annotations

import difflib
from itertools import islice
from typing import TYPE_CHECKING, Final

from aiokafka import TopicPartition
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError

from stream_persona.errors import InputError, UnavailableError
from stream_persona.files.csv_events import read_columns
from stream_persona.files.formats import Format, recognize
from stream_persona.files.row_reader import KIND_NAMES, RowReader
from stream_persona.inspection.sample import InputSample, SampledMessage, TopicSetup
from stream_persona.inspection.sources import map_sample
from stream_persona.kafka.range_reader import RangeReader
from stream_persona.kafka.topics import ask, load_partition_counts

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from aiokafka import ConsumerRecord
    from aiokafka.admin import AIOKafkaAdminClient

    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.files.formats import EventFile
    from stream_persona.settings import Settings

_LOG_APPEND_TIME: Final = 1
_SHOWN: Final = 10
#: What is shown of how a topic is set up.
_CONFIGS: Final = frozenset({
    "cleanup.policy", "compression.type", "max.message.bytes", "message.timestamp.after.max.ms",
    "message.timestamp.type", "retention.ms",
})  # fmt: skip


def map_names_to_kinds(settings: Settings) -> dict[str, int]:
    """Return the kinds of events by the names of their topics, in general and in the settings."""
    names = {name: kind for kind, name in enumerate(KIND_NAMES)}
    return names | {topic: kind for kind, topic in enumerate(settings.input_topics)}


def read_file(path: Path, kind: int | None, limit: int, settings: Settings) -> InputSample:
    """Read the first rows of a file.

    Raises:
        InputError: it cannot be read; the message says what it seems to be.
        ConfigError: it is Parquet, and no package to read that is installed.
    """
    file = recognize(path)
    word = "row" if file.format in {Format.CSV, Format.PARQUET} else "line"
    word = "element" if file.format is Format.VALUES else word
    kind = _guess_kind(file) if kind is None and file.format is Format.CSV else kind
    messages = [
        SampledMessage(row.value, f"{word} {row.number}", error=row.error)
        for row in islice(RowReader(kind, settings.input_topics).read(file), limit)
    ]
    if not messages:
        raise InputError(f"{path}: is empty: there are no events in it")
    described = f"{file.format}, gzipped" if file.gzipped else str(file.format)
    return InputSample(str(path), messages, kind, format=described)


def _guess_kind(file: EventFile) -> int | None:
    """Return the kind of events that a CSV file's columns hold; None if each row names its own."""
    columns = read_columns(file)
    return None if "topic" in columns.fields else columns.guess_kind()


async def read_topic(
    name: str, kind: int | None, limit: int, settings: Settings, taxonomy: Taxonomy
) -> InputSample:
    """Read the latest messages of a topic, as many of each partition; of a source's, the events.

    Raises:
        InputError: there is no such topic.
        UnavailableError: the broker does not answer, or the registry of a source.
    """
    facts = await _describe(name, settings)
    own = kind if kind is not None else map_names_to_kinds(settings).get(name)
    partitions = [TopicPartition(name, number) for number in range(facts.partitions)]
    try:
        async with RangeReader(settings, patience=settings.retry_seconds) as reader:
            held = await reader.load_bounds(partitions)
            reader.begin(share_out_limit(held, limit))
            records = [record async for batch in reader.read() for record in batch]
    except (KafkaError, OSError, ValueError) as error:
        raise UnavailableError(f"the broker did not give topic {name}: {error}") from error
    records.sort(key=lambda record: (record.partition, record.offset))
    messages = [_make_message(record) for record in records]
    sample = InputSample(name, messages, own, facts, held=sum(map(len, held.values())))
    return sample if kind is not None else await map_sample(sample, records, settings, taxonomy)


def share_out_limit(
    held: Mapping[TopicPartition, range], limit: int
) -> dict[TopicPartition, range]:
    """Return the ends of logs that are ``limit`` long together: each gives what it can."""
    left, found = limit, dict[TopicPartition, range]()
    shortest_first = sorted(held, key=lambda tp: len(held[tp]))
    for others, tp in zip(range(len(held), 0, -1), shortest_first, strict=True):
        own = min(len(held[tp]), -(-left // others))
        found[tp] = range(held[tp].stop - own, held[tp].stop)
        left -= own
    return found


def _make_message(record: ConsumerRecord) -> SampledMessage:
    sent = record.timestamp if record.timestamp >= 0 else None
    arrived = sent if record.timestamp_type == _LOG_APPEND_TIME else None
    position = f"{record.partition}/{record.offset}"
    return SampledMessage(record.value, position, record.partition, record.key, arrived, sent)


async def _describe(name: str, settings: Settings) -> TopicSetup:
    """Return how a topic is set up.

    Raises:
        InputError: there is none of the name.
    """

    async def describe(admin: AIOKafkaAdminClient) -> tuple[set[str], int, dict[str, str]]:
        topics = set(await admin.list_topics())
        if name not in topics:
            return topics, 0, {}
        counts = await load_partition_counts(admin, [name], 0.0)
        return topics, counts.get(name, 0), await _read_configs(admin, name)

    topics, partitions, configs = await ask(settings, describe)
    if not partitions:
        shown = sorted(topic for topic in topics if not topic.startswith("__"))
        near = difflib.get_close_matches(name, shown, 1, 0.7)
        hint = f"is it {near[0]}?" if near else f"there are {', '.join(shown[:_SHOWN]) or 'none'}"
        message = f"{name}: no file of this name, nor a topic at {settings.brokers}"
        raise InputError(f"{message} ({hint})")
    return TopicSetup(partitions, configs)


async def _read_configs(admin: AIOKafkaAdminClient, name: str) -> dict[str, str]:
    """Return how a topic is configured; nothing where the broker does not give it."""
    try:
        answers = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
    except (KafkaError, AttributeError):
        return {}
    return {
        entry[0]: str(entry[1])
        for answer in answers
        for *_, entries in answer.resources
        for entry in entries
        if entry[0] in _CONFIGS
    }
