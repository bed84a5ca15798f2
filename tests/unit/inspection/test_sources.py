"""What inspect says of a topic of sources: what each made of it, and the events that came of it."""

import json
from dataclasses import replace
from pathlib import Path

from aiokafka import ConsumerRecord

from stream_persona.inspection.reading import map_names_to_kinds
from stream_persona.inspection.report import make_report
from stream_persona.inspection.sample import InputSample, SampledMessage, read_all
from stream_persona.inspection.sources import map_sample
from stream_persona.settings import Settings
from tests.support.constants import NOW
from tests.support.events import purchase, shop
from tests.support.sources import (
    MAPPED,
    SEGMENT,
    TOPIC,
    message,
    order,
    search,
    source_settings,
)
from tests.support.workers import fetch, raw

SHOP = shop()


async def mapped(settings: Settings, *records: ConsumerRecord, topic: str = TOPIC) -> InputSample:
    found = [
        SampledMessage(each.value, f"0/{each.offset}", 0, each.key, NOW, NOW) for each in records
    ]
    return await map_sample(InputSample(topic, found), records, settings, SHOP)


async def test_each_source_says_what_it_made_of_the_messages(tmp_path: Path) -> None:
    settings = source_settings(tmp_path, MAPPED)
    documents = [
        {"type": "order", "id": "a", "user": "c", "at": NOW, "lines": [{"sku": "p"}]},
        {"type": "order", "id": "b", "user": "c", "at": NOW, "lines": "none"},
        {"type": "search", "id": "d", "user": "guest", "at": NOW, "words": "shoes"},
        {"type": "page"},
    ]
    records = [raw(TOPIC, json.dumps(each).encode(), n) for n, each in enumerate(documents)]
    sample = await mapped(settings, *records)
    first, second, none = sample.mapping
    assert (first["messages"], first["events"]) == (2, {"purchases": 1})
    assert first["unreadable"] == {"invalid_field": 1}
    assert (second["messages"], second["left_out"]) == (1, {"nobody": 1})
    assert (none["source"], none["left_out"]) == ("no source", {"unmapped": 1})


async def test_what_is_inspected_are_the_events(tmp_path: Path) -> None:
    settings = source_settings(tmp_path, SEGMENT)
    batch = message(0, order("a"), search("b", "other"))
    sample = await mapped(settings, batch, raw(TOPIC, b"{", 1))
    readings = read_all(sample, map_names_to_kinds(settings))
    assert [each.error is None for each in readings] == [True, True, False]
    report = make_report(sample, SHOP, map_names_to_kinds(settings), 8, NOW)
    assert report["readable"]["kinds"]["browses"] == 1
    assert report["sources"][0]["events"] == {"purchases": 1, "browses": 1}


async def test_a_topic_of_ours_keeps_what_no_source_takes(tmp_path: Path) -> None:
    settings = source_settings(tmp_path, MAPPED.replace(TOPIC, "purchases"))
    (own,) = fetch(purchase("p"), settings=settings)
    sample = await mapped(settings, own, topic="purchases")
    assert [each.value for each in sample.messages] == [own.value]
    other = await mapped(settings, own, topic="browses")
    assert other == replace(other, mapping=())
