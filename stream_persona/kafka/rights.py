"""What a login may do at Kafka: asked at the start, so that all that is missing is named at once.

With a topic, and with a group, brokers list the operations that they allow the caller. Rights on
transactional ids can't be asked for: a refusal is explained when it comes (``refusals``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Final

from aiokafka.errors import GroupAuthorizationFailedError as GroupRefused
from aiokafka.errors import IncompatibleBrokerVersion
from aiokafka.errors import TopicAuthorizationFailedError as TopicRefused

from stream_persona.errors import TopologyError
from stream_persona.kafka.connection import describe_login
from stream_persona.kafka.topic_ids import TopicMetadata, load_facts

if TYPE_CHECKING:
    from aiokafka.admin import AIOKafkaAdminClient

    from stream_persona.settings import Settings

#: Kafka's numbers of operations.
_NUMBERS: Final = {"Read": 3, "Write": 4, "Create": 5, "Describe": 8, "DescribeConfigs": 10}
#: Sent in place of operations by a broker that does not list them.
_UNSAID: Final = -(2**31)
_TABLE: Final = "deploy/README.md lists what each process needs"

Rights = Mapping[str, Collection[str]]


def list_worker_rights(settings: Settings) -> dict[str, set[str]]:
    """Return what a worker does with each topic."""
    inputs = {topic: {"Read", "DescribeConfigs"} for topic in settings.input_topics}
    return inputs | {
        settings.topic_reroutes: {"Read", "Write"},
        settings.topic_changes: {"Read", "Write", "DescribeConfigs"},
        settings.topic_dead_letters: {"Write", "DescribeConfigs"},
    }


def list_api_rights(settings: Settings) -> dict[str, set[str]]:
    """Return what the API does with each topic."""
    read = (*settings.input_topics[:3], settings.topic_reroutes, settings.topic_changes)
    return {topic: {"Read"} for topic in read} | {
        settings.topic_assignments: {"Write"},
        settings.topic_deletions: {"Write"},
    }


async def check_rights(
    admin: AIOKafkaAdminClient, settings: Settings, topics: Rights, group: str
) -> None:
    """Check that the login may do something with topics, and with the workers' group.

    Topics that are missing are left out, and so is what a broker does not say.

    Raises:
        TopologyError: it may not; names each right.
        KafkaError: the broker did not answer.
    """
    facts = await load_facts(admin, list(topics))
    found = {topic: _list_lacking(each, topics[topic]) for topic, each in facts.items()}
    lacking = [f"{', '.join(rights)} on topic {name}" for name, rights in found.items() if rights]
    lacking += (
        [f"{group} on group {settings.group}"] if await _lacks(admin, settings, group) else []
    )
    if lacking:
        raise make_missing_rights_error(settings, lacking)


def _list_lacking(found: TopicMetadata, wanted: Collection[str]) -> list[str]:
    if found.error == TopicRefused.errno:  # whether there is one or not
        return sorted(wanted)
    if found.error or found.operations == _UNSAID:
        return []
    return sorted(right for right in wanted if not found.operations >> _NUMBERS[right] & 1)


async def _lacks(admin: AIOKafkaAdminClient, settings: Settings, right: str) -> bool:
    """Whether the login lacks a right on the group."""
    try:
        answers = await admin.describe_consumer_groups(
            [settings.group], include_authorized_operations=True
        )
    except GroupRefused:
        return True
    except IncompatibleBrokerVersion:  # the embedded broker
        return False
    for code, *_, operations in (found for each in answers for found in each.groups):
        if code == GroupRefused.errno:
            return True
        if isinstance(operations, int) and operations != _UNSAID:
            return not operations >> _NUMBERS[right] & 1
    return False


def make_missing_rights_error(settings: Settings, lacking: Collection[str]) -> TopologyError:
    """Return the error that names rights which the login lacks."""
    return TopologyError(
        f"STREAM_PERSONA_KAFKA_USERNAME: Kafka does not let {describe_login(settings)} do this: "
        f"{'; '.join(lacking)}. Add these ACLs; {_TABLE}"
    )
