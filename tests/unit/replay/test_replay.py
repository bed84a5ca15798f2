"""Replay of files into tables: the same fold as a worker's, once, and nothing lost in silence."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_persona.domain.token_names import SHOWN_FROM
from stream_persona.domain.tokenizer import Tokenizer
from stream_persona.errors import DamagedRecordError, FencedError
from stream_persona.model.classifier import PersonaClassifier
from stream_persona.model.shard import decode_shard
from stream_persona.pipeline import process
from stream_persona.pipeline.process import Delivery
from stream_persona.replay.fold import Replay
from stream_persona.store.memory import MemoryTables
from tests.support.constants import DAY, NOW
from tests.support.event_files import SETTINGS, file_of
from tests.support.events import (
    assignment,
    browse,
    deletion,
    purchase,
)
from tests.support.names import load_all_carried, load_shown
from tests.support.replayed import HISTORY, TAXONOMY, changes, deliveries, folded, oracle, replayed
from tests.support.worker_runs import CachingClient
from tests.support.workers import Crash, InMemoryLog, RecordingPublisher, worker


async def test_a_replayed_file_leaves_the_records_that_a_worker_leaves(tmp_path: Path) -> None:
    path, tables = file_of(tmp_path / "history.jsonl", HISTORY), MemoryTables()
    summary = await replayed(tables, path)
    assert folded(tables) == oracle(deliveries(path, HISTORY))
    assert summary.applied.total() == len(HISTORY)


@cache
def whole_run() -> tuple[list[Delivery], dict[str, bytes]]:
    """The history as one run, and what its records are."""
    run = deliveries(Path("history"), HISTORY)
    return run, oracle(run)


@pytest.mark.long
@given(st.lists(st.integers(1, 60), max_size=8), st.integers(1, 40))
async def test_any_chunks_and_any_size_of_cache_give_the_same_records(
    sizes: list[int], cached: int
) -> None:
    run, expected = whole_run()
    chunks, at = [], 0
    for size in sizes:
        chunks.append(run[at : at + size])
        at += size
    tables = MemoryTables()

    async def found() -> AsyncIterator[Sequence[Delivery]]:
        for chunk in [*chunks, run[at:]]:
            yield chunk

    settings = SETTINGS.model_copy(update={"cached_customers": cached})
    await Replay(settings, TAXONOMY, tables, RecordingPublisher(), InMemoryLog()).run(found())
    assert folded(tables) == expected


async def test_the_shards_of_the_model_are_the_fold_of_the_records(tmp_path: Path) -> None:
    path, tables = file_of(tmp_path / "history.jsonl", HISTORY), MemoryTables()
    await replayed(tables, path)
    outcome = process.apply_events(deliveries(path, HISTORY), {}, TAXONOMY, Tokenizer(TAXONOMY))
    expected, published = PersonaClassifier(), PersonaClassifier()
    for update in outcome.model_updates:
        expected.add(update.part, update.persona, update.sign)
    for _, part in (await tables.load_shards(range(SETTINGS.partitions))).values():
        published.merge(decode_shard(part, TAXONOMY).sums)
    assert expected.customers
    assert published.encode_canonically() == expected.encode_canonically()


async def test_each_customer_has_one_change_that_equals_the_public_record(
    tmp_path: Path,
) -> None:
    path, tables, outbox = (
        file_of(tmp_path / "h.jsonl", HISTORY),
        MemoryTables(),
        RecordingPublisher(),
    )
    summary = await replayed(tables, path, outbox=outbox)
    published = {change["customer_id"]: change for change in changes(outbox) if change}
    assert len(published) == len(outbox.messages) == len(tables.announced) == summary.customers
    for name, change in published.items():
        public = json.loads(tables.public_records[name])
        assert public["revision"] == change["revision"] == 1
        assert public["distribution"] == change["current"]["distribution"]


async def test_predictions_of_a_replay_are_made_with_the_whole_model(tmp_path: Path) -> None:
    newcomer = [purchase(f"n{i}", NOW + i, "new", ("gamer",)) for i in range(5)]
    path, tables = file_of(tmp_path / "h.jsonl", [*newcomer, *HISTORY]), MemoryTables()
    await replayed(tables, path)
    distribution = json.loads(tables.public_records["new"])["distribution"]
    assert max(distribution, key=distribution.get) == "gamer"


async def test_a_replay_that_meets_a_damaged_record_ends_and_reports_it(tmp_path: Path) -> None:
    path, tables = file_of(tmp_path / "h.jsonl", HISTORY), MemoryTables()
    await replayed(tables, path)
    name = HISTORY[0].customer_id
    tables.states[name] = tables.states[name][:-1]
    with pytest.raises(DamagedRecordError, match=repr(name)):
        await replayed(tables, path)
    assert await tables.load_suspects() == [name]


async def test_replaying_a_file_twice_changes_and_publishes_nothing_more(tmp_path: Path) -> None:
    path, tables, outbox = (
        file_of(tmp_path / "h.jsonl", HISTORY),
        MemoryTables(),
        RecordingPublisher(),
    )
    await replayed(tables, path)
    before = dict(tables.states), dict(tables.public_records)
    unpublished = await tables.load_pending(0)
    again = await replayed(tables, path, outbox=outbox)
    assert (tables.states, tables.public_records) == before
    assert (again.applied.total(), again.already_applied) == (0, len(HISTORY))
    assert again.changes == 0
    assert {c["change_id"] for c in changes(outbox) if c} <= {
        json.loads(copy)["change_id"] for copy in tables.announced[: len(before[1])]
    }
    assert unpublished  # what the first replay wrote last is published again by the next owner


async def test_a_deletion_is_published_and_leaves_its_memory_alone(tmp_path: Path) -> None:
    tables, outbox = MemoryTables(), RecordingPublisher()
    await replayed(tables, file_of(tmp_path / "1.jsonl", HISTORY))
    gone = "parent-0"
    path = file_of(tmp_path / "2.jsonl", [deletion("d", 2 * NOW, gone), browse("x", NOW, gone)])
    summary = await replayed(tables, path, outbox=outbox)
    assert gone not in tables.states.keys() | tables.public_records.keys()
    assert gone in tables.markers
    assert (gone.encode(), None) in [(message.key, message.value) for message in outbox.messages]
    assert summary.dropped_by_deletion == 1
    assert gone not in {name for p in range(4) for name in await tables.load_labelled(p)}


async def test_nothing_is_published_when_that_was_not_asked_for(tmp_path: Path) -> None:
    tables, outbox = MemoryTables(), RecordingPublisher()
    path = file_of(tmp_path / "h.jsonl", [*HISTORY, deletion("d", NOW, "nobody")])
    summary = await replayed(tables, path, outbox=outbox, publish=False)
    assert (outbox.messages, summary.published) == ([], 0)
    assert len(tables.public_records) == summary.changes > 0


async def test_a_cache_learns_of_what_is_not_published_too(tmp_path: Path) -> None:
    tables = MemoryTables()
    await replayed(tables, file_of(tmp_path / "h.jsonl", HISTORY), publish=False)
    client, before = CachingClient(tables), dict(tables.public_records)
    override = assignment("a", NOW + DAY, "parent-1", "student")
    path = file_of(tmp_path / "d.jsonl", [deletion("d", 2 * NOW, "parent-0"), override])
    await replayed(tables, path, publish=False)
    assert "parent-0" in before.keys() - tables.public_records.keys()
    assert tables.public_records["parent-1"] != before["parent-1"]
    assert client.find_stale() == set()


async def test_a_worker_decides_of_all_customers_that_were_replayed(tmp_path: Path) -> None:
    tables, outbox = MemoryTables(), RecordingPublisher()
    await replayed(tables, file_of(tmp_path / "h.jsonl", HISTORY), outbox=outbox)
    assert outbox.messages
    working = worker(tables, outbox, TAXONOMY, SETTINGS)
    await working.assign(range(SETTINGS.partitions))
    assert working.partitions.behind == frozenset()


async def test_a_replay_that_died_before_it_published_is_completed_by_the_next(
    tmp_path: Path,
) -> None:
    path, tables, outbox = (
        file_of(tmp_path / "h.jsonl", HISTORY),
        MemoryTables(),
        RecordingPublisher(),
    )
    outbox.crashes = 1
    with pytest.raises(Crash):
        await replayed(tables, path, outbox=outbox)
    await replayed(tables, path, outbox=outbox)
    assert folded(tables) == oracle(deliveries(path, HISTORY))
    published = {change["customer_id"] for change in changes(outbox) if change}
    assert published == tables.public_records.keys()


async def test_a_worker_that_claims_a_partition_ends_the_replay() -> None:
    run = deliveries(Path("history"), HISTORY)
    tables = MemoryTables()

    async def found() -> AsyncIterator[Sequence[Delivery]]:
        yield run[:60]
        await tables.claim(range(SETTINGS.partitions))
        yield run[60:]

    with pytest.raises(FencedError):
        await Replay(SETTINGS, TAXONOMY, tables, RecordingPublisher(), InMemoryLog()).run(found())


async def test_names_of_tokens_are_kept_and_affinities_written(tmp_path: Path) -> None:
    tables = MemoryTables()
    await replayed(tables, file_of(tmp_path / "h.jsonl", HISTORY))
    assert "category:gamer" in await load_shown(tables)
    assert (await load_all_carried(tables, SETTINGS.partitions))["category:gamer"] >= SHOWN_FROM
    assert tables.affinities["gamer"]["category:gamer"] > 1
