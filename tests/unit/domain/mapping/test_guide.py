"""What the operators' guide says of sources: its examples load, and its table holds."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from stream_persona.domain.mapping.documents import map_document
from stream_persona.domain.mapping.sources import KIND_NAMES, Sources
from tests.support.foreign.presets import preset
from tests.support.foreign.snowplow_events import ACTION, PRODUCT

ROOT = Path(__file__).parents[4]
GUIDE = (ROOT / "deploy" / "README.md").read_text(encoding="utf-8")
SECTION = GUIDE.partition("## Other tools' events\n")[2].partition("\n## ")[0]
EXAMPLES = re.findall(r"^```toml\n(.+?)^```", SECTION, re.MULTILINE | re.DOTALL)
ROWS = [
    [cell.strip() for cell in row.split("|")]
    for row in re.findall(r"^\|(.+)\|$", SECTION.partition("### Which event")[2], re.MULTILINE)
]


def test_every_example_of_the_guide_loads() -> None:
    assert len(EXAMPLES) == 4
    for example in EXAMPLES:
        assert Sources.parse(example).topics


def test_all_examples_of_the_guide_together_are_a_file() -> None:
    assert len(Sources.parse("\n".join(EXAMPLES)).topics) == 5


def test_the_readmes_example_loads() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    example = re.search(r"^```toml\n(\[\[source\]\].+?)^```", readme, re.MULTILINE | re.DOTALL)
    assert example is not None
    assert Sources.parse(example[1]).topics == ("web-events",)


def test_the_guides_document_is_read_by_its_expressions() -> None:
    found = re.search(r"^```json\n(.+?)^```", SECTION, re.MULTILINE | re.DOTALL)
    assert found is not None
    sources = Sources.parse("\n".join(EXAMPLES)).list_for_topic("till")
    ((kind, order),) = map_document(sources, json.loads(found[1])).events
    (item,) = order.items
    assert (KIND_NAMES[kind], order.customer_id, order.order_id) == ("purchase", "4711", "R-1")
    assert (item.category, item.price, item.quantity) == ("Office/Pens", 2.49, 4.0)


def segment(name: str) -> dict[str, Any]:
    if name in {"identify", "alias"}:
        ids = {"anonymousId": "a", "previousId": "a"}
        return {"type": name, "userId": "c", "messageId": "m", "timestamp": 1_764_000_000} | ids
    properties = {"product_id": "P", "products": [{"product_id": "P"}], "query": "q"}
    return {
        "type": "track", "event": name, "messageId": "m", "userId": "c",
        "timestamp": 1_764_000_000, "properties": properties,
    }  # fmt: skip


def ga4(name: str) -> dict[str, Any]:
    return {
        "event_name": name, "event_timestamp": 1_764_000_000_000_000, "user_id": "c",
        "user_pseudo_id": "a", "items": [{"item_id": "P"}], "event_params": [],
    }  # fmt: skip


def snowplow(name: str) -> dict[str, Any]:
    schema, data = ACTION, {"type": name}
    if name == "site_search":
        schema = "iglu:com.snowplowanalytics.snowplow/site_search/jsonschema/1-0-0"
        data = {"terms": ["q"]}
    return {
        "event": name if name in {"struct", "transaction_item"} else "unstruct", "event_id": "e",
        "derived_tstamp": "2025-11-24T09:00:00Z", "user_id": "c", "ti_sku": "P",
        "unstruct_event": {"data": {"schema": schema, "data": data}} if name != "struct" else None,
        "contexts": {"data": [{"schema": PRODUCT, "data": {"id": "P"}}]},
    }  # fmt: skip


MAKERS = {"segment": segment, "ga4": ga4, "snowplow": snowplow}
CASES = [
    (ours, name, source)
    for ours, *theirs in ROWS[2:]
    if ours.startswith("`")
    for source, cell in zip(MAKERS, theirs, strict=False)
    for name in re.findall(r"`(.+?)`", cell)
]


@pytest.mark.parametrize(("ours", "name", "source"), CASES)
def test_each_event_of_the_table_becomes_what_it_says(ours: str, name: str, source: str) -> None:
    document = MAKERS[source](name)
    if name == "transaction_item":
        del document["unstruct_event"]
    found = map_document(preset(source), document)
    words = re.findall(r"`(\w+)`", ours)
    if found.events:
        ((kind, event),) = found.events
        told = [getattr(event, field, None) for field in ("channel", "action")]
        assert [KIND_NAMES[kind], *filter(None, told)] == words
    else:
        assert dict(found.left_out) == {words[0]: 1}


def test_the_table_has_many_names_of_each_tool() -> None:
    assert {source: sum(case[2] == source for case in CASES) > 9 for source in MAKERS} == {
        "segment": True, "ga4": True, "snowplow": True,
    }  # fmt: skip
