"""An API that is set otherwise than the workers: what it finds, and what it does not answer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from stream_persona.api.agreement import Agreement, AgreementMiddleware
from stream_persona.errors import UnavailableError
from tests.support.deployments import CHANGED, SETTINGS, SHOP, SLOWER, THEIRS, descriptor
from tests.support.faulty_tables import FaultyTables

GATED = [
    ("POST", "/api/v1/_predict"),
    ("POST", "/v1/rank"),
    ("GET", "/v1/personas"),
    ("GET", "/v1/changes"),
    ("GET", "/v1/customers/c1/activity"),
    ("GET", "/v1/customers/c1/flips"),
    ("PUT", "/v1/customers/c1/assignment"),
    ("DELETE", "/v1/customers/c1"),
    ("DELETE", "/v1/customers/c1/persona"),
    ("GET", "/v1/history"),
    ("GET", "/v1/portraits"),
    ("GET", "/v1/model"),
    ("GET", "/v1/queue"),
    ("GET", "/v1/whatever/comes"),
]
OPEN = [
    ("GET", "/"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
    ("GET", "/docs"),
    ("GET", "/static/app.js"),
    ("GET", "/v1/overview"),
    ("GET", "/v1/customers/c1/persona"),
]


@pytest.fixture
def tables() -> FaultyTables:
    return FaultyTables()


@pytest.fixture
def agreement(tables: FaultyTables) -> Agreement:
    return Agreement(SETTINGS, SHOP, tables)


@asynccontextmanager
async def calling(agreement: Agreement) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application that answers everything, behind the middleware."""

    async def answer(_: Request) -> PlainTextResponse:
        return PlainTextResponse("answered")

    methods = ["GET", "PUT", "POST", "DELETE"]
    app = Starlette(routes=[Route("/{path:path}", answer, methods=methods)])
    transport = httpx.ASGITransport(AgreementMiddleware(app, agreement))
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        yield client


async def test_an_api_without_workers_has_nothing_to_disagree_with(agreement: Agreement) -> None:
    await agreement.refresh()
    assert (agreement.fault, agreement.finding) == (None, None)


@pytest.mark.parametrize(
    ("stored", "name"),
    [
        (descriptor(partitions=4), "STREAM_PERSONA_PARTITIONS is 8 here and 4"),
        (descriptor(topic_changes="shifts"), "STREAM_PERSONA_TOPIC_CHANGES"),
        (descriptor(prefix="eu:"), "STREAM_PERSONA_PREFIX"),
        (descriptor(CHANGED), "STREAM_PERSONA_TAXONOMY"),
        (descriptor(SLOWER), "half_life_days"),
        (b"{", "persona-deployment"),
    ],
)
async def test_what_makes_answers_wrong_is_found_and_ends_when_it_is_mended(
    agreement: Agreement, tables: FaultyTables, stored: bytes, name: str
) -> None:
    tables.deployment = stored
    await agreement.refresh()
    assert agreement.fault is not None
    assert name in agreement.fault
    assert agreement.finding == agreement.fault
    tables.deployment = descriptor()
    await agreement.refresh()
    assert (agreement.fault, agreement.finding) == (None, None)


async def test_another_group_is_a_finding_and_makes_no_answer_wrong(
    agreement: Agreement, tables: FaultyTables
) -> None:
    tables.deployment = descriptor(group="theirs")
    await agreement.refresh()
    assert agreement.fault is None
    assert "STREAM_PERSONA_GROUP" in (agreement.finding or "")
    tables.deployment = descriptor(group="theirs", partitions=4)
    await agreement.refresh()
    assert "STREAM_PERSONA_PARTITIONS" in (agreement.fault or "")


@pytest.mark.parametrize(("method", "path"), GATED)
async def test_what_would_be_answered_wrongly_is_503_and_the_sentence(
    agreement: Agreement, tables: FaultyTables, method: str, path: str
) -> None:
    async with calling(agreement) as client:
        assert (await client.request(method, path)).text == "answered"
        tables.deployment = descriptor(partitions=4)
        await agreement.refresh()
        refused = await client.request(method, path)
    assert refused.status_code == 503
    assert refused.json() == {"message": agreement.fault}
    assert "Retry-After" in refused.headers


async def test_a_deployment_that_is_gone_makes_nobody_unknown(
    agreement: Agreement, tables: FaultyTables
) -> None:
    lookup = "/v1/customers/c1/persona"
    tables.deployment = descriptor()
    async with calling(agreement) as client:
        await agreement.refresh()
        assert (await client.get(lookup)).text == "answered"
        tables.deployment = None
        await agreement.refresh()
        for path in (lookup, "/v1/personas"):
            refused = await client.get(path)
            assert refused.status_code == 503
            assert "stream-persona rebuild" in refused.json()["message"]
        tables.deployment = descriptor(identity=THEIRS)
        await agreement.refresh()
        assert (await client.get(lookup)).text == "answered"


@pytest.mark.parametrize(("method", "path"), OPEN)
async def test_what_is_right_all_the_same_is_answered(
    agreement: Agreement, tables: FaultyTables, method: str, path: str
) -> None:
    tables.deployment = descriptor(partitions=4)
    async with calling(agreement) as client:
        await agreement.refresh()
        assert (await client.request(method, path)).text == "answered"


async def test_the_first_request_of_all_is_compared_already(
    agreement: Agreement, tables: FaultyTables
) -> None:
    tables.deployment = descriptor(partitions=4)
    async with calling(agreement) as client:
        assert (await client.get("/v1/personas")).status_code == 503


async def test_nothing_is_answered_before_redis_has_been_reached_once(
    agreement: Agreement, tables: FaultyTables
) -> None:
    tables.fail("load_deployment", UnavailableError("Redis was not usable for 2 s"), times=1)
    async with calling(agreement) as client:
        refused = await client.delete("/v1/customers/c1")
        assert (refused.status_code, refused.json()["message"][:5]) == (503, "Redis")
        assert (await client.delete("/v1/customers/c1")).text == "answered"


@pytest.mark.parametrize("stored", [descriptor(), descriptor(partitions=4)])
async def test_what_was_found_holds_while_redis_is_away(
    agreement: Agreement, tables: FaultyTables, stored: bytes
) -> None:
    tables.deployment = stored
    await agreement.refresh()
    before = agreement.fault
    tables.fail("load_deployment", UnavailableError("away"))
    with pytest.raises(UnavailableError):
        await agreement.refresh()
    assert await agreement.find_fault() == before
