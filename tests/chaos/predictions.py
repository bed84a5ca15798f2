"""Checks ``_predict`` of every customer at rest: Redis gives what the oracle gives, bit for bit."""

from collections.abc import Mapping
from typing import Any

import httpx

from stream_persona.api import create_api
from stream_persona.api.model_reader import ModelReader
from stream_persona.api.predict import PersonaQuery, answer_prediction, describe_customer
from stream_persona.domain.record import Record
from stream_persona.domain.tokenizer import Tokenizer
from stream_persona.model.weights import Weights
from stream_persona.store.blas import limit_blas_threads
from stream_persona.store.redis import RedisTables
from tests.chaos.verdict import Verdict
from tests.support.shop import Shop
from tests.support.waiting import eventually

#: Customers whose predictions are requested over HTTP as well.
OVER_HTTP = 10


async def check_predictions(shop: Shop, oracle: Mapping[str, Record], verdict: Verdict) -> None:
    """Check the answer for every customer, read from Redis as the API does; a few over HTTP too."""
    limit_blas_threads()
    tables = RedisTables.connect(shop.settings.redis_url, shop.settings.prefix)
    reader = ModelReader(shop.settings, shop.taxonomy, tables)
    await reader.refresh()
    weights, name_of = shop.fit(dict(oracle)), Tokenizer(shop.taxonomy).names.name_slot
    for name, record in oracle.items():
        query = PersonaQuery(where={"customer_id": name})
        found = answer_prediction(query, await reader.load_subject(name), reader.model.weights)
        shopper = describe_customer(record.counts, shop.taxonomy, name_of)
        expected = answer_prediction(query, shopper, weights)
        if found != expected:
            verdict.add("predict", name, describe_difference(found, expected))
    await tables.close()
    await check_over_http(shop, oracle, weights, verdict)


def describe_difference(found: dict[str, Any], expected: dict[str, Any]) -> str:
    """Name the first probabilities that differ."""
    ours = {hit["persona"]: hit["$p"] for hit in found["hits"]}
    pairs = [(hit["persona"], ours.get(hit["persona"]), hit["$p"]) for hit in expected["hits"]]
    lines = [f"{name} {mine!r}, not {other!r}" for name, mine, other in pairs if mine != other]
    return "; ".join(lines[:2]) or "another order"


async def check_over_http(
    shop: Shop, oracle: Mapping[str, Record], weights: Weights, verdict: Verdict
) -> None:
    """Check the answers of ``POST /api/v1/_predict``."""
    api, name_of = (
        create_api(shop.settings, shop.taxonomy),
        Tokenizer(shop.taxonomy).names.name_slot,
    )
    async with (
        api.router.lifespan_context(api),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(api), base_url="http://127.0.0.1"
        ) as client,
    ):

        async def ready() -> bool:
            version = api.state.dependencies.reader.model.weights.version
            return (await client.get("/readyz")).status_code == 200 and version == weights.version

        try:
            await eventually(ready, 30)
        except AssertionError:
            verdict.add("predict", "", "the API never had the oracle's model")
        for name in sorted(oracle)[:: max(1, len(oracle) // OVER_HTTP)]:
            query = {"from": "customer_purchases", "where": {"customer_id": name}}
            found = (await client.post("/api/v1/_predict", json=query)).json()
            shopper = describe_customer(oracle[name].counts, shop.taxonomy, name_of)
            if found != answer_prediction(PersonaQuery(where=query["where"]), shopper, weights):
                verdict.add("predict", name, "another answer over HTTP")
