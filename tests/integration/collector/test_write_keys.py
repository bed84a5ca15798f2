"""Write keys: who may post events, and that they open nothing else."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from stream_persona.settings import Settings
from tests.support.api import becomes_ready, calling
from tests.support.collecting import BOUGHT, TABLE, VIEWED, WRITE_KEY, basic


@pytest.fixture
async def locked(declared_topics: Settings, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a key of an API that needs one, and lets a shop's pages call it."""
    keys = tmp_path / "keys.toml"
    keys.write_text(TABLE, encoding="utf-8")
    shop = {"api_keys_file": keys, "api_cors_origins": "https://shop.example"}
    async with calling(declared_topics.model_copy(update=shop)) as client:
        await becomes_ready(client)
        yield client


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
