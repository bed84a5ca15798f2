"""The collector: what is posted is on its topic when it is answered, and nothing else is."""

from __future__ import annotations

import base64
import gzip
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from stream_persona.api.security.keys import make_key
from stream_persona.domain.events import (
    BROWSE,
    ENGAGEMENT,
    PURCHASE,
    Browse,
    Engagement,
    Purchase,
    decode_event,
    event_time,
)
from stream_persona.kafka.partitioner import home_partition
from stream_persona.settings import Settings
from tests.support.api import becomes_ready, calling
from tests.support.foreign.own_events import own_events
from tests.support.foreign.presets import captured
from tests.support.shop import Shop

ITEM = {"product_id": "p-17", "category": "baby/diapers", "price": 9.99}
BOUGHT = {"event_id": "e1", "customer_id": "c1", "items": [ITEM], "order_id": "o1"}
LOOKED = {"event_id": "e2", "customer_id": "c2", "action": "view", "product": ITEM}
WRITE_KEY, TABLE = make_key("pages", ["collect"])
REACTED = {"event_id": "e3", "customer_id": "c3", "channel": "email", "action": "open"}
VIEWED = {
    "type": "track", "event": "Product Viewed", "userId": "c1", "messageId": "m1",
    "properties": ITEM,
}  # fmt: skip


@pytest.fixture
async def client(declared_topics: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an API that is ready, whose topics exist."""
    async with calling(declared_topics) as client:
        await becomes_ready(client)
        yield client


async def read(settings: Settings, kind: int) -> list[Any]:
    """All events on a topic, each of which is at its customer's home."""
    async with Redis.from_url(settings.redis_url) as redis:
        records = await Shop(settings, redis).read(settings.input_topics[kind])
    found = [decode_event(kind, record.value) for record in records]
    for record, event in zip(records, found, strict=True):
        assert record.key == event.customer_id.encode()
        assert record.partition == home_partition(event.customer_id, settings.partitions)
    return found


async def counted(client: httpx.AsyncClient) -> dict[str, int]:
    """How many events have which outcome."""
    lines = (await client.get("/metrics")).text.splitlines()
    start = "stream_persona_collected_events_total{outcome="
    found = (line.removeprefix(start).split("} ") for line in lines if line.startswith(start))
    return {name.strip('"'): int(float(number)) for name, number in found if float(number)}


# --- our own shapes ---


async def test_events_are_on_the_topics_of_their_kinds_when_they_are_answered(
    client: httpx.AsyncClient, declared_topics: Settings
) -> None:
    before = time.time_ns() // 1_000_000
    answer = await client.post("/v1/events", json=[BOUGHT, LOOKED, REACTED])
    assert answer.status_code == 202
    assert answer.json() == {"accepted": 3, "ignored": 0, "refused": []}
    (bought,), (looked,), (reacted,) = [
        await read(declared_topics, kind) for kind in (PURCHASE, BROWSE, ENGAGEMENT)
    ]
    assert isinstance(bought, Purchase)
    assert isinstance(looked, Browse)
    assert isinstance(reacted, Engagement)
    assert (bought.order_id, looked.action, reacted.channel) == ("o1", "view", "email")
    for event in (bought, looked, reacted):
        assert before <= event_time(event) <= time.time_ns() // 1_000_000
    assert await counted(client) == {"accepted": 3}


async def test_one_event_may_be_posted_alone_and_as_plain_text(
    client: httpx.AsyncClient, declared_topics: Settings
) -> None:
    answer = await client.post(
        "/v1/events", content=json.dumps(BOUGHT), headers={"Content-Type": "text/plain"}
    )
    assert (answer.status_code, answer.json()["accepted"]) == (202, 1)
    assert len(await read(declared_topics, PURCHASE)) == 1


async def test_each_event_is_taken_ignored_or_refused_by_itself(
    client: httpx.AsyncClient, declared_topics: Settings
) -> None:
    wrong = {**LOOKED, "action": "looked"}
    nobody = {**BOUGHT, "customer_id": "Guest"}
    unsure = {**BOUGHT, "action": "view"}
    large = {**LOOKED, "product": {**ITEM, "attributes": {str(n): "x" * 999 for n in range(40)}}}
    answer = await client.post("/v1/events", json=[wrong, BOUGHT, nobody, unsure, 7, large])
    assert answer.status_code == 207
    found = answer.json()
    assert (found["accepted"], found["ignored"]) == (1, 1)
    assert [each["index"] for each in found["refused"]] == [0, 3, 4, 5]
    sentences = [each["message"] for each in found["refused"]]
    assert "expected one of view, search" in sentences[0]
    assert "may be of two kinds" in sentences[1]
    assert "Expected `object`" in sentences[2]
    assert "at most 32,768 are read" in sentences[3]
    assert [event.event_id for event in await read(declared_topics, PURCHASE)] == ["e1"]
    assert await read(declared_topics, BROWSE) == []
    assert await counted(client) == {"accepted": 1, "nobody": 1, "refused": 4}


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "Input data was truncated"),
        (b"[]", "no events"),
        (b'[{"customer_id": "c1"}]', "an event has `items`"),
        (b'[{"customer_id": "c1"}, 3]', "none of 2 events could be taken; the first one: an event"),
        (b'{"customer_id": "c1", "persona": "student"}', "PUT /v1/customers/{id}/assignment"),
        (b'{"items": [{"product_id": "p"}]}', "customer_id"),
    ],
)
async def test_a_request_of_which_nothing_can_be_taken_is_400(
    client: httpx.AsyncClient, body: bytes, sentence: str
) -> None:
    answer = await client.post("/v1/events", content=body)
    assert answer.status_code == 400
    assert sentence in answer.json()["message"]


@pytest.mark.parametrize(
    ("path", "body", "headers"),
    [
        ("events", b"[]", {}),
        ("track", b"{", {}),
        ("batch", b"[]", {}),
        ("import", b'{"batch": []}', {}),
        ("events", b"no gzip", {"Content-Encoding": "gzip"}),
        ("batch", b"{}", {"Content-Encoding": "br"}),
        ("batch", gzip.compress(b" " * 600_000), {"Content-Encoding": "gzip"}),
    ],
)
async def test_a_body_of_which_nothing_can_be_read_is_counted(
    client: httpx.AsyncClient, path: str, body: bytes, headers: dict[str, str]
) -> None:
    answer = await client.post(f"/v1/{path}", content=body, headers=headers)
    assert answer.status_code in {400, 413, 415}
    assert await counted(client) == {"refused": 1}


async def test_a_request_of_nobodys_events_alone_is_no_mistake(
    client: httpx.AsyncClient, declared_topics: Settings
) -> None:
    answer = await client.post("/v1/events", json={**BOUGHT, "customer_id": ""})
    assert answer.status_code == 202
    assert answer.json() == {"accepted": 0, "ignored": 1, "refused": []}
    assert await read(declared_topics, PURCHASE) == []


async def test_a_body_is_bounded_as_it_came_and_as_it_was_packed(client: httpx.AsyncClient) -> None:
    large = json.dumps([BOUGHT] * 6_000).encode()
    assert (await client.post("/v1/events", content=large)).status_code == 413
    packed = gzip.compress(large)
    assert len(packed) < 100_000
    headers = {"Content-Encoding": "gzip"}
    assert (await client.post("/v1/events", content=packed, headers=headers)).status_code == 413
    few = gzip.compress(json.dumps([BOUGHT] * 20).encode())
    answer = await client.post("/v1/events", content=few, headers=headers)
    assert answer.json()["accepted"] == 20
    headers = {"Content-Encoding": "br"}
    assert (await client.post("/v1/events", content=few, headers=headers)).status_code == 415


# --- calls of Segment's libraries ---


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
    times = {each.customer_id: event_time(each) for each in await read(declared_topics, BROWSE)}
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


# --- write keys ---


@pytest.fixture
async def locked(declared_topics: Settings, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a key of an API that needs one, and lets a shop's pages call it."""
    keys = tmp_path / "keys.toml"
    keys.write_text(TABLE, encoding="utf-8")
    shop = {"api_keys_file": keys, "api_cors_origins": "https://shop.example"}
    async with calling(declared_topics.model_copy(update=shop)) as client:
        await becomes_ready(client)
        yield client


def basic(user: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:".encode()).decode()}


async def test_a_write_key_may_be_the_user_of_basic_or_in_the_body(
    locked: httpx.AsyncClient,
) -> None:
    keyed = {**VIEWED, "writeKey": WRITE_KEY}
    batch = {"batch": [VIEWED], "writeKey": WRITE_KEY}
    for path in ("/v1/track", "/v1/t"):
        assert (await locked.post(path, json=VIEWED, headers=basic(WRITE_KEY))).is_success
        assert (await locked.post(path, json=keyed)).is_success
    assert (await locked.post("/v1/batch", json=batch)).is_success
    packed = gzip.compress(json.dumps(batch).encode())
    headers = {"Content-Encoding": "gzip"}
    assert (await locked.post("/v1/b", content=packed, headers=headers)).is_success
    assert (await locked.post("/v1/events", json=BOUGHT, headers=basic(WRITE_KEY))).is_success
    bearer = {"Authorization": f"Bearer {WRITE_KEY}"}
    assert (await locked.post("/v1/events", json=BOUGHT, headers=bearer)).is_success


async def test_no_other_place_of_a_key_lets_in(locked: httpx.AsyncClient) -> None:
    keyed = {**VIEWED, "writeKey": WRITE_KEY}
    for path in ("/v1/track", "/v1/batch", "/v1/events"):
        for headers in ({}, basic("other"), {"X-API-Key": "other"}, {"Authorization": "Basic ?"}):
            assert (await locked.post(path, json=VIEWED, headers=headers)).status_code == 401
    refused = await locked.post("/v1/track", json=keyed, headers=basic("other"))
    assert refused.status_code == 401
    nested = {"batch": [keyed]}
    assert (await locked.post("/v1/batch", json=nested)).status_code == 401
    elsewhere = {"persona": None, "writeKey": WRITE_KEY}
    assert (await locked.put("/v1/customers/c1/assignment", json=elsewhere)).status_code == 401
    assert (await locked.get("/v1/personas?key=" + WRITE_KEY)).status_code == 401


async def test_a_write_key_reads_nothing_and_commands_nothing(locked: httpx.AsyncClient) -> None:
    for headers in (basic(WRITE_KEY), {"Authorization": f"Bearer {WRITE_KEY}"}):
        for path in ("/v1/customers/c1/persona", "/v1/personas", "/v1/overview", "/metrics", "/"):
            assert (await locked.get(path, headers=headers)).status_code == 403, path
        assert (await locked.post("/v1/rank", json={}, headers=headers)).status_code == 403
        assert (await locked.delete("/v1/customers/c1", headers=headers)).status_code == 403


async def test_a_librarys_settings_lead_it_to_where_it_asked(locked: httpx.AsyncClient) -> None:
    answer = await locked.get(
        f"/v1/projects/{WRITE_KEY}/settings", headers={"Origin": "https://shop.example"}
    )
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://shop.example"
    sends = {"apiKey": WRITE_KEY, "apiHost": "127.0.0.1/v1", "protocol": "http"}
    assert answer.json()["integrations"] == {"Segment.io": sends}
    assert answer.json()["metrics"] == {"sampleRate": 0}
    assert (await locked.get("/v1/projects/other/settings")).status_code == 401


async def test_a_page_of_the_shop_may_send_and_another_may_not(locked: httpx.AsyncClient) -> None:
    asked = {
        "Origin": "https://shop.example", "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,x-retry-count",
    }  # fmt: skip
    assert (await locked.options("/v1/t", headers=asked)).status_code == 200
    foreign = {**asked, "Origin": "https://elsewhere.example"}
    assert (await locked.options("/v1/t", headers=foreign)).status_code == 400
