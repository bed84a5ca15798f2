"""What a worker does about what Redis and the group hold when it starts, on tables in memory."""

from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import pytest

from stream_persona.domain.taxonomy import Taxonomy
from stream_persona.errors import TopologyError
from stream_persona.kafka.group import GroupState
from stream_persona.store import deployment as deployments
from stream_persona.store.deployment import Deployment
from stream_persona.store.memory import MemoryTables
from stream_persona.store.tables import Write
from stream_persona.worker import joining
from tests.support.deployments import (
    CHANGED,
    OURS,
    SETTINGS,
    SHOP,
    SLOWER,
    THEIRS,
    descriptor,
)
from tests.support.events import shop
from tests.support.sources import TOPIC, source_settings

NEW = GroupState(has_commits=False, ids=frozenset(), members=0)
OLDER = GroupState(has_commits=True, ids=frozenset(), members=0)


def of(*ids: str, members: int = 0) -> GroupState:
    """A group whose commits are of these deployments."""
    return GroupState(has_commits=True, ids=frozenset(ids), members=members)


def counted(*numbers: int) -> Callable[[], Awaitable[int]]:
    """Counts that many members, one number after another."""
    left = list(numbers)

    async def count() -> int:
        return left.pop(0)

    return count


async def agree(
    tables: MemoryTables,
    group: GroupState,
    taxonomy: Taxonomy = SHOP,
    members: Iterable[int] = (),
) -> Deployment:
    return await joining.agree(SETTINGS, taxonomy, tables, group, counted(*members))


async def tables_with(blob: bytes) -> MemoryTables:
    tables = MemoryTables()
    await tables.create_deployment(blob)
    return tables


async def refused(tables: MemoryTables, group: GroupState, taxonomy: Taxonomy = SHOP) -> str:
    before = await tables.load_deployment()
    with pytest.raises(TopologyError) as error:
        await agree(tables, group, taxonomy, [1])
    assert await tables.load_deployment() == before, "what is refused changes nothing"
    assert "\n" not in str(error.value)
    return str(error.value)


async def test_the_first_worker_makes_the_descriptor_and_the_next_one_finds_it() -> None:
    tables = MemoryTables()
    made = await agree(tables, NEW)
    assert await tables.load_deployment() == made.encode()
    assert await agree(tables, of(made.id, members=1)) == made


async def test_workers_that_start_at_once_join_one_deployment() -> None:
    tables = MemoryTables()
    assert await agree(tables, NEW) == await agree(tables, NEW)


async def test_data_of_an_older_version_is_adopted() -> None:
    tables = MemoryTables()
    await tables.claim([3])
    made = await agree(tables, OLDER)
    assert await tables.load_deployment() == made.encode()


async def test_a_redis_that_holds_nothing_of_what_the_group_has_read_is_refused() -> None:
    for group in (OLDER, of(OURS)):
        sentence = await refused(MemoryTables(), group)
        for way in ("REDIS_URL", "PREFIX", "new STREAM_PERSONA_GROUP", "stream-persona rebuild"):
            assert way in sentence


async def test_what_was_written_after_a_loss_is_not_taken_for_an_older_version() -> None:
    """A living worker may claim partitions of a Redis that was flushed under it."""
    tables = MemoryTables()
    await tables.claim([3])
    assert "stream-persona rebuild" in await refused(tables, of(OURS))


async def test_another_deployment_in_the_group_is_refused_with_its_id() -> None:
    for ids in ([THEIRS], [OURS, THEIRS]):
        sentence = await refused(await tables_with(descriptor()), of(*ids))
        assert THEIRS in sentence
        assert "STREAM_PERSONA_GROUP" in sentence


async def test_commits_without_an_id_may_be_of_an_older_version_or_an_operators() -> None:
    for group in (OLDER, of(OURS)):
        assert (await agree(await tables_with(descriptor()), group)).id == OURS


async def test_other_settings_are_refused() -> None:
    tables = await tables_with(descriptor(partitions=4))
    assert "STREAM_PERSONA_PARTITIONS is 8 here and 4" in await refused(tables, of(OURS))


async def test_another_half_life_is_refused_whoever_runs() -> None:
    sentence = await refused(await tables_with(descriptor()), of(OURS), SLOWER)
    assert "half_life_days" in sentence


async def test_another_taxonomy_takes_the_place_of_the_one_before_when_no_worker_runs() -> None:
    tables = await tables_with(descriptor())
    changed = await agree(tables, of(OURS), CHANGED, [0, 0])
    assert changed == deployments.decode_deployment(descriptor(CHANGED))
    assert await tables.load_deployment() == changed.encode()


async def test_another_taxonomy_is_refused_while_workers_run() -> None:
    sentence = await refused(await tables_with(descriptor()), of(OURS), CHANGED)
    assert f"workers with taxonomy {SHOP.version} are running" in sentence
    assert CHANGED.version in sentence


async def test_other_ids_of_nobody_hold_when_no_worker_runs_with_those_before() -> None:
    tables = await tables_with(descriptor(nobody_ids="kiosk"))
    assert "another STREAM_PERSONA_NOBODY_IDS are running" in await refused(tables, of(OURS))
    assert await agree(tables, of(OURS), SHOP, [0, 0]) == deployments.decode_deployment(
        descriptor()
    )
    assert await tables.load_deployment() == descriptor()


async def test_changed_sources_hold_when_no_worker_runs_and_what_that_means_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tables = await tables_with(descriptor(sources=source_settings(tmp_path).sources))
    assert "another STREAM_PERSONA_SOURCES are running" in await refused(tables, of(OURS))
    assert await agree(tables, of(OURS), SHOP, [0, 0]) == deployments.decode_deployment(
        descriptor()
    )
    (warning,) = [each.message for each in caplog.records if each.levelname == "WARNING"]
    assert f"{TOPIC} is none any more" in warning
    assert "what was read before stays as it was mapped then" in warning


@pytest.mark.parametrize("before", [True, False])
async def test_tastes_that_nobody_has_renewed_are_gone_once_they_are_switched(
    monkeypatch: pytest.MonkeyPatch, *, before: bool
) -> None:
    monkeypatch.setattr(
        "tests.unit.worker.test_joining.SETTINGS",
        SETTINGS.model_copy(update={"tastes": not before}),
    )
    tables = await tables_with(descriptor(tastes=before))
    (claim,) = (await tables.claim([0])).values()
    await tables.commit(claim, Write(states={"c": b"1"}, tastes={"c": b"stale"}))
    await tables.save_common_tastes({"category:a": "1 0.5"})
    assert "another STREAM_PERSONA_TASTES are running" in await refused(tables, of(OURS))
    assert tables.tastes == {"c": b"stale"}
    await agree(tables, of(OURS), SHOP, [0, 0])
    assert (tables.tastes, tables.common_tastes) == ({}, {})
    assert await tables.load_deployment() == descriptor(tastes=not before)


async def test_a_worker_that_joins_while_the_taxonomy_changes_keeps_its_own() -> None:
    tables = await tables_with(descriptor())
    with pytest.raises(TopologyError, match="are running"):
        await agree(tables, of(OURS), CHANGED, [0, 1])
    assert await tables.load_deployment() == descriptor()


async def test_one_of_two_that_change_the_taxonomy_at_once_is_refused() -> None:
    tables = await tables_with(descriptor())

    async def another_one() -> int:
        tables.deployment = descriptor(shop(policy={"min_confidence": 0.7}))
        return 0

    with pytest.raises(TopologyError, match="another process has changed the taxonomy"):
        await joining.agree(SETTINGS, CHANGED, tables, of(OURS), another_one)
