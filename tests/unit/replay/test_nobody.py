"""Lines and messages of nobody are counted in a replay, and nothing else comes of them."""

from collections.abc import AsyncIterator
from pathlib import Path

from stream_persona.domain.anomaly import Anomaly
from stream_persona.domain.events import encode
from stream_persona.pipeline.types import Delivery
from stream_persona.replay.files import Files
from stream_persona.replay.messages import TopicMessages
from stream_persona.replay.summary import Found, ReplaySummary
from tests.support.events import assignment, deletion, purchase, shop
from tests.support.workers import fetch, worker_settings

SHOP = shop()


async def test_lines_of_nobody_are_counted_and_left_out(tmp_path: Path) -> None:
    path = tmp_path / "mixed.jsonl"
    lines = [
        (b"purchases", purchase("p1", customer="undefined")),
        (b"purchases", purchase("p2", customer="C-1")),
        (b"assignments", assignment("a", customer=" ", persona="unheard-of")),
        (b"deletions", deletion("d", customer="NULL")),
        (b"purchases", purchase("p3", customer="C-1 ")),
    ]
    path.write_bytes(
        b"".join(b'{"topic":"%s",%s\n' % (topic, encode(event)[1:]) for topic, event in lines)
    )
    found = [each async for chunk in read(path) for each in chunk]
    assert [each.event.customer_id for each in found if isinstance(each, Delivery)] == ["C-1"]
    assert [each for each in found if isinstance(each, Anomaly)] == [Anomaly.NOBODY] * 3
    (refused,) = [each for each in found if not isinstance(each, Delivery | Anomaly)]
    assert refused.reason == "invalid_id"


def read(path: Path) -> AsyncIterator[list[Found]]:
    return Files([path], None, worker_settings(), SHOP).read_chunks()


async def test_messages_of_nobody_in_topics_are_counted() -> None:
    messages = TopicMessages(worker_settings(), SHOP)
    message, another = fetch(purchase("p", customer="guest"), purchase("q", customer="C-1"))
    assert messages.read(message) == [Anomaly.NOBODY]
    (found,) = messages.read(another)
    assert isinstance(found, Delivery)


def test_the_summary_has_them_among_what_was_read() -> None:
    summary = ReplaySummary()
    summary.anomalies[Anomaly.NOBODY] += 2
    plain = summary.to_plain()
    assert (plain["read"], plain["anomalies"]) == (2, {"nobody": 2})
