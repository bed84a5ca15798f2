"""``POST /v1/rank``: the client's ``rank`` over HTTP, by what a worker has written."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import httpx
import pytest

from stream_persona.api.rank import EXAMPLE
from stream_persona.client import AsyncPersonaClient
from stream_persona.client.ranking import Ranked, is_held_out
from stream_persona.demo.embedded import find_free_port
from stream_persona.domain.events import Assignment
from stream_persona.domain.taxonomy import load
from stream_persona.model.explain import compute_affinities
from stream_persona.settings import Settings
from stream_persona.store.ranking_tables import save_common
from stream_persona.store.redis import RedisTables
from tests.support.api import (
    CATEGORIES,
    NOW,
    ManualWorker,
    basket,
    becomes_ready,
    calling,
    has_model,
    running_worker,
)
from tests.support.waiting import eventually

#: The last one would come first, as the caller has them.
ITEMS = [
    {"product_id": "P-1", "category": "books", "score": 0.2, "id": 17, "title": "Novel"},
    {"product_id": "p-pets/dog", "category": "pets/dog", "price": 4.0, "score": 0.9},
    {"product_id": "P-3", "category": "baby/diapers", "brand": "Tiny", "score": 0.9, "price": None},
    {"product_id": "P-4", "attributes": {"colour": "red"}, "url": {"path": ["a", 1, None]}},
    {"product_id": "P-5", "category": "garden", "score": 1},
]


class Shop(NamedTuple):
    """A worker, and an API that has read its model."""

    hand: ManualWorker
    api: httpx.AsyncClient


@pytest.fixture
async def shop(settings: Settings) -> AsyncIterator[Shop]:
    """Three labelled personas, a parent who is predicted, and an ambiguous shopper."""
    async with running_worker(settings.model_copy(update={"tastes": True})) as hand:
        for persona, category in CATEGORIES.items():
            for n in range(3):
                customer = f"c-{persona}-{n}"
                await hand.feed(
                    basket(f"e-{customer}", customer, category),
                    Assignment(f"a-{customer}", customer, NOW, persona),
                )
        await hand.feed(*(basket(f"e-{n}", "parent", "baby/diapers", "toys") for n in range(5)))
        await hand.feed(basket("e-torn", "torn", "garden/tools"))
        async with calling(settings) as api:  # its first look finds all of it
            await becomes_ready(api)
            await has_model(api, hand.worker.weights.version)
            yield Shop(hand, api)


async def rank(api: httpx.AsyncClient, customer: str, **more: Any) -> dict[str, Any]:
    response = await api.post("/v1/rank", json={"customer_id": customer, "items": ITEMS, **more})
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def as_dict(ranked: Ranked) -> dict[str, Any]:
    return {
        **ranked._asdict(),
        "why": [reason._asdict() for reason in ranked.why],
        "why_own": [reason._asdict() for reason in ranked.why_own],
    }


def keep_order() -> list[dict[str, Any]]:
    """The items in the caller's order, with the caller's scores."""
    return [
        {"item": item, "position": n, "score": item.get("score", 1 / (n + 1)), "affinity": 1.0,
         "why": [], "own": 1.0, "why_own": []}
        for n, item in enumerate(ITEMS)
    ]  # fmt: skip


@pytest.mark.parametrize(
    "choice",
    [
        {"strength": 0.0},
        {"strength": 1.0},
        {"strength": 2.5, "own": 0.5},
        {"strength": 0.0, "own": 1.5, "ambiguous": "mixture"},
        {"strength": 1.0, "ambiguous": "mixture"},
    ],
)
async def test_the_route_ranks_as_the_client_does(
    shop: Shop, settings: Settings, choice: dict[str, Any]
) -> None:
    weights, names = shop.hand.worker.weights, shop.hand.worker._tokenizer.names
    tables = RedisTables.connect(settings.redis_url, settings.prefix)
    await tables.save_affinities(compute_affinities(weights, names.join_names))
    await save_common(tables, weights, names, load(settings.taxonomy))
    options: Any = {"prefix": settings.prefix, "timeout": 5.0, "cluster": await is_cluster(tables)}
    async with AsyncPersonaClient(settings.redis_url, **options) as client:
        for customer in ("parent", "c-student-0", "torn", "nobody"):
            expected = await client.rank(ITEMS, customer, **choice)
            found = await rank(shop.api, customer, **choice)
            assert found["items"] == [as_dict(ranked) for ranked in expected.items]
            assert (found["persona"], found["fallback"], found["own_fallback"]) == (
                expected.shopper.persona, expected.fallback, expected.own_fallback
            )  # fmt: skip
    await tables.close()


async def is_cluster(tables: RedisTables) -> bool:
    return "Cluster" in await tables.ping()


async def test_a_parent_is_shown_what_parents_like(shop: Shop) -> None:
    found = await rank(shop.api, "parent")
    assert (found["persona"], found["fallback"], found["group"], found["strength"]) == (
        "parent_of_young_kids", None, "treatment", 1.0
    )  # fmt: skip
    first = found["items"][0]
    assert first["item"] == ITEMS[2]
    assert (first["position"], first["why"][0]["value"]) == (2, "baby/diapers")
    assert first["score"] == pytest.approx(0.9 * first["affinity"])
    assert first["affinity"] > 1.5


async def test_an_assigned_persona_ranks_alone(shop: Shop) -> None:
    customer = "parent"
    predicted = await rank(shop.api, customer)
    await shop.hand.feed(Assignment("a-new", customer, NOW + 1, "pet_owner"))
    assigned = await rank(shop.api, customer)
    assert predicted["items"][0]["item"] == ITEMS[2]
    assert (assigned["persona"], assigned["items"][0]["item"]) == ("pet_owner", ITEMS[1])


@pytest.mark.parametrize(("customer", "reason"), [("nobody", "unknown"), ("torn", "ambiguous")])
async def test_items_keep_the_callers_order_exactly_without_a_persona(
    shop: Shop, customer: str, reason: str
) -> None:
    found = await rank(shop.api, customer)
    assert (found["persona"], found["fallback"], found["group"]) == (None, reason, "treatment")
    assert found["items"] == keep_order()


async def test_an_ambiguous_shopper_is_ranked_by_own_tastes_where_these_are_asked_for(
    shop: Shop,
) -> None:
    found = await rank(shop.api, "torn", own=0.5)
    assert (found["persona"], found["fallback"], found["own_fallback"]) == (None, "ambiguous", None)
    assert (found["own"], found["ambiguous"]) == (0.5, "baseline")
    moved = {each["position"]: each for each in found["items"]}
    assert {each["affinity"] for each in moved.values()} == {1.0}
    assert moved[4]["own"] == 1.0  # a garden: nobody else has one, so that nobody may be told
    assert moved[1]["own"] < 1.0
    (reason,) = moved[1]["why_own"]
    assert (reason["feature"], reason["value"], reason["lift"] < 1) == (
        "category",
        "pets/dog",
        True,
    )


async def test_the_mixture_of_ambiguous_shoppers_can_be_what_the_api_is_set_to(
    shop: Shop, settings: Settings
) -> None:
    mixed = settings.model_copy(update={"rank_ambiguous": "mixture"})
    async with calling(mixed) as api:
        await becomes_ready(api)
        await has_model(api, shop.hand.worker.weights.version)
        found = await rank(api, "torn")
        assert (found["persona"], found["fallback"], found["ambiguous"]) == (None, None, "mixture")
        assert {each["affinity"] for each in found["items"]} != {1.0}
        assert (await rank(api, "torn", ambiguous="baseline"))["items"] == keep_order()


async def test_held_out_customers_keep_the_order_and_have_a_group_of_their_own(
    shop: Shop, settings: Settings
) -> None:
    half = settings.model_copy(update={"rank_holdout": 0.5, "rank_salt": "autumn"})
    customers = ["parent", *(f"c-{persona}-0" for persona in CATEGORIES)]
    async with calling(half) as api:
        await becomes_ready(api)
        groups = set()
        for customer in customers:
            found = await rank(api, customer)
            held_out = is_held_out(customer, 0.5, "autumn")
            assert found["group"] == ("holdout" if held_out else "treatment")
            assert found["fallback"] == ("holdout" if held_out else None)
            assert (found["items"] == keep_order()) == held_out
            groups.add(found["group"])
    assert groups == {"holdout", "treatment"}


async def test_a_thousand_items_are_ranked_and_one_more_is_refused(shop: Shop) -> None:
    body = {"customer_id": "parent", "items": [ITEMS[n % 5] for n in range(1_000)]}
    response = await shop.api.post("/v1/rank", json=body)
    assert response.status_code == 200
    positions = [ranked["position"] for ranked in response.json()["items"]]
    assert sorted(positions) == list(range(1_000))
    body["items"] = [*body["items"], ITEMS[0]]
    response = await shop.api.post("/v1/rank", json=body)
    assert response.status_code == 400
    assert "items: tuple should have at most 1000 items" in response.json()["message"]


async def test_the_route_is_unavailable_without_redis(settings: Settings) -> None:
    away = settings.model_copy(update={"redis_url": f"redis://127.0.0.1:{find_free_port()}/0"})
    async with calling(away) as api:
        response = await api.post("/v1/rank", json=EXAMPLE)
    assert response.status_code == 503
    assert list(response.json()) == ["message"]


async def test_the_documented_example_is_answered(shop: Shop) -> None:
    assert (await shop.api.post("/v1/rank", json=EXAMPLE)).status_code == 200


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"{}", "customer_id: is required"),
        (b'{"customer_id": "a"}', "items: is required"),
        (b'{"customer_id": "a", "items": []}', "items: tuple should have at least 1 item"),
        (b'{"customer_id": "a", "items": [3]}', "items.0: input should be"),
        (b'{"customer_id": "a", "items": [{"price": -1}]}', "items.0.price: input should be"),
        (b'{"customer_id": "a", "items": [{"price": "4"}]}', "items.0.price: input should be"),
        (b'{"customer_id": "a", "items": [{"score": NaN}]}', "items.0.score: input should be"),
        (b'{"customer_id": "a", "items": [{"score": true}]}', "items.0.score: input should be"),
        (b'{"customer_id": "a", "items": [{"category": 3}]}', "items.0.category: input should be"),
        (b'{"customer_id": "a", "items": [{"attributes": {"a": 1}}]}', "items.0.attributes.a: "),
        (b'{"customer_id": "a", "items": [{"x": "\\ud800"}]}', "items: .* can't be sent back"),
        (b'{"customer_id": "a", "items": [{"x": ' + b"[" * 900 + b"]" * 900 + b"}]}", "items|body"),
        (b'{"customer_id": "a\\u0007", "items": [{}]}', "customer_id has characters"),
        (b'{"customer_id": "a", "items": [{}], "strength": 11}', "strength: input should be"),
        (b'{"customer_id": "a", "items": [{}], "own": 11}', "own: input should be"),
        (b'{"customer_id": "a", "items": [{}], "ambiguous": "both"}', "ambiguous: input should be"),
        (b'{"customer_id": "a", "items": [{}], "how": 1}', "how: is not known here"),
    ],
)
async def test_a_wrong_request_is_answered_with_400_and_one_sentence(
    client: httpx.AsyncClient, body: bytes, sentence: str
) -> None:
    headers = {"Content-Type": "application/json"}
    response = await client.post("/v1/rank", content=body, headers=headers)
    assert response.status_code == 400, response.text
    assert list(response.json()) == ["message"]
    assert re.search(sentence, response.json()["message"]), response.text


async def test_rankings_follow_the_model(shop: Shop) -> None:
    before = await rank(shop.api, "parent")
    for n in range(6):
        customer = f"c-more-{n}"
        await shop.hand.feed(
            basket(f"e-{customer}", customer, "toys", "garden"),
            Assignment(f"a-{customer}", customer, NOW, "parent_of_young_kids"),
        )

    async def moved() -> bool:
        found = await rank(shop.api, "parent")
        liked = {each["position"]: each["affinity"] for each in found["items"]}
        unliked = {each["position"]: each["affinity"] for each in before["items"]}
        return liked[4] > unliked[4]

    await eventually(moved, 20, "the affinities do not follow the model")
