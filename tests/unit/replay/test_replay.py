"""Replay of files into tables: the same fold as a worker's, once, and nothing lost in silence."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_persona.domain import record_codec
from stream_persona.domain.events import Event, encode
from stream_persona.domain.token_names import SHOWN_FROM
from stream_persona.domain.tokenizer import Tokenizer
from stream_persona.errors import DamagedRecordError, FencedError
from stream_persona.files.formats import BOM, recognise
from stream_persona.files.identity import read_content
from stream_persona.model.classifier import PersonaClassifier
from stream_persona.model.shard import unpack
from stream_persona.pipeline import process
from stream_persona.pipeline.process import Delivery, Outcome
from stream_persona.replay.files import Files, file_partition
from stream_persona.replay.fold import Replay
from stream_persona.replay.summary import Summary, Unreadable
from stream_persona.settings import Settings
from stream_persona.store.memory import MemoryTables
from tests.support.constants import DAY, NOW
from tests.support.event_files import SETTINGS, file_of, line
from tests.support.events import (
    assignment,
    browse,
    deletion,
    kind_of,
    labelled_shoppers,
    purchase,
    shop,
)
from tests.support.names import load_all_carried, load_shown
from tests.support.workers import Crash, InMemoryLog, RecordingPublisher

TAXONOMY = shop()
#: By tables, the files that were replayed into them.
KNOWN: WeakKeyDictionary[MemoryTables, dict[str, str]] = WeakKeyDictionary()
HISTORY = labelled_shoppers(TAXONOMY)


def deliveries(path: Path, happened: Sequence[Event]) -> list[Delivery]:
    """The lines of a file, as it was when it was replayed first, as they are applied."""
    content = read_content(recognise(path)).digest if path.exists() else str(path)
    partition = file_partition(content)
    return [Delivery.of(e, kind_of(e), partition, n) for n, e in enumerate(happened, 1)]


async def replayed(
    tables: MemoryTables,
    *paths: Path,
    outbox: RecordingPublisher | None = None,
    kind: int | None = None,
    publish: bool = True,
    settings: Settings = SETTINGS,
    letters: list[Unreadable] | None = None,
) -> Summary:
    replay = Replay(
        settings, TAXONOMY, tables, outbox or RecordingPublisher(), InMemoryLog(), publish=publish
    )
    note = (letters if letters is not None else []).append
    files, known = Files(paths, kind, settings, TAXONOMY), KNOWN.setdefault(tables, {})
    known |= files.identify(known)
    return await replay.run(files.chunks(), unreadable=note, earlier=files.earlier)


def folded(tables: MemoryTables) -> dict[str, bytes]:
    mark = TAXONOMY.fingerprint
    stored = record_codec.decode_records(tables.states, mark)
    return {name: record_codec.encode_folded(record, mark) for name, record in stored.items()}


def oracle(run: Sequence[Delivery]) -> dict[str, bytes]:
    """The fold of all in one go."""
    outcome = process.apply_events(run, {}, TAXONOMY, Tokenizer(TAXONOMY))
    mark = TAXONOMY.fingerprint
    return {
        name: record_codec.encode_folded(record, mark) for name, record in outcome.records.items()
    }


def changes(outbox: RecordingPublisher) -> list[dict[str, Any] | None]:
    values = outbox.values(SETTINGS.topic_changes)
    return [None if value is None else json.loads(value) for value in values]


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
        published.merge(unpack(part, TAXONOMY).sums)
    assert expected.customers
    assert published.canonical() == expected.canonical()


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


async def test_a_file_that_has_grown_gives_its_new_lines(tmp_path: Path) -> None:
    path, tables = file_of(tmp_path / "h.jsonl", HISTORY[:50]), MemoryTables()
    await replayed(tables, path)
    run = deliveries(path, HISTORY)
    for name in ("h.jsonl", "copy.jsonl"):
        summary = await replayed(tables, file_of(tmp_path / name, HISTORY))
        assert summary.applied.total() == (len(HISTORY) - 50 if name == "h.jsonl" else 0)
        assert folded(tables) == oracle(run)


async def test_a_file_counts_once_by_whatever_path_and_however_it_is_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, tables = file_of(tmp_path / "h.jsonl", HISTORY), MemoryTables()
    await replayed(tables, path)
    before = folded(tables)
    (link := tmp_path / "link.jsonl").symlink_to(path)
    content = path.read_bytes()
    (tmp_path / "packed").write_bytes(gzip.compress(content))
    (tmp_path / "marked.txt").write_bytes(BOM + content.replace(b"\n", b"\r\n"))
    (tmp_path / "array.json").write_bytes(b"[" + b",\n".join(content.splitlines()) + b"]")
    monkeypatch.chdir(tmp_path)
    others = [link, *map(Path, ("h.jsonl", "packed", "marked.txt", "array.json"))]
    summary = await replayed(tables, *others)
    assert (summary.applied.total(), summary.already_applied) == (0, len(others) * len(HISTORY))
    assert folded(tables) == before


async def test_a_file_given_twice_in_one_replay_counts_once(tmp_path: Path) -> None:
    first = file_of(tmp_path / "a.jsonl", HISTORY)
    second = file_of(tmp_path / "b.jsonl", HISTORY)
    summary = await replayed(MemoryTables(), first, second)
    assert (summary.applied.total(), summary.already_applied) == (len(HISTORY), len(HISTORY))


async def test_a_line_that_was_being_written_is_applied_when_it_is_whole(tmp_path: Path) -> None:
    path, tables = file_of(tmp_path / "h.jsonl", HISTORY[:50]), MemoryTables()
    path.write_bytes(path.read_bytes()[:-30])
    first = await replayed(tables, path)
    assert (first.applied.total(), first.unreadable.total()) == (49, 1)
    second = await replayed(tables, file_of(path, HISTORY))
    assert (second.applied.total(), second.already_applied) == (len(HISTORY) - 49, 49)
    again = await replayed(tables, path)
    assert (again.applied.total(), again.already_applied) == (0, len(HISTORY))


async def test_files_that_grew_apart_lose_no_line(tmp_path: Path) -> None:
    tables = MemoryTables()
    views = [browse(f"e{n}", NOW + n) for n in range(6)]
    await replayed(tables, file_of(tmp_path / "a", views[:2]))
    await replayed(tables, file_of(tmp_path / "b", views[:3]))
    forked = await replayed(tables, file_of(tmp_path / "c", [*views[:2], views[3]]))
    assert (forked.applied.total(), forked.already_applied) == (1, 2)
    grown = await replayed(tables, file_of(tmp_path / "c", [*views[:2], *views[3:]]))
    assert (grown.applied.total(), grown.already_applied) == (2, 3)


async def test_what_an_earlier_version_replayed_by_the_same_path_counts_once(
    tmp_path: Path,
) -> None:
    path, tables = file_of(tmp_path / "h.jsonl", HISTORY[:50]), MemoryTables()

    async def by_path() -> AsyncIterator[Sequence[Delivery]]:
        partition = file_partition(str(path))
        happened = enumerate(HISTORY[:50], 1)
        yield [Delivery.of(event, kind_of(event), partition, n) for n, event in happened]

    before = Replay(SETTINGS, TAXONOMY, tables, RecordingPublisher(), InMemoryLog())
    await before.run(by_path())
    summary = await replayed(tables, file_of(path, HISTORY))
    assert (summary.applied.total(), summary.already_applied) == (len(HISTORY) - 50, 50)


async def test_two_files_are_two_inputs(tmp_path: Path) -> None:
    first = file_of(tmp_path / "1.jsonl", [purchase("e1")])
    second = file_of(tmp_path / "2.jsonl", [purchase("e2", NOW + 1)])
    summary = await replayed(MemoryTables(), first, second)
    assert summary.applied == {"purchase": 2}


UNREADABLE = {
    b"{": "not_json",
    b'"text"': "invalid_field",
    b'{"topic": "browses", "event_id": "\xff"}': "not_utf8",
    b"[]": "invalid_field",
    b'{"topic": ' + b"[" * 100_000: "too_deep",
    b"{}": "invalid_field",
    b'{"topic": 5}': "invalid_field",
    b'{"topic": "sales"}': "invalid_field",
    b'{"topic": "browses"}': "invalid_field",
    line(browse("e", customer="a\tb")).strip(): "invalid_id",
    line(assignment("a", persona="astronaut")).strip(): "unknown_persona",
}


@pytest.mark.parametrize(("text", "reason"), UNREADABLE.items(), ids=range(len(UNREADABLE)))
async def test_what_cannot_be_read_is_counted_by_its_reason_and_handed_on(
    tmp_path: Path, text: bytes, reason: str
) -> None:
    path = tmp_path / "mixed.jsonl"
    path.write_bytes(line(purchase("e1")) + text + b"\n" + line(purchase("e2", NOW + 1)))
    letters: list[Unreadable] = []
    summary = await replayed(MemoryTables(), path, letters=letters)
    assert summary.applied == {"purchase": 2}
    assert [(letter.line, letter.value.strip()) for letter in letters] == [(2, text)]
    assert [letter.reason for letter in letters] == [*summary.unreadable] == [reason]


async def test_every_line_is_in_the_summary_once(tmp_path: Path) -> None:
    path, old = tmp_path / "h.jsonl", browse("old", NOW - 1)
    path.write_bytes(b"".join([line(deletion("d")), line(old), b"\n", b"?\n", line(browse("x"))]))
    tables = MemoryTables()
    await replayed(tables, path)
    path.write_bytes(path.read_bytes() + line(browse("new", NOW + 2 * DAY)) * 2)
    facts = (await replayed(tables, path)).plain()
    assert facts["read"] == 6
    assert facts["applied"] == {"browse": 2}
    assert (facts["already_applied"], facts["duplicates"]) == (3, 1)
    assert facts["unreadable"] == {"not_json": 1}


def test_what_was_odd_is_in_the_summary_by_reason() -> None:
    summary = Summary()
    for anomalies in ({"retry": 2, "faded": 1}, {}, {"retry": 3}):
        summary.add(Outcome(anomalies=anomalies))
    assert summary.plain()["anomalies"] == {"retry": 5, "faded": 1}


async def test_lines_need_no_topic_where_a_kind_is_given(tmp_path: Path) -> None:
    path = tmp_path / "purchases.jsonl"
    path.write_bytes(encode(purchase("e1")))
    summary = await replayed(MemoryTables(), path, kind=0)
    assert summary.applied == {"purchase": 1}


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
    assert (outbox.messages, tables.announced, summary.published) == ([], [], 0)
    assert len(tables.public_records) == summary.changes > 0


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
