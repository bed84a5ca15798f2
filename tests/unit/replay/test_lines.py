"""Each line of a file counts once, however often and under whatever name it is replayed."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from stream_persona.domain.events import encode
from stream_persona.files.formats import BOM
from stream_persona.pipeline.process import Delivery, Outcome
from stream_persona.replay.files import number_file_partition
from stream_persona.replay.fold import Replay
from stream_persona.replay.summary import ReplaySummary, Unreadable
from stream_persona.store.memory import MemoryTables
from tests.support.constants import DAY, NOW
from tests.support.event_files import SETTINGS, file_of, line
from tests.support.events import (
    assignment,
    browse,
    deletion,
    kind_of,
    purchase,
)
from tests.support.replayed import HISTORY, TAXONOMY, deliveries, folded, oracle, replayed
from tests.support.workers import InMemoryLog, RecordingPublisher


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
        partition = number_file_partition(str(path))
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
    facts = (await replayed(tables, path)).to_plain()
    assert facts["read"] == 6
    assert facts["applied"] == {"browse": 2}
    assert (facts["already_applied"], facts["duplicates"]) == (3, 1)
    assert facts["unreadable"] == {"not_json": 1}


def test_what_was_odd_is_in_the_summary_by_reason() -> None:
    summary = ReplaySummary()
    for anomalies in ({"retry": 2, "faded": 1}, {}, {"retry": 3}):
        summary.add(Outcome(anomalies=anomalies))
    assert summary.to_plain()["anomalies"] == {"retry": 5, "faded": 1}


async def test_lines_need_no_topic_where_a_kind_is_given(tmp_path: Path) -> None:
    path = tmp_path / "purchases.jsonl"
    path.write_bytes(encode(purchase("e1")))
    summary = await replayed(MemoryTables(), path, kind=0)
    assert summary.applied == {"purchase": 1}
