"""``assign --file`` and ``ingest`` where no server answers: what a file alone decides."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stream_persona.cli.auditing import audit_block, write_command
from stream_persona.domain.events import Browse, encode
from stream_persona.kafka.sender import Command, Outgoing
from stream_persona.settings import Settings
from tests.support.commands import Ended
from tests.support.constants import NOW

GOOD = "customer_id,persona\nc1,student\nc2,pet_owner\nc2,pet_owner\n"
BAD = f"{GOOD}c3,studnet\n"


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder of its own, and servers that are away."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STREAM_PERSONA_RETRY_SECONDS", "0.2")
    monkeypatch.setenv("STREAM_PERSONA_BROKERS", "127.0.0.1:1")
    monkeypatch.setenv("STREAM_PERSONA_REDIS_URL", "redis://127.0.0.1:1/0")
    return tmp_path


def test_a_dry_run_of_labels_checks_and_needs_no_server(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "labels.csv").write_text(GOOD)
    ended = Ended(capsys, "assign", "--file", "labels.csv", "--dry-run", "--json")
    assert (ended.code, ended.err) == (0, "")
    found = json.loads(ended.out)
    assert (found["rows"], found["assignments"], found["repeats"], found["sent"]) == (3, 2, 1, 0)


@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_labels_with_a_mistake_are_not_sent_and_end_with_2(
    folder: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...]
) -> None:
    (folder / "labels.csv").write_text(BAD)
    ended = Ended(capsys, "assign", "--file", "labels.csv", *options)
    assert ended.code == 2
    first, last = ended.err.splitlines()
    assert first.startswith("labels.csv:5: persona 'studnet': expected one of ")
    assert last.startswith("nothing was sent; --skip-mistakes")


def test_a_dry_run_that_skips_mistakes_ends_with_3(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "labels.csv").write_text(BAD)
    words = ("assign", "--file", "labels.csv", "--dry-run", "--skip-mistakes", "--json")
    ended = Ended(capsys, *words)
    assert ended.code == 3
    (mistake,) = json.loads(ended.out)["mistake_examples"]
    assert (mistake["line"], mistake["reason"]) == (5, "unknown_persona")
    assert (mistake["field"], mistake["value"]) == ("persona", "'studnet'")


@pytest.mark.parametrize(
    ("words", "action"),
    [
        (("assign", "undefined", "student"), "assignment"),
        (("assign", "Customer-1", "studnet"), "assignment"),
        (("delete", "undefined", "--yes"), "deletion"),
        (("assign", "--file", "labels.csv"), "file of assignments"),
        (("assign", "--file", "missing.csv"), "file of assignments"),
        (("ingest", "missing.csv", "--kind", "assignments"), "files of events"),
    ],
)
def test_a_command_that_is_refused_leaves_one_line_without_customers(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    action: str,
) -> None:
    async def agrees(*_: object) -> None:
        pass

    monkeypatch.setattr("stream_persona.cli.agreement.check_before_sending", agrees)
    monkeypatch.setenv("STREAM_PERSONA_AUDIT_FILE", "audit.log")
    (folder / "labels.csv").write_text(BAD)
    assert Ended(capsys, *words).code == 2
    (line,) = map(json.loads, (folder / "audit.log").read_text().splitlines())
    assert (line["action"], line["outcome"]) == (action, "refused")
    assert "customer_id" not in line
    assert "Customer-1" not in line.values()


def test_a_dry_run_leaves_no_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STREAM_PERSONA_AUDIT_FILE", "audit.log")
    (folder / "labels.csv").write_text(BAD)
    for name in ("labels.csv", "missing.csv"):
        assert Ended(capsys, "assign", "--file", name, "--dry-run").code == 2
    assert not (folder / "audit.log").exists()


@pytest.mark.parametrize("level", ["INFO", "DEBUG"])
def test_each_command_of_a_file_leaves_a_line_of_its_own(
    folder: Path, monkeypatch: pytest.MonkeyPatch, level: str
) -> None:
    settings = Settings(_env_file=None, audit_file=folder / "audit.log", log_level=level)
    sent = [
        Outgoing("t", "customer-1", b"", 2, command=Command("assignment", "a1")),
        Outgoing("t", "customer-2", b"", 3),
        Outgoing("t", "customer-3", b"", 4, command=Command("deletion", "d1")),
    ]
    with audit_block(settings, "files of events", {}):
        for message, is_confirmed in zip(sent, (True, True, False), strict=True):
            write_command(message, is_confirmed)
    lines = [json.loads(line) for line in (folder / "audit.log").read_text().splitlines()]
    found = [(e["action"], e["outcome"], e.get("event_id"), e.get("line")) for e in lines]
    assert found == [
        ("assignment", "accepted", "a1", 2), ("deletion", "failed", "d1", 4),
        ("files of events", "accepted", None, None),
    ]  # fmt: skip
    assert ("customer-1" in json.dumps(lines)) == (level == "DEBUG")


def test_labels_that_no_broker_takes_end_with_1_and_how_far_they_came(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "labels.csv").write_text(GOOD)
    ended = Ended(capsys, "assign", "--file", "labels.csv", "--json")
    assert ended.code == 1
    assert "no Kafka broker answered" in ended.err
    found = json.loads(ended.out)
    assert (found["sent"], found["confirmed"], found["last_confirmed_line"]) == (0, 0, None)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--file", "l.csv", "c1"), "--file and a CUSTOMER exclude each other"),
        (("--file", "l.csv", "--withdraw"), "--file and --withdraw"),
        (("c1", "student", "--dry-run"), "--dry-run is for --file"),
        (("c1", "student", "--skip-mistakes"), "--skip-mistakes is for --file"),
        ((), "give a CUSTOMER and a PERSONA, or --file"),
        (("--file", "missing.csv"), "missing.csv: cannot be read"),
    ],
)
def test_what_does_not_go_together_ends_with_2(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], sentence: str
) -> None:
    ended = Ended(capsys, "assign", *words)
    assert ended.code == 2
    assert sentence in ended.err


def lines(*names: str) -> bytes:
    return b"".join(encode(Browse(name, "c", NOW, "view")) + b"\n" for name in names)


def test_a_dry_run_of_events_shows_what_cannot_be_read_and_ends_with_3(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "h.jsonl").write_bytes(lines("e1") + b"{\n" * 30 + lines("e2"))
    words = ("ingest", "h.jsonl", "--kind", "browses", "--dry-run", "--dead-letters", "bad")
    ended = Ended(capsys, *words)
    assert ended.code == 3
    *shown, more = ended.err.splitlines()
    assert [line.split(" ")[0] for line in shown] == [f"h.jsonl:{n}:" for n in range(2, 22)]
    assert more.startswith("... and 10 more")
    assert len((folder / "bad").read_text().splitlines()) == 30


def test_events_that_can_all_be_read_end_a_dry_run_with_0(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "h.jsonl").write_bytes(lines("e1", "e2"))
    ended = Ended(capsys, "ingest", "h.jsonl", "--kind", "browses", "--dry-run", "--json")
    assert (ended.code, ended.err) == (0, "")
    found = json.loads(ended.out)
    assert (found["events"], found["sent"], found["confirmed"]) == ({"browse": 2}, 0, 0)


def test_events_that_no_broker_takes_end_with_1(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "h.jsonl").write_bytes(lines("e1"))
    ended = Ended(capsys, "ingest", "h.jsonl", "--kind", "browses")
    assert (ended.code, ended.out) == (1, "")
    assert "it is not known, nor noted, whether these files were ingested before" in ended.err
    assert "no Kafka broker answered" in ended.err


@pytest.mark.parametrize(
    ("content", "words", "sentence"),
    [
        (b"", (), "is empty"),
        (b"\xff\xfea\x00", (), "UTF-16"),
        (b"customer_id,event_id\nc,e\n", (), "no column topic"),
        (b"customer_id,event_id\nc,e\n", ("--kind", "browses"), "no column occurred_at nor action"),
    ],
)
def test_a_file_that_is_none_of_events_ends_with_2(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    content: bytes,
    words: tuple[str, ...],
    sentence: str,
) -> None:
    (folder / "h").write_bytes(content)
    ended = Ended(capsys, "ingest", "h", *words)
    assert ended.code == 2
    assert sentence in ended.err
