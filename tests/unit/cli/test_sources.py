"""``sources check``: what a file of sources reads, and what becomes of a document."""

import json
from pathlib import Path

import pytest

from tests.support.commands import Ended

SOURCES = """
[[source]]
topic = "web"
preset = "segment"

[[source]]
topic = "orders"
when = "type == 'order'"
kind = "purchase"
[source.map]
event_id = "id"
customer_id = "who"
occurred_at = "at"
items = "lines"
"""
VIEW = {
    "type": "track", "event": "Product Viewed", "messageId": "m", "userId": "guest",
    "timestamp": "2025-11-24T09:00:00Z", "properties": {"product_id": "P"},
}  # fmt: skip


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "sources.toml"
    path.write_text(SOURCES, encoding="utf-8")
    return path


def write(folder: Path, document: object) -> str:
    path = folder / "document.json"
    path.write_text(json.dumps(document), encoding="utf-8-sig")
    return str(path)


def test_a_sound_file_is_summed_up(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ended = Ended(capsys, "sources", "check", str(file), "--json")
    facts = json.loads(ended.out)
    assert ended.code in {0, None}
    assert facts["sources"] == [
        "topic web, json, segment",
        "topic orders, json, purchase by expressions, when type == 'order'",
    ]
    assert "segment" in Ended(capsys, "sources", "check", str(file)).out


def test_every_mistake_is_printed_with_its_line(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(SOURCES.replace("preset", "presett").replace('"lines"', '"lines["'))
    ended = Ended(capsys, "sources", "check", str(file))
    assert ended.code == 2
    assert not ended.out
    mistakes = ended.err.splitlines()
    assert mistakes[0] == f"{file}:4: source.0.presett: is not a known key; did you mean preset?"
    assert mistakes[1].startswith(f"{file}:14: source.1.map.items: 'lines[' is no JMESPath")
    as_json = Ended(capsys, "sources", "check", str(file), "--json")
    assert [mistake["line"] for mistake in json.loads(as_json.out)["mistakes"]] == [4, 14]
    assert as_json.code == 2


def test_a_document_is_shown_as_the_events_that_it_becomes(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tried = ("--topic", "web", "--try", write(file.parent, VIEW), "--json")
    ended = Ended(capsys, "sources", "check", str(file), *tried)
    facts = json.loads(ended.out)
    (event,) = facts["events"]
    assert ended.code in {0, None}
    assert (event["kind"], event["action"], event["product"]["product_id"]) == (
        "browse",
        "view",
        "P",
    )
    assert (facts["of_nobody"], facts["left_out"], facts["faults"]) == (1, {}, [])


def test_what_cannot_be_read_of_a_document_ends_with_3(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    batch = {"batch": [VIEW, {**VIEW, "properties": {"product_id": "P", "price": "dear"}}]}
    tried = ("--topic", "web", "--try", write(file.parent, batch), "--json")
    ended = Ended(capsys, "sources", "check", str(file), *tried)
    (fault,) = json.loads(ended.out)["faults"]
    assert ended.code == 3
    assert fault.endswith("got `str` - at `$.batch[1].properties.price`")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--try", "document.json"), "name the document's topic by --topic: one of web, orders"),
        (("--try", "document.json", "--topic", "w"), "no source reads topic 'w'; there are web"),
        (("--try", "nowhere.json", "--topic", "web"), "nowhere.json cannot be read: No such file"),
        (("--try", "sources.toml", "--topic", "web"), "not_json: "),
    ],
)
def test_a_document_that_cannot_be_tried_ends_with_2_and_a_line(
    file: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], expected: str
) -> None:
    write(file.parent, VIEW)
    ended = Ended(capsys, "sources", "check", str(file), *arguments)
    assert ended.code == 2
    assert expected in ended.err
    assert ended.err.count("\n") == 1
