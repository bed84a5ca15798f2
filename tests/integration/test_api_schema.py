"""The API keeps what its own description promises: schemathesis generates requests from it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase
from hypothesis import settings as examples
from hypothesis import strategies as st
from schemathesis import Case
from schemathesis.specs.openapi.checks import negative_data_rejection

from stream_persona.api import create_api
from stream_persona.domain import taxonomy as taxonomies
from stream_persona.domain.events import MAX_ID_BYTES, format_rfc3339
from stream_persona.domain.identity import NOBODY_IDS, is_customer
from stream_persona.settings import Settings
from tests.support.api import api_process, basket, running_worker
from tests.support.catalogues import lines, shop_rows
from tests.support.servers import Kafka, Redis, declare_topics, settings_for, topics_of
from tests.support.waiting import wait_until

KEY = {"Authorization": "Bearer some-key-of-a-shop"}
#: Its answer never ends, and so cannot be checked as a whole; test_api.py reads it.
ENDLESS = "/v1/changes"
#: Calls of Segment's libraries are read by one code; collector/test_calls.py makes all of them.
LIKE_TRACK_AND_BATCH = [
    "/v1/identify", "/v1/alias", "/v1/page", "/v1/screen", "/v1/group", "/v1/import",
]  # fmt: skip
#: Of a call that is no event of ours, which is left out, nothing more is looked at.
CALLS = {"/v1/track", "/v1/batch"}
#: What every route but a probe's may answer, and all may be described with.
EVERYWHERE = {"401", "403", "413", "429"}
PROBES = {"/healthz", "/readyz"}

schemathesis.openapi.format(
    "customer-id",
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=MAX_ID_BYTES).filter(
        lambda text: is_customer(text, NOBODY_IDS)
    ),
)
schemathesis.openapi.format(  # "from 1970 to 9999" is beyond what a schema can say
    "date-time", st.integers(0, 253_402_300_799_999).map(format_rfc3339)
)

LOCKED = Settings(_env_file=None, api_keys="some-key-of-a-shop")
DESCRIPTION = create_api(LOCKED, taxonomies.load(None)).openapi()
api = schemathesis.openapi.from_dict(DESCRIPTION)


@pytest.fixture(scope="module")
def address(kafka: Kafka, redis_server: Redis, tmp_path_factory: Any) -> Iterator[str]:
    """Where an API that needs a key is served; the customer of the examples is known to it."""
    folder = tmp_path_factory.mktemp("api")
    (folder / "catalogue.jsonl").write_bytes(lines(shop_rows(50)))
    settings = settings_for(
        kafka, redis_server.url, api_keys="some-key-of-a-shop",
        catalogue=folder / "catalogue.jsonl",
    )  # fmt: skip
    asyncio.run(prepare(kafka, settings))
    with api_process(settings, folder / "api.log") as (_, address):
        wait_until(lambda: httpx.get(f"{address}/readyz").is_success, 30, "not ready")
        yield address


async def prepare(kafka: Kafka, settings: Settings) -> None:
    await declare_topics(kafka, topics_of(settings), settings.partitions)
    async with running_worker(settings) as manual_worker:
        await manual_worker.feed(basket("e1", "CUST-04812", "baby/diapers", "toys"))


@api.exclude(path=ENDLESS).exclude(path=LIKE_TRACK_AND_BATCH).parametrize()
@examples(
    max_examples=22, deadline=None, derandomize=True,
    phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck),
)  # fmt: skip
def test_a_route_keeps_what_is_promised_of_it(case: Case, address: str) -> None:
    names_customer = "customer_id" in {*(case.path_parameters or ()), *(case.query or ())}
    is_lenient = names_customer or case.path in CALLS
    case.call_and_validate(
        base_url=address, headers=KEY, timeout=20,
        # What is made to violate the format of ids may be one; test_customer_ids.py has others.
        excluded_checks=[negative_data_rejection] if is_lenient else [],
    )  # fmt: skip


def test_every_route_is_described() -> None:
    for path, operations in DESCRIPTION["paths"].items():
        for operation in operations.values():
            assert operation["summary"]
            assert operation["description"]
            for status, response in operation["responses"].items():
                assert response["description"], (path, status)
                assert response["content"], (path, status)
            assert "422" not in operation["responses"]
            missing = EVERYWHERE - operation["responses"].keys()
            assert missing == ({"401", "403", "429"} if path in PROBES else set())


def test_every_answer_that_is_json_has_a_shape_and_an_example() -> None:
    schemas = DESCRIPTION["components"]["schemas"]
    for operations in DESCRIPTION["paths"].values():
        for operation in operations.values():
            for response in operation["responses"].values():
                for kind, content in response["content"].items():
                    if kind == "application/json":
                        name = content["schema"]["$ref"].rpartition("/")[2]
                        assert schemas[name]["example"], name


def test_the_routes_of_the_contract_are_there() -> None:
    assert {(path, method) for path, of in DESCRIPTION["paths"].items() for method in of} >= {
        ("/api/v1/_predict", "post"),
        ("/v1/customers/{customer_id}/persona", "get"),
        ("/v1/customers/{customer_id}/assignment", "put"),
        ("/v1/customers/{customer_id}", "delete"),
        ("/v1/rank", "post"),
        ("/v1/catalogue", "get"),
        ("/v1/catalogue/search", "get"),
        ("/v1/catalogue/bought-together", "get"),
        ("/v1/catalogue/products/{product_id}", "get"),
        ("/v1/recommendations/{customer_id}", "get"),
        ("/v1/events", "post"),
        *((path, "post") for path in (*CALLS, *LIKE_TRACK_AND_BATCH)),
        ("/v1/changes", "get"),
        ("/v1/personas", "get"),
        ("/v1/overview", "get"),
        ("/v1/history", "get"),
        ("/v1/portraits", "get"),
        ("/v1/model", "get"),
        ("/v1/queue", "get"),
        ("/healthz", "get"),
        ("/readyz", "get"),
        ("/metrics", "get"),
    }


def test_a_key_is_described_where_one_is_needed() -> None:
    for path, operations in DESCRIPTION["paths"].items():
        for operation in operations.values():
            assert bool(operation["security"]) == (path not in PROBES)
