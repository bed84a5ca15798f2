"""A CloudEvent whose attributes are headers."""

import json
from pathlib import Path

from tests.support.constants import NOW
from tests.support.sources import (
    TOPIC,
    forward,
    order,
    source_settings,
)
from tests.support.workers import raw

CLOUD = f'[[source]]\ntopic = "{TOPIC}"\npreset = "cloudevents"\n'


def test_a_cloudevent_in_headers_is_the_one_that_its_envelope_would_be(tmp_path: Path) -> None:
    attributes = {"specversion": "1.0", "id": "7", "source": "/shop", "type": "order.placed"}
    data = {"items": [{"product_id": "p"}], "customer_id": "c", "occurred_at": NOW}
    whole = json.dumps({**attributes, "data": data}).encode()
    headers = [(f"ce_{name}", value.encode()) for name, value in attributes.items()]
    headers.append(("content-type", b"application/json"))
    settings = source_settings(tmp_path, CLOUD)
    messages = [raw(TOPIC, whole), raw(TOPIC, json.dumps(data).encode(), headers=headers)]
    structured, binary = (forward(settings, [each])[0] for each in messages)
    assert binary[0].value == structured[0].value
    assert b"/shop 7" in binary[0].value

    without = raw(TOPIC, json.dumps(data).encode(), headers=[("trace", b"1")])
    (letter,) = forward(settings, [without])[1].letters
    assert b"specversion" in dict(letter.headers)["detail"]


def test_headers_of_a_cloudevent_are_nothing_to_another_preset(tmp_path: Path) -> None:
    headers = [("ce_specversion", b"1.0"), ("ce_id", b"7"), ("ce_source", b"/shop")]
    call = json.dumps(order("a")).encode()
    reroutes, _ = forward(source_settings(tmp_path), [raw(TOPIC, call, headers=headers)])
    assert b'"a"' in reroutes[0].value
