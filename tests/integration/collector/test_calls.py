"""Calls of Segment's libraries: what is posted is on its topic when it is answered."""

from __future__ import annotations

import gzip
import json
import time
from collections import Counter

import httpx
import pytest

from stream_persona.domain.events import (
    BROWSE,
    ENGAGEMENT,
    PURCHASE,
    get_event_time,
)
from stream_persona.settings import Settings
from tests.support.collecting import ITEM, VIEWED, WRITE_KEY, basic, counted, read
from tests.support.foreign.own_events import own_events
from tests.support.foreign.presets import captured


@pytest.mark.parametrize("path", ["/v1/track", "/v1/t"])
async def test_a_track_call_becomes_an_event_under_either_of_its_names(
    client: httpx.AsyncClient, declared_topics: Settings, path: str
) -> None:
    call = {name: value for name, value in VIEWED.items() if name != "type"}
    answer = await client.post(path, json=call)
    assert answer.status_code == 200
    assert answer.json() == {
        "success": True, "accepted": 1, "ignored": 0, "links": 0, "left_out": {}, "refused": [],
    }  # fmt: skip
    (event,) = await read(declared_topics, BROWSE)
    assert (event.event_id, event.customer_id, event.action) == ("m1", "c1", "view")


async def test_each_call_of_a_batch_is_counted_by_what_it_is(
    client: httpx.AsyncClient, declared_topics: Settings
) -> None:
    ordered = {
        "type": "track", "event": "Order Completed", "anonymousId": "a1", "messageId": "m2",
        "properties": {"order_id": "o1", "products": [ITEM, {**ITEM, "product_id": "p-18"}]},
    }  # fmt: skip
    batch = [
        VIEWED, ordered,
        {"type": "identify", "userId": "c1", "anonymousId": "a1", "messageId": "m3"},
        {"type": "alias", "userId": "c1", "previousId": "a1", "messageId": "m4"},
        {"type": "page", "userId": "c1", "name": "Home"},
        {"type": "track", "event": "Lamp Lit", "userId": "c1"},
        {"type": "track", "event": "Order Refunded", "userId": "c1"},
        {**VIEWED, "userId": "null", "messageId": "m5"},
        {"type": "track", "userId": "c1"},
    ]  # fmt: skip
    answer = await client.post("/v1/batch", json={"batch": batch, "writeKey": "any"})
    found = answer.json()
    assert answer.status_code == 207
    assert not found["success"]
    assert [each["index"] for each in found.pop("refused")] == [8]
    assert found == {
        "success": False, "accepted": 2, "ignored": 1, "links": 2,
        "left_out": {"unknown_event": 1, "not_of_interest": 1, "not_bought": 1},
    }  # fmt: skip
    assert await counted(client) == {
        "accepted": 2, "identity_link": 2, "not_of_interest": 1, "unknown_event": 1,
        "not_bought": 1, "nobody": 1, "refused": 1,
    }  # fmt: skip
    (bought,) = await read(declared_topics, PURCHASE)
    assert (bought.customer_id, len(bought.items), bought.order_id) == ("a1", 2, "o1")


async def test_the_time_of_a_call_is_corrected_by_how_wrong_its_senders_clock_is(
    client: httpx.AsyncClient, declared_topics: Settings
) -> None:
    slow = {"timestamp": "2020-01-01T10:00:00.000Z", "sentAt": "2020-01-01T10:00:07.000Z"}
    now = time.time_ns() // 1_000_000
    assert (await client.post("/v1/t", json={**VIEWED, **slow})).status_code == 200
    sent_at = {"sentAt": slow["sentAt"]}
    batch = {"batch": [{**VIEWED, "timestamp": slow["timestamp"], "userId": "c2"}], **sent_at}
    assert (await client.post("/v1/b", json=batch)).status_code == 200
    assert (await client.post("/v1/t", json={**VIEWED, "userId": "c3"})).status_code == 200
    history = {"batch": [{**VIEWED, "timestamp": slow["timestamp"], "userId": "c4"}], **sent_at}
    assert (await client.post("/v1/import", json=history)).status_code == 200
    times = {each.customer_id: get_event_time(each) for each in await read(declared_topics, BROWSE)}
    assert 0 <= times["c1"] - (now - 7_000) < 5_000
    assert 0 <= times["c2"] - (now - 7_000) < 5_000
    assert 0 <= times["c3"] - now < 5_000
    assert times["c4"] == 1_577_872_800_000


@pytest.mark.parametrize(
    ("path", "body", "sentence"),
    [
        ("/v1/track", b"", "truncated"),
        ("/v1/track", b'{"type": "page", "userId": "c1"}', "expected track or none, got 'page'"),
        ("/v1/batch", b'{"userId": "c1"}', "missing required field `batch`"),
        ("/v1/batch", b'{"batch": []}', "no events"),
        ("/v1/batch", b'{"batch": [' + b"{}," * 1_000 + b"{}]}", "at most 1,000"),
        ("/v1/batch", b"[]", "object"),
    ],
)
async def test_what_is_no_call_is_400(
    client: httpx.AsyncClient, path: str, body: bytes, sentence: str
) -> None:
    answer = await client.post(path, content=body)
    assert answer.status_code == 400
    assert sentence in answer.json()["message"]


@pytest.mark.parametrize("library", ["segment-python", "segment-node", "rudderstack-node"])
async def test_what_a_vendors_library_sends_becomes_the_journeys_events(
    client: httpx.AsyncClient, declared_topics: Settings, library: str
) -> None:
    packs = library == "rudderstack-node"
    headers = {
        "Content-Type": "application/x-www-form-urlencoded" if packs else "application/json",
        **({"Content-Encoding": "gzip"} if packs else {}), **basic(WRITE_KEY),
    }  # fmt: skip
    for body in captured(library):
        content = json.dumps(body).encode()
        packed = gzip.compress(content) if packs else content
        answer = await client.post("/v1/batch", content=packed, headers=headers)
        assert answer.status_code == 200
        assert answer.json()["success"]
    kinds = (PURCHASE, BROWSE, ENGAGEMENT)
    found = Counter({kind: len(await read(declared_topics, kind)) for kind in kinds})
    assert found == Counter(kind for kind, _ in own_events())
    assert (await counted(client))["identity_link"] == 2
