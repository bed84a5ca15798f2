"""Names the input topics whose broker keeps its producers' times, with what that means."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError

from stream_persona.kafka.source_topics import find_source_topics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiokafka.admin import AIOKafkaAdminClient

    from stream_persona.settings import Settings

logger = logging.getLogger(__name__)

#: The setting of a topic, and the value with which a message's timestamp is its arrival.
SETTING: Final = "message.timestamp.type"
BY_BROKER: Final = "LogAppendTime"


async def warn_of_producers_times(admin: AIOKafkaAdminClient, settings: Settings) -> None:
    """Warn once of all input topics without arrivals: how to mend it, and what holds until then."""
    read = (*settings.input_topics, *find_source_topics(settings))
    if topics := await find_producers_times(admin, read):
        logger.warning("%s", describe_producers_times(topics, settings.brokers))


async def find_producers_times(admin: AIOKafkaAdminClient, topics: Sequence[str]) -> list[str]:
    """Find the topics that keep their producers' times; none where the broker does not say."""
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in topics]
    try:
        answers = await admin.describe_configs(resources)
    except (KafkaError, AttributeError) as error:
        logger.debug("the broker does not describe its topics' settings: %s", error)
        return []
    found = {
        topic
        for answer in answers
        for _, _, _, topic, entries in answer.resources
        for name, value, *_ in entries
        if name == SETTING and value != BY_BROKER
    }
    return [topic for topic in topics if topic in found]


def describe_producers_times(topics: Sequence[str], brokers: str) -> str:
    """Describe what holds of topics without arrivals, with the command that mends it."""
    return (
        f"{SETTING} is not {BY_BROKER} for {', '.join(topics)}: nothing is known of when messages "
        "arrived there, so what is dated further ahead of the worker's clock than the taxonomy's "
        "policy.max_future_seconds goes to the dead letters (future_time), a deletion also forgets "
        "what is dated up to policy.clock_tolerance_seconds after it, and event ids are known by "
        f"their number alone; to mend it: for topic in {' '.join(topics)}; do kafka-configs.sh "
        f"--bootstrap-server {brokers} --alter --entity-type topics --entity-name $topic "
        f"--add-config {SETTING}={BY_BROKER}; done"
    )
