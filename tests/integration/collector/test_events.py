"""The collector: what is posted is on its topic when it is answered, and nothing else is."""

from __future__ import annotations

import gzip
import json
import time

import httpx
import pytest

from stream_persona.domain.events import (
    BROWSE,
    ENGAGEMENT,
    PURCHASE,
    Browse,
    Engagement,
    Purchase,
    get_event_time,
)
from stream_persona.settings import Settings
from tests.support.collecting import BOUGHT, ITEM, LOOKED, REACTED, counted, read


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
        assert before <= get_event_time(event) <= time.time_ns() // 1_000_000
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
