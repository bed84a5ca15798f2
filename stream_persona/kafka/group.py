"""The workers' consumer group, seen from outside: its commits, its members, its deployments.

A worker's commits carry the id of its deployment as their metadata, and its connection has it in
its client id. Commits of older versions, and offsets that an operator has reset, carry nothing.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from aiokafka import TopicPartition
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    IncompatibleBrokerVersion,
    NoError,
    for_code,
)

if TYPE_CHECKING:
    from aiokafka.admin import AIOKafkaAdminClient

    from stream_persona.settings import Settings

#: What an id looks like: other programs may write metadata, too.
_ID: Final = re.compile(r"[0-9a-f]{16}")
_CLIENT: Final = "stream-persona-"


class GroupState(NamedTuple):
    """The group as of now: whether it has committed anything, and the ids of deployments in it.

    ``members`` is 0 where the broker does not list them.
    """

    has_commits: bool
    ids: frozenset[str]
    members: int


def make_client_id(deployment: str) -> str:
    """Return the client id of the workers of a deployment."""
    return f"{_CLIENT}{deployment}"


async def load_group(admin: AIOKafkaAdminClient, settings: Settings) -> GroupState:
    """Load the state of the workers' group.

    Raises:
        KafkaError: the broker does not answer, or does not say.
    """
    metadata = await _load_metadata(admin, settings)
    clients = await _load_members(admin, settings.group)
    named = {client.removeprefix(_CLIENT) for client in clients if client.startswith(_CLIENT)}
    ids = {text for text in {*metadata, *named} if _ID.fullmatch(text)}
    return GroupState(bool(metadata), frozenset(ids), len(clients))


async def count_members(admin: AIOKafkaAdminClient, group: str) -> int:
    """Count the live members of a group; 0 where the broker does not list them.

    Raises:
        KafkaError: the broker does not answer, or does not say.
    """
    return len(await _load_members(admin, group))


def list_partitions(settings: Settings) -> list[TopicPartition]:
    """List the partitions of the topics of inputs and of reroutes, which the group reads."""
    topics = (*settings.input_topics, settings.topic_reroutes)
    return [TopicPartition(name, at) for name in topics for at in range(settings.partitions)]


async def _load_metadata(admin: AIOKafkaAdminClient, settings: Settings) -> list[str]:
    """Load the metadata of each commit."""
    partitions = list_partitions(settings)
    found = await admin.list_consumer_group_offsets(settings.group, partitions=partitions)
    # What is wrong with all of them, as while the coordinator loads, aiokafka does not look at.
    if missing := set(partitions) - found.keys():
        raise GroupCoordinatorNotAvailableError(f"no offsets of {len(missing)} partitions")
    return [commit.metadata or "" for commit in found.values() if commit.offset >= 0]


async def _load_members(admin: AIOKafkaAdminClient, group: str) -> list[str]:
    """Load the client ids of the group's live members."""
    try:
        responses = await admin.describe_consumer_groups([group])
    except IncompatibleBrokerVersion:
        return []  # the embedded broker does not list members
    clients: list[str] = []
    for code, *_, members in (found[:6] for each in responses for found in each.groups):
        if code != NoError.errno:
            raise for_code(code)
        clients += [client for _, client, *_ in members]
    return clients
