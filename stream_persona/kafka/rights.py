"""What a login may do at Kafka: asked at the start, so that all that is missing is named at once.

Brokers say with a topic, and with a group, which operations they allow to who asks. Rights on
transactional ids can't be asked for: a refusal is explained when it comes (``refusals``).
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Final

from aiokafka.errors import GroupAuthorizationFailedError, IncompatibleBrokerVersion
from aiokafka.errors import TopicAuthorizationFailedError as TopicRefused

from stream_persona.errors import TopologyError
from stream_persona.kafka.connection import login_of
from stream_persona.kafka.topic_ids import load_facts

if TYPE_CHECKING:
    from aiokafka.admin import AIOKafkaAdminClient

    from stream_persona.settings import Settings

logger = logging.getLogger(__name__)

#: Kafka's numbers of operations.
_NUMBERS: Final = {"Read": 3, "Write": 4, "Create": 5, "Describe": 8, "DescribeConfigs": 10}
#: What a broker that does not say sends in place of operations.
_UNSAID: Final = -(2**31)
_TABLE: Final = "deploy/README.md lists what each process needs"

Rights = Mapping[str, Collection[str]]


def rights_of_worker(settings: Settings) -> dict[str, set[str]]:
    """Return what a worker does with each topic."""
    inputs = {topic: {"Read", "DescribeConfigs"} for topic in settings.input_topics}
    return inputs | {
        settings.topic_reroutes: {"Read", "Write"},
        settings.topic_changes: {"Read", "Write", "DescribeConfigs"},
        settings.topic_dead_letters: {"Write", "DescribeConfigs"},
    }


def rights_of_api(settings: Settings) -> dict[str, set[str]]:
    """Return what the API does with each topic."""
    read = (*settings.input_topics[:3], settings.topic_reroutes, settings.topic_changes)
    return {topic: {"Read"} for topic in read} | {
        settings.topic_assignments: {"Write"},
        settings.topic_deletions: {"Write"},
    }


async def check_topics(admin: AIOKafkaAdminClient, settings: Settings, wanted: Rights) -> None:
    """Check that the login may do what is wanted with topics; those that are missing are left out.

    Raises:
        TopologyError: it may not; names each right.
        KafkaError: the broker did not answer.
    """
    lacking = []
    for topic, found in (await load_facts(admin, list(wanted))).items():
        if found.error == TopicRefused.errno:
            lacking += [f"{right} on topic {topic}" for right in sorted(wanted[topic])]
        elif found.error == 0 and found.operations != _UNSAID:
            lacking += [
                f"{right} on topic {topic}"
                for right in sorted(wanted[topic])
                if not found.operations >> _NUMBERS[right] & 1
            ]
    if lacking:
        raise refuse(settings, lacking)


async def check_group(admin: AIOKafkaAdminClient, settings: Settings, right: str) -> None:
    """Check that the login may do something with the workers' group; raises as ``check_topics``."""
    try:
        answers = await admin.describe_consumer_groups(
            [settings.group], include_authorized_operations=True
        )
    except GroupAuthorizationFailedError:
        raise refuse(settings, [f"{right} on group {settings.group}"]) from None
    except IncompatibleBrokerVersion:  # the embedded broker
        return
    for code, *_, operations in (found for each in answers for found in each.groups):
        is_said = isinstance(operations, int) and operations != _UNSAID
        if code == GroupAuthorizationFailedError.errno or (
            is_said and code == 0 and not operations >> _NUMBERS[right] & 1
        ):
            raise refuse(settings, [f"{right} on group {settings.group}"])


def refuse(settings: Settings, lacking: Collection[str]) -> TopologyError:
    """Return the error that names rights which the login lacks."""
    return TopologyError(
        f"Kafka does not allow {login_of(settings)} to: {', '.join(lacking)}; add these ACLs, "
        f"{_TABLE} (STREAM_PERSONA_KAFKA_USERNAME)"
    )
