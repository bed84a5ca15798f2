"""Files of other tools' documents: what of them is sent to the source's topic, and what is not."""

import json
from pathlib import Path
from typing import Any

import pytest

from stream_persona.clocks import Clocks
from stream_persona.domain.anomaly import Anomaly
from stream_persona.errors import InputError, SettingsError
from stream_persona.files.unreadable import Unreadable
from stream_persona.ingestion.documents import DocumentFiles
from stream_persona.ingestion.events import Found
from stream_persona.ingestion.run import IngestRequest, cut, ingest
from stream_persona.ingestion.summary import IngestSummary
from stream_persona.kafka.sender import Outgoing
from stream_persona.replay.run import hide
from stream_persona.settings import Settings
from tests.support.constants import DAY, NOW
from tests.support.event_files import line
from tests.support.events import browse, shop
from tests.support.sources import SEGMENT, TOPIC, order, search, source_settings

IDENTIFY = {"type": "identify", "userId": "c", "anonymousId": "a", "messageId": "i",
            "timestamp": "2026-01-01T00:00:00Z"}  # fmt: skip


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "sources").mkdir()
    return source_settings(tmp_path / "sources")


def write(folder: Path, *documents: Any) -> Path:
    path = folder / "documents.jsonl"
    rows = (each if isinstance(each, bytes) else json.dumps(each).encode() for each in documents)
    path.write_bytes(b"\n".join(rows))
    return path


def read(settings: Settings, path: Path, topic: str = TOPIC) -> list[Found]:
    files = DocumentFiles(settings, shop(), topic, lambda: NOW)
    return [each for _, found in files.read(files.open(path), 1, 99) for each in found]


def test_a_document_is_sent_as_it_is_with_what_its_topic_makes_of_it(
    settings: Settings, tmp_path: Path
) -> None:
    batch = {"batch": [order("1", "ann"), search("2", "bob"), order("3", "ann")], "more": [None]}
    (found,) = read(settings, write(tmp_path, batch))
    assert found == Outgoing(
        TOPIC, "ann", json.dumps(batch).encode(), 1,
        (("purchases", "ann"), ("purchases", "ann"), ("browses", "bob")),
    )  # fmt: skip


def test_what_gives_no_event_is_counted_by_its_reason_and_not_sent(
    settings: Settings, tmp_path: Path
) -> None:
    page, refund = {"type": "page", "messageId": "p"}, {**order("r"), "event": "Order Refunded"}
    found = read(settings, write(tmp_path, page, refund, order("n", "guest"), IDENTIFY))
    assert found[:3] == [Anomaly.NOT_OF_INTEREST, Anomaly.NOT_BOUGHT, Anomaly.NOBODY]
    # A link is no event, and is sent: its topic keeps it.
    assert isinstance(found[3], Outgoing)
    assert found[4:] == [Anomaly.IDENTITY_LINK]


def test_a_mistake_is_shown_by_its_line_and_place(settings: Settings, tmp_path: Path) -> None:
    wrong = order("w")
    wrong["properties"]["products"][0]["price"] = "12,50"
    late = order("l", at=NOW + 9 * DAY)
    many = {"batch": [search(f"m{n}", "c") for n in range(5_000)]}
    rows = write(tmp_path, order("1"), wrong, b"{", late, [1], many, {"batch": [wrong, order("2")]})
    found = read(settings, rows)
    assert [each.line for each in found if isinstance(each, Outgoing)] == [1, 7]
    mistakes = [each for each in found if isinstance(each, Unreadable)]
    assert [(each.line, each.reason) for each in mistakes] == [
        (2, "invalid_field"), (3, "not_json"), (4, "future_time"), (5, "invalid_field"),
        (6, "too_large"), (7, "invalid_field"),
    ]  # fmt: skip
    assert "`$.properties.products[0].price`" in mistakes[0].detail
    assert "`$.batch[0].properties.products[0].price`" in mistakes[-1].detail


def test_chunks_are_cut_by_the_events_in_documents(settings: Settings, tmp_path: Path) -> None:
    batches = [{"batch": [search(f"{n}-{m}", "c") for m in range(50)]} for n in range(5)]
    rows = ((n, [found]) for n, found in enumerate(read(settings, write(tmp_path, *batches))))
    assert [len(chunk) for chunk in cut(rows, 1_000)] == [2, 2, 1]
    rows = ((n, [found]) for n, found in enumerate(read(settings, write(tmp_path, *batches))))
    assert [len(chunk) for chunk in cut(rows, 60)] == [1, 1, 1, 1, 1]


def test_columns_are_no_documents(settings: Settings, tmp_path: Path) -> None:
    (path := tmp_path / "orders.csv").write_text("messageId;userId\n1;c\n2;c\n")
    with pytest.raises(InputError, match="is CSV"):
        read(settings, path)


def test_a_topic_of_ours_takes_what_no_source_takes_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    text = SEGMENT.replace(TOPIC, "browses").replace("preset", 'when = "messageId"\npreset')
    settings = source_settings(tmp_path / "own", text)
    found = read(settings, write(tmp_path, line(browse("e1")).strip(), search("e2")), "browses")
    assert [each.events for each in found if isinstance(each, Outgoing)] == [
        (("browses", "c"),)
    ] * 2


@pytest.mark.parametrize(
    ("text", "topic", "message"),
    [(SEGMENT, "orders", f"no source .* 'orders'; there are {TOPIC}"),
     (SEGMENT + 'format = "avro"\nregistry = "http://r"\n', TOPIC, "are avro")],
)  # fmt: skip
def test_a_topic_that_takes_no_such_documents_is_refused(
    tmp_path: Path, text: str, topic: str, message: str
) -> None:
    with pytest.raises((SettingsError, InputError), match=message):
        DocumentFiles(source_settings(tmp_path, text), shop(), topic)


def test_a_source_needs_the_file_of_sources(settings: Settings) -> None:
    without = settings.model_copy(update={"sources": None})
    with pytest.raises(SettingsError, match="STREAM_PERSONA_SOURCES"):
        DocumentFiles(without, shop(), TOPIC)


async def test_a_dry_run_counts_all_that_comes_of_documents(
    settings: Settings, tmp_path: Path
) -> None:
    batch = {"batch": [order("1"), search("2"), {"type": "page"}, {"type": "track"}, IDENTIFY]}
    summary, path = IngestSummary(), write(tmp_path, batch, {"type": "screen"}, IDENTIFY)
    request = IngestRequest([path], dry_run=True, source=TOPIC)
    seconds = iter([10.0, 12.5])
    clocks = Clocks(lambda: next(seconds), lambda: NOW)
    await ingest(settings, shop(), request, summary, hide, print, clocks)
    facts = summary.to_plain()
    assert facts["events"] == {"purchase": 1, "browse": 1}
    assert facts["left_out"] == {"not_of_interest": 2, "identity_link": 2}
    assert facts["unreadable"] == {"invalid_field": 1}
    assert (facts["read"], facts["sent"], facts["seconds"]) == (7, 0, 2.5)
