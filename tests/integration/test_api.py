"""Queries of the API, and its stream of changes, on a real Redis behind what a worker wrote."""

from __future__ import annotations

import json
import math
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from stream_persona.domain.events import (
    Assignment,
    Deletion,
)
from stream_persona.pipeline.decision import to_millionths
from stream_persona.settings import Settings
from tests.support.api import (
    CATEGORIES,
    NOW,
    ManualWorker,
    api_process,
    basket,
    becomes_ready,
    has_model,
)
from tests.support.waiting import patience

SEED_QUERY = {
    "from": "customer_purchases",
    "where": {"customer_id": "CUST-04812"},
    "predict": "persona",
    "select": ["$p", "$why", "persona"],
    "limit": 3,
}


def leaves(node: dict[str, Any]) -> list[float]:
    if "factors" in node:
        return [value for factor in node["factors"] for value in leaves(factor)]
    return [node["value"]]


# --- queries ---


@pytest.mark.on_cluster_too
async def test_the_seed_query_is_answered_by_the_workers_own_arithmetic(
    manual_worker: ManualWorker, client: httpx.AsyncClient
) -> None:
    await manual_worker.feed(
        basket("e1", "CUST-04812", "baby/diapers", "toys"), basket("e2", "CUST-04812", "baby/food")
    )
    await has_model(client, manual_worker.worker.weights.version)
    response = await client.post("/api/v1/_predict", json=SEED_QUERY)
    assert response.status_code == 200
    found = response.json()
    assert (found["offset"], found["total"], len(found["hits"])) == (0, 8, 3)
    assert [list(hit) for hit in found["hits"]] == [SEED_QUERY["select"]] * 3
    assert found["hits"][0]["persona"] == "parent_of_young_kids"
    for hit in found["hits"]:
        assert math.prod(leaves(hit["$why"])) == pytest.approx(hit["$p"], rel=1e-9)
    reasons = {str(factor.get("proposition")) for factor in found["hits"][0]["$why"]["factors"]}
    assert "{'category': {'$has': 'baby/diapers'}}" in reasons

    whole = await client.post("/api/v1/_predict", json={**SEED_QUERY, "limit": 100})
    hits = json.loads(whole.text, parse_float=Decimal)["hits"]
    by_persona = {hit["persona"]: hit["$p"] for hit in hits}
    answered = (await client.get("/v1/customers/CUST-04812/persona")).text
    public = json.loads(answered, parse_float=Decimal)["distribution"]
    assert sum(by_persona.values()) == sum(public.values()) == 1
    row = np.array([[by_persona[name] for name in public]], float)
    assert to_millionths(row) == [tuple(1_000_000 * share for share in public.values())]


async def test_an_unknown_customer_is_predicted_as_anybody(client: httpx.AsyncClient) -> None:
    response = await client.post("/api/v1/_predict", json={"where": {"customer_id": "nobody"}})
    assert response.status_code == 200
    assert {hit["$p"] for hit in response.json()["hits"]} == {0.125}


async def test_a_hypothetical_shopper_is_scored(client: httpx.AsyncClient) -> None:
    response = await client.post(
        "/api/v1/_predict", json={"where": {"category": ["pets/dog", "pets/cat"]}, "limit": 1}
    )
    assert response.json()["hits"][0]["persona"] == "pet_owner"


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "body: field required|is required"),
        (b"{", "the body is not valid JSON"),
        (b"\xff", "body"),
        (b"[]", "body: input should be"),
        (b"{}", "where: is required"),
        (b'{"where": 3}', "where: input should be"),
        (b'{"where": {"customer_id": "\\ud800"}}', "cannot be printed"),
        (b'{"where": {"customer_id": "a"}, "limit": -1}', "limit: input should be"),
        (b'{"where": {"customer_id": "a"}, "select": ["x"]}', r"select\.0: input should be"),
        (b'{"where": {"customer_id": "a"}, "\\ud800": 1}', "body: input should be a valid string"),
        (b'{"where": {"customer_id": "a"}, "from": "x"}', "from: expected 'customer_purchases'"),
        (b'{"where": {"colour": "red"}}', "where.colour: expected customer_id or"),
        (b"[" * 100_000, "body"),
    ],
)
async def test_a_wrong_query_is_answered_with_400_and_one_sentence(
    client: httpx.AsyncClient, body: bytes, sentence: str
) -> None:
    headers = {"Content-Type": "application/json"}
    response = await client.post("/api/v1/_predict", content=body, headers=headers)
    assert response.status_code == 400
    assert list(response.json()) == ["message"]
    assert re.search(sentence, response.json()["message"])


@pytest.mark.on_cluster_too
async def test_a_lookup_is_the_public_record_and_of_strangers_404(
    manual_worker: ManualWorker, client: httpx.AsyncClient
) -> None:
    await manual_worker.feed(basket("e1", "shop/c 1", "pets/dog"))
    known = await client.get("/v1/customers/shop%2Fc%201/persona")
    assert known.status_code == 200
    assert (known.json()["customer_id"], known.json()["revision"]) == ("shop/c 1", 1)
    unknown = await client.get("/v1/customers/nobody/persona")
    assert unknown.status_code == 404
    assert unknown.json() == {"message": "customer 'nobody' is not known"}
    assert (await client.get(f"/v1/customers/{'x' * 300}/persona")).status_code == 400


async def test_the_personas_are_listed_with_the_number_of_labelled_customers(
    manual_worker: ManualWorker, client: httpx.AsyncClient
) -> None:
    for number, (persona, category) in enumerate(CATEGORIES.items()):
        for n in range(number + 1):
            customer = f"c-{persona}-{n}"
            await manual_worker.feed(
                basket(f"e-{customer}", customer, category, "books"),
                Assignment(f"a-{customer}", customer, NOW, persona),
            )
    await has_model(client, manual_worker.worker.weights.version)
    found = (await client.get("/v1/personas")).json()
    labelled = {each["name"]: each["labelled"] for each in found["personas"]}
    assert labelled == dict.fromkeys(labelled, 0) | {
        "parent_of_young_kids": 1, "pet_owner": 2, "student": 3
    }  # fmt: skip
    assert found["labelled"] == 6
    assert found["personas"][0]["title"] == "Small-business owner"
    assert found["taxonomy_version"] == manual_worker.taxonomy.version


# --- the stream of changes ---


class Listener:
    """Lines of one open stream of changes."""

    def __init__(self, response: httpx.Response) -> None:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        self._lines = response.aiter_lines()

    async def next(self, field: str) -> str:
        """The value of the next line of this field."""
        async for line in self._lines:
            if line.startswith(f"{field}: "):
                return line.removeprefix(f"{field}: ")
        raise AssertionError("the stream has ended")

    async def ends(self) -> bool:
        return [line async for line in self._lines if line.startswith("data")] == []


@asynccontextmanager
async def listening(client: httpx.AsyncClient, last_id: str | None = None) -> AsyncIterator[Any]:
    headers = {} if last_id is None else {"Last-Event-ID": last_id}
    async with client.stream("GET", "/v1/changes", headers=headers) as response:
        listener = Listener(response)
        await listener.next("retry")
        yield listener


@pytest.mark.on_cluster_too
async def test_changes_are_heard_caught_up_on_and_end_with_the_process(
    settings: Settings, manual_worker: ManualWorker, tmp_path: Path
) -> None:
    with api_process(settings, tmp_path / "api.log") as (popen, address):
        async with httpx.AsyncClient(base_url=address, timeout=patience(30)) as client:
            await becomes_ready(client)
            async with listening(client) as first:
                await manual_worker.feed(basket("e1", "c1", "pets/dog"))
                seen = await first.next("id")
                change = httpx.Response(200, text=await first.next("data")).json()
            assert (change["change_id"], change["customer_id"]) == (seen, "c1")

            await manual_worker.feed(basket("e2", "c2", "baby/diapers"))
            async with listening(client, last_id=seen) as second:
                missed = httpx.Response(200, text=await second.next("data")).json()
                assert missed["customer_id"] == "c2"
                await manual_worker.feed(Deletion("d1", "c1", NOW + 1))
                assert '"deleted":true' in await second.next("data")

                popen.send_signal(signal.SIGTERM)
                assert await second.ends()
        assert popen.wait(timeout=patience(20)) == 0
