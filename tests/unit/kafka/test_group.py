"""The consumer group as an admin client sees it: commits, members, and the ids that they carry."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    GroupCoordinatorNotAvailableError,
    IncompatibleBrokerVersion,
)
from aiokafka.structs import OffsetAndMetadata

from stream_persona.kafka.group import GroupState, count_members, load_group, make_client_id
from tests.support.deployments import OURS, SETTINGS, THEIRS


class Broker:
    """Answers as aiokafka's admin client does."""

    def __init__(self) -> None:
        self.commits: dict[TopicPartition, OffsetAndMetadata] = {}
        self.clients: list[str] = []
        self.code, self.lists_members, self.says_all = 0, True, True

    async def list_consumer_group_offsets(
        self, _: str, partitions: list[TopicPartition]
    ) -> dict[TopicPartition, OffsetAndMetadata]:
        nothing = dict.fromkeys(partitions, OffsetAndMetadata(-1, ""))
        return {**(nothing if self.says_all else {}), **self.commits}

    async def describe_consumer_groups(self, names: list[str]) -> list[Any]:
        if not self.lists_members:
            raise IncompatibleBrokerVersion("no DescribeGroups")
        members = [("member", client, "/host", b"", b"") for client in self.clients]
        group = (self.code, names[0], "Stable", "consumer", "faust", members, -1)
        return [SimpleNamespace(groups=[group])]

    def commit(self, metadata: str, topic: str = "browses", partition: int = 0) -> None:
        self.commits[TopicPartition(topic, partition)] = OffsetAndMetadata(3, metadata)

    async def state(self) -> GroupState:
        return await load_group(cast("AIOKafkaAdminClient", self), SETTINGS)


async def test_a_group_that_never_was_is_empty() -> None:
    assert await Broker().state() == GroupState(has_commits=False, ids=frozenset(), members=0)


async def test_commits_of_all_inputs_carry_ids() -> None:
    broker = Broker()
    broker.commit(OURS, "purchases", 7)
    broker.commit(THEIRS, "persona-reroutes")
    assert (await broker.state()).ids == {OURS, THEIRS}


@pytest.mark.parametrize("metadata", ["", "by hand", OURS.upper(), OURS + "0", f" {OURS}"])
async def test_metadata_that_is_no_id_is_a_commit_without_one(metadata: str) -> None:
    broker = Broker()
    broker.commit(metadata)
    assert await broker.state() == GroupState(has_commits=True, ids=frozenset(), members=0)


async def test_members_carry_ids_before_they_commit() -> None:
    broker = Broker()
    broker.clients = [make_client_id(OURS), make_client_id(THEIRS), "faust-0.15.3", "kcat"]
    assert await broker.state() == GroupState(False, frozenset({OURS, THEIRS}), 4)
    assert await count_members(cast("AIOKafkaAdminClient", broker), "group") == 4


async def test_a_broker_that_lists_no_members_has_commits_all_the_same() -> None:
    broker = Broker()
    broker.lists_members = False
    broker.commit(OURS)
    assert await broker.state() == GroupState(True, frozenset({OURS}), 0)


async def test_an_error_is_not_an_empty_group() -> None:
    broker = Broker()
    broker.says_all = False  # what aiokafka makes of an error of the whole answer
    with pytest.raises(GroupCoordinatorNotAvailableError):
        await broker.state()
    broker.says_all, broker.code = True, GroupAuthorizationFailedError.errno
    with pytest.raises(GroupAuthorizationFailedError):
        await broker.state()
