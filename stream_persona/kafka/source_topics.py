"""The topics of sources: other people's, which are read as inputs beside our own.

Nobody makes them here. They may have any number of partitions and any keys, since all that comes of
them is forwarded to its customer's home (``mapped_reroutes``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream_persona.domain.inputs import PARTITIONS_END
from stream_persona.domain.mapping.configured import load_sources
from stream_persona.errors import SettingsError, TopologyError
from stream_persona.kafka.topics import load_partition_counts

if TYPE_CHECKING:
    from aiokafka.admin import AIOKafkaAdminClient

    from stream_persona.settings import Settings


def find_source_topics(settings: Settings) -> tuple[str, ...]:
    """Return the topics of sources that are not inputs of ours anyway, in the order of the file.

    Raises:
        SettingsError: one is a topic that we write ourselves: what is read there would come again.
    """
    sources = load_sources(settings.sources)
    written = {
        settings.topic_changes, settings.topic_dead_letters, settings.topic_reroutes
    }  # fmt: skip
    topics = sources.topics if sources else ()
    for topic in topics:
        if topic in written:
            raise SettingsError(
                f"STREAM_PERSONA_SOURCES: the topic {topic} is written by the workers, so it can "
                "be no source: name the topic that the events come in on"
            )
    return tuple(topic for topic in topics if topic not in settings.input_topics)


async def count_source_partitions(
    admin: AIOKafkaAdminClient, settings: Settings, topics: tuple[str, ...] | None = None
) -> dict[str, int]:
    """Count the partitions of some sources' topics, or of all.

    Raises:
        TopologyError: one does not exist, or cannot be read.
    """
    topics = find_source_topics(settings) if topics is None else topics
    if not topics:
        return {}
    # Asked for all topics, no broker makes one; asked for one that is missing, some do.
    existing = {*await admin.list_topics()}
    if missing := [topic for topic in topics if topic not in existing]:
        raise TopologyError(
            f"topic {missing[0]} of STREAM_PERSONA_SOURCES does not exist: correct its name, or "
            "create it; sources are other people's topics, and none is made here"
        )
    counts = await load_partition_counts(admin, list(topics), 0.0)
    for topic in topics:
        if not 0 < counts.get(topic, 0) <= PARTITIONS_END:
            raise TopologyError(
                f"topic {topic} of STREAM_PERSONA_SOURCES has {counts.get(topic, 0)} partitions "
                f"that can be read; expected 1 to {PARTITIONS_END:,}"
            )
    return counts
