"""Damaged records: a worker that meets one restores it, and goes on as if nothing had been."""

import logging
from collections.abc import Awaitable, Callable

import pytest

from stream_persona.domain import record_codec, record_head
from stream_persona.domain.record_seal import is_sealed
from stream_persona.errors import DamagedOutboxError
from stream_persona.pipeline.messages import encode_copy
from stream_persona.worker.metrics import read_by_label
from tests.support.constants import DAY, NOW
from tests.support.events import assignment, deletion, purchase
from tests.support.faulty_tables import FaultyTables
from tests.support.processing import record_content
from tests.support.restoration import (
    DELETED,
    LABELLED,
    LATER,
    WITHDRAWN,
    Scene,
    assert_public_records_are_the_last_changes,
    broken,
    forget_cache,
    never_damaged,
)
from tests.support.worker_runs import (
    SHOP,
    CachingClient,
    changes,
    folded,
    published_sum,
    story,
    sum_of,
)


@pytest.mark.parametrize("names", [[LABELLED], [WITHDRAWN], [DELETED], [LABELLED, DELETED]])
@pytest.mark.parametrize("restarts", [False, True])
async def test_a_damaged_record_is_restored_when_its_customer_comes_back(
    names: list[str], restarts: bool
) -> None:
    scene, expected = Scene(), await never_damaged(story(), LATER)
    await scene.begin(*story())
    if restarts:
        await scene.restart()
    else:
        forget_cache(scene.working)
    scene.damage(*names)
    await scene.send(*LATER)
    await scene.rest()
    assert folded(scene.tables) == folded(expected.tables)
    assert await published_sum(scene.tables) == await published_sum(expected.tables)
    assert sum_of(scene.tables) == await published_sum(scene.tables)
    assert scene.damaged == {"record": len(names)}
    assert scene.tables.aside == {}
    assert_public_records_are_the_last_changes(scene)


async def test_several_damaged_records_of_a_batch_are_folded_in_one_pass() -> None:
    scene = Scene()
    await scene.begin(*story())
    forget_cache(scene.working)
    scene.damage(LABELLED, WITHDRAWN, DELETED)
    await scene.send(*LATER)
    assert scene.log.passes == 1


@pytest.mark.parametrize("restart", [True, False])
async def test_a_sweep_restores_idle_customers_and_markers(restart: bool) -> None:
    scene = Scene()
    await scene.begin(*story())
    before, model = folded(scene.tables), await published_sum(scene.tables)
    public = dict(scene.tables.public_records)
    scene.damage(*scene.tables.states, DELETED)
    if restart:
        await scene.restart()
    else:
        forget_cache(scene.working)
    await scene.sweep()
    await scene.rest()
    assert folded(scene.tables) == before
    assert await published_sum(scene.tables) == model == sum_of(scene.tables)
    assert scene.tables.public_records.keys() == public.keys()
    assert_public_records_are_the_last_changes(scene)


async def test_a_labelled_customer_whom_a_claim_finds_damaged_is_back_after_a_refresh() -> None:
    scene = Scene()
    await scene.begin(*story())
    before, model = folded(scene.tables), await published_sum(scene.tables)
    scene.damage(LABELLED)
    await scene.restart()
    assert LABELLED not in scene.working.partitions.held[0].labelled
    await scene.rest()
    assert folded(scene.tables) == before
    assert await published_sum(scene.tables) == model
    assert LABELLED in scene.working.partitions.held[0].labelled


async def test_a_record_that_is_in_memory_is_written_again_without_reading_the_topics() -> None:
    scene = Scene()
    await scene.begin(*story())
    await scene.sweep()
    before = dict(scene.tables.states)
    scene.damage(LABELLED)
    await scene.sweep()
    assert (scene.tables.states, scene.log.passes) == (before, 0)


async def test_what_an_api_has_found_damaged_is_restored_at_the_next_refresh() -> None:
    scene = Scene()
    await scene.begin(*story())
    await scene.sweep()
    before, public = folded(scene.tables), dict(scene.tables.public_records)
    forget_cache(scene.working)
    scene.damage(LABELLED, DELETED)
    scene.tables.public_records[WITHDRAWN] = b"{}"
    await scene.tables.report_suspects([LABELLED, DELETED, WITHDRAWN, "nobody"])
    await scene.working.refresh()
    assert folded(scene.tables) == before
    assert scene.tables.public_records == public
    assert scene.tables.suspects == set()


async def test_revisions_go_on_behind_the_last_published_change() -> None:
    scene = Scene()
    await scene.begin(assignment("a", NOW, "c", "gamer"), purchase("p", NOW, "c"))
    await scene.send(assignment("b", NOW + 1, "c", "student"))
    scene.damage("c")
    await scene.restart()
    await scene.send(assignment("d", NOW + 2, "c", "athlete"))
    assert [(c["revision"], c["current"]["persona"]) for c in changes(scene.outbox)] == [
        (1, "gamer"), (2, "student"), (3, "athlete"),
    ]  # fmt: skip
    assert changes(scene.outbox)[-1]["previous"] == changes(scene.outbox)[-2]["current"]


async def test_a_change_from_before_a_deletion_is_not_taken_up() -> None:
    scene = Scene()
    await scene.begin(assignment("a", NOW, "c", "gamer"))
    former = scene._last_changes()
    await scene.send(deletion("d", NOW + 1, "c"))
    scene.damage("c")
    scene.log.changes = former  # as if the tombstone had not been published
    await scene.restart()
    await scene.working.process([])
    await scene.sweep()
    assert scene.tables.public_records == {}
    assert changes(scene.outbox)[-1] is None


async def test_what_the_topics_no_longer_hold_is_counted_named_and_set_aside(
    caplog: pytest.LogCaptureFixture,
) -> None:
    scene = Scene()
    await scene.begin(purchase("old", NOW, "c"), purchase("p", NOW, "other"))
    await scene.send(purchase("new", NOW + DAY, "c"))
    scene.damage("c")
    stored = scene.tables.states["c"]
    scene.log.deliveries = [d for d in scene.log.deliveries if d.event.event_id != "old"]
    scene.log.expired = frozenset({0})
    await scene.restart()
    with caplog.at_level(logging.ERROR):
        await scene.send(purchase("newer", NOW + 2 * DAY, "c"))
    assert "'c'" in caplog.text
    assert "persona-damaged:c" in caplog.text
    assert scene.tables.aside == {"c": stored}
    assert read_by_label(scene.metrics.incomplete) == {"": 1}
    expected = await never_damaged([*LATER], [purchase("new", NOW + DAY, "c")])
    record = record_codec.decode_records(scene.tables.states, SHOP.fingerprint)["c"]
    assert len(record.counts) == len(
        record_codec.decode_records(expected.tables.states, SHOP.fingerprint)["c"].counts
    )
    await scene.send(deletion("d", NOW + 3 * DAY, "c"))
    assert scene.tables.aside == {}


async def test_a_damaged_record_of_a_customer_of_no_event_is_removed() -> None:
    scene = Scene()
    await scene.begin(purchase("p"))
    scene.tables.states["ghost"] = b"whatever"
    await scene.sweep()
    assert scene.tables.states.keys() == {"c"}
    assert scene.damaged == {"record": 1}


async def test_records_of_the_format_before_are_written_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene = Scene()
    await scene.begin(*story())
    before = folded(scene.tables)
    records = record_codec.decode_records(scene.tables.states, SHOP.fingerprint)
    with monkeypatch.context() as earlier:
        earlier.setattr(record_head, "FORMAT", 5)
        scene.tables.states = {n: record_content(r, SHOP.fingerprint) for n, r in records.items()}
    await scene.restart()
    await scene.send(purchase("later", NOW + DAY, LABELLED))
    assert is_sealed(scene.tables.states[LABELLED])
    assert not is_sealed(scene.tables.states[WITHDRAWN])
    await scene.sweep()
    assert all(map(is_sealed, scene.tables.states.values()))
    after = folded(scene.tables)
    assert {name for name in after if after[name] != before[name]} == {LABELLED}
    assert scene.damaged == {}


async def damage_public(tables: FaultyTables) -> None:
    tables.public_records["c"] = b'{"customer_id": "c", "persona": 7}'


async def swap_public(tables: FaultyTables) -> None:
    tables.public_records["c"] = tables.public_records["other"]


async def lose_public(tables: FaultyTables) -> None:
    del tables.public_records["c"]


async def revive_public(tables: FaultyTables) -> None:
    tables.public_records["gone"] = tables.public_records["c"]


@pytest.mark.parametrize("harm", [damage_public, swap_public, lose_public, revive_public])
async def test_a_public_record_that_is_not_the_last_change_is_written_again(
    harm: Callable[[FaultyTables], Awaitable[None]],
) -> None:
    scene = Scene()
    await scene.begin(
        purchase("p"), purchase("o", customer="other"), purchase("g", customer="gone"),
        deletion("d", NOW + 1, "gone"),
    )  # fmt: skip
    before = dict(scene.tables.public_records)
    await harm(scene.tables)
    client, sent = CachingClient(scene.tables), len(scene.outbox.messages)
    announced = len(scene.tables.announced)
    await scene.sweep()
    assert scene.tables.public_records == before
    assert len(scene.outbox.messages) == sent
    assert client.find_stale() == set()
    published = {
        m.value or encode_copy(m.key.decode(), None) for m in scene.outbox.messages if m.key
    }
    assert set(scene.tables.announced[announced:]) <= published
    announced = len(scene.tables.announced)
    await scene.sweep()
    assert len(scene.tables.announced) == announced, "all is as it ought to be"


async def test_a_client_learns_of_what_is_restored_with_a_damaged_record() -> None:
    scene = Scene()
    await scene.begin(purchase("p"), purchase("o", customer="other"))
    scene.damage("c")
    await swap_public(scene.tables)
    client = CachingClient(scene.tables)
    await scene.restart()
    await scene.sweep()
    assert client.find_stale() == set()


async def test_a_damaged_shard_is_published_again_by_its_owner() -> None:
    scene = Scene()
    await scene.begin(*story())
    stamp, shard = scene.tables._shards[0]
    scene.tables._shards[0] = stamp, broken(shard)
    scene.clock.now += 60
    await scene.working.refresh()
    assert scene.tables._shards[0] == (stamp, shard)
    assert scene.damaged == {"shard": 1}


async def test_a_damaged_list_of_unpublished_changes_does_not_keep_a_worker_from_its_partition(
    caplog: pytest.LogCaptureFixture,
) -> None:
    scene = Scene()
    await scene.begin(purchase("p"))
    scene.tables.fail("load_pending", DamagedOutboxError(0))
    with caplog.at_level(logging.ERROR):
        await scene.restart()
    assert "persona-pending:0" in caplog.text
    await scene.send(purchase("q"))
    assert scene.working.owned == {0}


async def test_a_damaged_record_with_an_unpublished_change_does_not_keep_a_worker_either() -> None:
    scene, expected = Scene(), await never_damaged([purchase("p")], [assignment("a")])
    await scene.begin(purchase("p"))
    await scene.send(assignment("a"))
    scene.outbox.lose_last_change()
    scene.damage("c")
    await scene.restart()
    await scene.rest()
    assert folded(scene.tables) == folded(expected.tables)
    assert [c["revision"] for c in changes(scene.outbox)] == [1, 2]
    assert changes(scene.outbox)[-1]["current"]["source"] == "assigned"
