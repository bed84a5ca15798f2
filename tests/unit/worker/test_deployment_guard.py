"""A running worker looks at Redis and at its group, and ends when they are another deployment's."""

from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from stream_persona.errors import TopologyError
from stream_persona.kafka.group import GroupState
from stream_persona.store import deployment as deployments
from stream_persona.store.memory import MemoryTables
from stream_persona.worker import deployment_guard
from stream_persona.worker.deployment_guard import DeploymentGuard
from tests.support.deployments import CHANGED, OURS, SETTINGS, SHOP, THEIRS, descriptor


class Admin:
    """An admin client, of which those that are open are counted."""

    opened = 0

    def __init__(self, **_: Any) -> None: ...

    async def start(self) -> None:
        type(self).opened += 1

    async def close(self) -> None:
        type(self).opened -= 1


@pytest.fixture
def group(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a look at the group finds: ``ids``, or an ``error``."""
    found: dict[str, Any] = {"ids": {OURS}, "looks": 0}

    async def allow(*_: object) -> None:
        """Brokers allow all."""

    async def load_group(*_: object) -> GroupState:
        found["looks"] += 1
        if "error" in found:
            raise found["error"]
        return GroupState(has_commits=True, ids=frozenset(found["ids"]), members=1)

    monkeypatch.setattr(deployment_guard, "load_group", load_group)
    monkeypatch.setattr(deployment_guard, "AIOKafkaAdminClient", Admin)
    monkeypatch.setattr(deployment_guard, "check_rights", allow)
    monkeypatch.setattr(Admin, "opened", 0)
    return found


@pytest.fixture
async def tables() -> MemoryTables:
    tables = MemoryTables()
    await tables.create_deployment(descriptor())
    return tables


@pytest.fixture
def guard(tables: MemoryTables) -> DeploymentGuard:
    return DeploymentGuard(SETTINGS, SHOP, deployments.decode_deployment(descriptor()), tables)


async def test_nothing_happens_while_all_is_as_it_was(
    guard: DeploymentGuard, group: dict[str, Any]
) -> None:
    for _ in range(8):
        await guard.look()
    assert group["looks"] == 4, "the group is looked at more seldom than Redis"
    assert Admin.opened == 1, "over one connection"
    await guard.close()
    assert Admin.opened == 0


@pytest.mark.parametrize(
    ("stored", "sentence"),
    [
        (None, "stream-persona rebuild"),
        (descriptor(identity=THEIRS), "is another one by now"),
        (descriptor(CHANGED), "STREAM_PERSONA_TAXONOMY"),
        (descriptor(partitions=4), "STREAM_PERSONA_PARTITIONS"),
        (b"{", "persona-deployment"),
    ],
)
async def test_another_descriptor_ends_the_worker(
    guard: DeploymentGuard,
    tables: MemoryTables,
    group: dict[str, Any],
    stored: bytes | None,
    sentence: str,
) -> None:
    await guard.look()
    tables.deployment = stored
    with pytest.raises(TopologyError, match=sentence):
        await guard.look()


async def test_another_deployment_in_the_group_ends_the_worker(
    guard: DeploymentGuard, group: dict[str, Any]
) -> None:
    group["ids"] = {OURS, THEIRS}
    await guard.look()
    with pytest.raises(TopologyError, match=THEIRS):
        await guard.look()


async def test_a_broker_that_is_away_is_asked_again_over_a_new_connection(
    guard: DeploymentGuard, group: dict[str, Any]
) -> None:
    group["error"] = KafkaConnectionError("away")
    for _ in range(4):
        await guard.look()
    assert (group["looks"], Admin.opened) == (2, 0)
    del group["error"]
    group["ids"] = {THEIRS}
    await guard.look()
    with pytest.raises(TopologyError, match=THEIRS):
        await guard.look()
