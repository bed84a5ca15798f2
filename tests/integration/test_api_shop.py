"""The catalogue over HTTP, and recommendations by what a worker has written."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from stream_persona.domain.events import Assignment
from stream_persona.settings import Settings
from tests.support.api import (
    CATEGORIES,
    NOW,
    basket,
    becomes_ready,
    calling,
    has_model,
    running_worker,
)
from tests.support.catalogues import lines, row
from tests.support.waiting import eventually

ROWS = [
    row(1, title="Novel", category="books", popularity=9, bought_with=["P-2", "P/3"]),
    row(2, title="Dog food", category="pets/dog", price=4.0, popularity=5),
    {**row(), "product_id": "P/3", "title": "Diapers", "category": "baby/diapers", "brand": "Tiny",
     "popularity": 4},
    row(4, title="Shears", category="garden", popularity=2),
    row(5, title="Broken", price=-1),
]  # fmt: skip


@pytest.fixture
async def api(settings: Settings, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Three labelled personas, a parent who is predicted, and an ambiguous shopper."""
    (tmp_path / "catalogue.jsonl").write_bytes(lines(ROWS))
    settings = settings.model_copy(update={"catalogue": tmp_path / "catalogue.jsonl"})
    async with running_worker(settings) as hand:
        for persona, category in CATEGORIES.items():
            for n in range(3):
                customer = f"c-{persona}-{n}"
                await hand.feed(
                    basket(f"e-{customer}", customer, category),
                    Assignment(f"a-{customer}", customer, NOW, persona),
                )
        await hand.feed(*(basket(f"e-{n}", "parent", "baby/diapers", "toys") for n in range(5)))
        await hand.feed(basket("e-torn", "torn", "garden/tools"))
        async with calling(settings) as client:
            await becomes_ready(client)
            await has_model(client, hand.worker.weights.version)
            yield client


async def get(api: httpx.AsyncClient, path: str) -> dict[str, Any]:
    response = await api.get(path)
    assert response.status_code == 200, response.text
    assert response.headers["Cache-Control"] == "no-store"
    found: dict[str, Any] = response.json()
    return found


def ids(found: dict[str, Any]) -> list[str]:
    return [each.get("item", each)["product_id"] for each in found["items"]]


async def test_recommendations_are_a_ranking_of_the_whole_catalogue(
    api: httpx.AsyncClient,
) -> None:
    items = (await get(api, "/v1/catalogue/search"))["items"]
    for customer in ("parent", "c-student-0", "torn", "nobody-yet"):
        found = await get(api, f"/v1/recommendations/{customer}?limit=3&strength=2")
        body = {"customer_id": customer, "items": items, "strength": 2}
        ranked = (await api.post("/v1/rank", json=body)).json()
        shared = ("item", "position", "score", "affinity", "why")
        assert [{name: each[name] for name in shared} for each in found["items"]] == [
            {name: each[name] for name in shared} for each in ranked["items"][:3]
        ]
        for name in ("customer_id", "persona", "fallback", "group", "strength"):
            assert found[name] == ranked[name]


async def test_a_parent_is_recommended_what_parents_like_and_others_what_is_popular(
    api: httpx.AsyncClient,
) -> None:
    parent = await get(api, "/v1/recommendations?customer_id=parent&strength=3")
    assert (ids(parent)[0], parent["persona"]) == ("P/3", "parent_of_young_kids")
    assert (parent["items"][0]["position"], parent["items"][0]["why"][0]["value"]) == (
        2, "baby/diapers"
    )  # fmt: skip
    assert ids(await get(api, "/v1/recommendations/torn")) == ["P-1", "P-2", "P/3", "P-4"]
    without = await get(api, "/v1/recommendations/parent?exclude=P/3&exclude=gone")
    assert "P/3" not in ids(without)
    assert len(without["items"]) == 3


async def test_the_catalogue_is_searched_and_what_goes_together_is_found(
    api: httpx.AsyncClient,
) -> None:
    facts = await get(api, "/v1/catalogue")
    assert (facts["products"], facts["skipped"]) == (4, {"invalid_price": 1})
    assert {"category": "pets", "products": 1} in facts["categories"]
    assert ids(await get(api, "/v1/catalogue/search?q=dog")) == ["P-2"]
    assert ids(await get(api, "/v1/catalogue/search?category=baby")) == ["P/3"]
    together = await get(api, "/v1/catalogue/bought-together?product_id=P-1&product_id=gone")
    assert (ids(together), together["unknown"]) == (["P-2", "P/3"], ["gone"])
    assert (await get(api, "/v1/catalogue/products/P%2F3"))["title"] == "Diapers"
    missing = await api.get("/v1/catalogue/products/gone")
    assert (missing.status_code, missing.json()) == (
        404, {"message": "product 'gone' is not in the catalogue"}
    )  # fmt: skip


async def test_a_wrong_request_is_answered_with_400_and_one_sentence(
    api: httpx.AsyncClient,
) -> None:
    for path in (
        "catalogue/search?limit=0", "catalogue/search?limit=201", "catalogue/bought-together",
        "recommendations/parent?strength=11", "recommendations/parent?strength=nan",
        "recommendations/parent?ambiguous=perhaps", "recommendations/a%07", "recommendations",
        "recommendations/a?customer_id=b",
    ):  # fmt: skip
        response = await api.get(f"/v1/{path}")
        assert response.status_code == 400, response.text
        assert list(response.json()) == ["message"]


async def test_a_changed_file_is_in_use_without_a_restart_and_a_broken_one_is_a_trouble(
    api: httpx.AsyncClient, tmp_path: Path
) -> None:
    (tmp_path / "catalogue.jsonl").write_bytes(lines([*ROWS, row(6), row(7)]))

    async def has_six() -> bool:
        return bool((await get(api, "/v1/catalogue"))["products"] == 6)

    await eventually(has_six, 30, "the new catalogue is not read")
    (tmp_path / "catalogue.jsonl").write_bytes(b"product_id,title\nP-1,Thing\n")

    async def has_trouble() -> bool:
        overview = await get(api, "/v1/overview")
        return "catalogue" in {each["part"] for each in overview["troubles"]}

    await eventually(has_trouble, 30, "a broken catalogue is no trouble")
    assert await has_six()
    metrics = (await api.get("/metrics")).text
    assert "stream_persona_api_catalogue_file_broken 1.0" in metrics
    assert "stream_persona_api_catalogue_products 6.0" in metrics
    assert 'stream_persona_api_catalogue_skipped_rows{reason="invalid_price"} 1.0' in metrics


async def test_the_routes_of_a_catalogue_that_is_not_set_are_404_and_say_how(
    client: httpx.AsyncClient,
) -> None:
    facts = (await client.get("/v1/catalogue")).json()
    assert (facts["products"], facts["categories"]) == (0, [])
    for path in (
        "catalogue/search", "catalogue/products/a", "recommendations/c-1",
        "catalogue/bought-together?product_id=a",
    ):  # fmt: skip
        response = await client.get(f"/v1/{path}")
        assert response.status_code == 404
        assert "STREAM_PERSONA_CATALOGUE" in response.json()["message"]
