"""Customers of any id are found, assigned and deleted over HTTP; nobody is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast
from urllib.parse import quote

import httpx
import pytest
from fastapi import FastAPI

from stream_persona.api import problems
from stream_persona.api.dependencies import Dependencies
from stream_persona.api.model_reader import ModelReader
from stream_persona.api.rank import Ranker
from stream_persona.api.routes import commands, customers, queries
from stream_persona.domain.events import Assignment, Deletion, get_event_time
from stream_persona.kafka.commands import make_assignment, make_deletion
from stream_persona.settings import Settings
from stream_persona.store.memory import MemoryTables
from stream_persona.store.redis import RedisTables
from tests.support.constants import NOW
from tests.support.events import shop
from tests.support.public_records import record

SHOP = shop()
#: Those that a path cannot hold, and some that it can.
IDS = (
    "..", ".", "x/persona", "x/activity", "persona", "assignment", "/", "//", "a/../b", "a b",
    "a+b", "a%2Fb", "%2F", "100%", "?a=b&c", "#", "Zoë", "顧客", "a;b", "x" * 256,
)  # fmt: skip
NOBODY = ("", " ", "undefined", "NULL", "Guest", "0", "00000000-0000-0000-0000-000000000000")
LOOKUPS = ("persona", "activity", "flips")


class RecordingCommands:
    """Sends nothing; refuses what the real one refuses."""

    def __init__(self) -> None:
        self.sent: list[Assignment | Deletion] = []

    async def assign(self, customer_id: str, *given: Any) -> Assignment:
        command = make_assignment(SHOP, customer_id, *given, at=NOW)
        self.sent.append(command)
        return command

    async def delete(self, customer_id: str) -> Deletion:
        command = make_deletion(customer_id, at=NOW)
        self.sent.append(command)
        return command


class Everybody(MemoryTables):
    """Has a public record of everybody, and no private one."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    async def load_public(self, customer_id: str) -> bytes | None:
        self.asked.append(customer_id)
        return record(customer_id)

    async def load(self, customers: Sequence[str]) -> dict[str, bytes]:
        self.asked += customers
        return await super().load(customers)


class Api:
    """The routes of customers, with a client of theirs, and what they have done."""

    def __init__(self) -> None:
        settings = Settings(_env_file=None, brokers="127.0.0.1:1", rank_holdout=1.0)
        self.tables, self.commands = Everybody(), RecordingCommands()
        tables = cast("RedisTables", self.tables)
        reader = ModelReader(settings, SHOP, tables)
        built = replace(
            Dependencies.build(settings, SHOP), tables=tables, reader=reader,
            commands=cast("Any", self.commands), ranker=Ranker(settings, SHOP, tables, reader),
        )  # fmt: skip
        app = FastAPI()
        problems.install_handlers(app)
        for routes in (queries, customers, commands):
            app.include_router(routes.build_router(built))
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api")


@pytest.fixture(scope="module")
def made() -> Api:
    return Api()


@pytest.fixture
def api(made: Api) -> Api:
    """The one of this module, that has done nothing."""
    made.tables.asked.clear()
    made.commands.sent.clear()
    return made


@pytest.mark.parametrize("customer", IDS)
async def test_a_customer_of_any_id_is_looked_up_assigned_and_deleted(
    api: Api, customer: str
) -> None:
    named = {"customer_id": customer}
    found = await api.client.get("/v1/customers/persona", params=named)
    assert found.status_code == 200
    assert found.json()["customer_id"] == customer
    for path in LOOKUPS[1:]:  # of whom there is no private record here
        assert (await api.client.get(f"/v1/customers/{path}", params=named)).status_code == 404
    assert api.tables.asked == [customer] * 3
    body = {"persona": "parent"}
    assigned = await api.client.put("/v1/customers/assignment", params=named, json=body)
    deleted = await api.client.delete("/v1/customers", params=named)
    assert [assigned.status_code, deleted.status_code] == [202, 202]
    assert [each.customer_id for each in api.commands.sent] == [customer] * 2
    assert deleted.json()["customer_id"] == customer


@pytest.mark.parametrize("customer", ["C-1", "persona", "a b", "Zoë", "shop/c 1"])
async def test_a_customer_is_named_in_the_path_as_before(api: Api, customer: str) -> None:
    path = f"/v1/customers/{quote(customer, safe='')}"
    assert (await api.client.get(f"{path}/persona")).json()["customer_id"] == customer
    assert (await api.client.delete(path)).json()["customer_id"] == customer


@pytest.mark.parametrize("customer", NOBODY)
async def test_nobody_is_unknown_and_no_command_is_about_nobody(api: Api, customer: str) -> None:
    named, path = {"customer_id": customer}, f"/v1/customers/{quote(customer, safe='')}"
    for lookup in LOOKUPS:
        for asked in (f"{path}/{lookup}", f"/v1/customers/{lookup}"):
            params = None if asked.startswith(f"{path}/") else named
            answer = await api.client.get(asked, params=params)
            assert answer.status_code == 404, asked
            assert answer.json() == {"message": f"customer {customer!r} is not known"}
    body = {"persona": "parent"}
    refusals = [
        await api.client.put("/v1/customers/assignment", params=named, json=body),
        await api.client.put(f"{path}/assignment", json=body),
        await api.client.delete("/v1/customers", params=named),
        await api.client.delete(f"{path}"),
    ]
    assert [refusal.status_code for refusal in refusals] == [400] * 4
    assert all("stands for nobody" in refusal.json()["message"] for refusal in refusals)
    assert not api.commands.sent
    assert not api.tables.asked


async def test_nobody_is_ranked_and_predicted_as_somebody_unknown(api: Api) -> None:
    items = [{"product_id": "a", "score": 1.0}, {"product_id": "b", "score": 2.0}]
    for customer in NOBODY:
        body = {"customer_id": customer, "items": items}
        ranked = (await api.client.post("/v1/rank", json=body)).json()
        assert (ranked["fallback"], ranked["persona"]) == ("unknown", None)
        assert [each["item"]["product_id"] for each in ranked["items"]] == ["a", "b"]
        query = {"where": {"customer_id": customer}}
        predicted = (await api.client.post("/api/v1/_predict", json=query)).json()
        stranger = {"where": {"customer_id": "a stranger"}}
        assert predicted == (await api.client.post("/api/v1/_predict", json=stranger)).json()
    assert set(api.tables.asked) == {"a stranger"}


@pytest.mark.parametrize("customer", [" C1", "C1 ", "C1\u3000", "a\nb", "\u202e", "é" * 200])
async def test_an_id_that_no_customer_can_have_is_refused(api: Api, customer: str) -> None:
    named = {"customer_id": customer}
    for method, path in (("GET", "/persona"), ("GET", "/flips"), ("DELETE", "")):
        refused = await api.client.request(method, f"/v1/customers{path}", params=named)
        assert refused.status_code == 400
        assert refused.json()["message"].startswith("customer_id ")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/v1/customers/persona?customer_id=.."),
        ("DELETE", "/v1/customers/C-1?customer_id=C-2"),
        ("DELETE", "/v1/customers?customer_id=C-1&customer_id=C-2"),
        ("GET", "/v1/customers/C-1/persona?customer_id=C-2"),
        ("GET", "/v1/customers/persona?customer_id=C-1&customer_id=C-2"),
        ("GET", "/v1/customers/C-1/flips?customer_id="),
        ("DELETE", "/v1/customers"),
        ("GET", "/v1/customers/persona"),
    ],
)
async def test_a_request_that_does_not_name_one_customer_is_refused(
    api: Api, method: str, path: str
) -> None:
    refused = await api.client.request(method, path)
    assert refused.status_code == 400
    assert "customer_id" in refused.json()["message"]
    assert not api.commands.sent


async def test_a_deletion_whose_path_is_a_lookup_says_how_to_name_the_customer(api: Api) -> None:
    refused = await api.client.delete("/v1/customers/x/persona")
    assert refused.status_code == 405
    assert "DELETE /v1/customers?customer_id=" in refused.json()["message"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (1_893_456_000, 1_893_456_000_000),
        (1_893_456_000.25, 1_893_456_000_250),
        (1_893_456_000_000, 1_893_456_000_000),
        (1_893_456_000_000_000, 1_893_456_000_000),
        (1_893_456_000_000_000_000, 1_893_456_000_000),
        ("2030-01-01T01:00:00+01:00", 1_893_456_000_000),
        (86_400, 86_400_000),
    ],
)
async def test_an_assignment_may_end_at_a_time_of_any_unit(
    api: Api, given: object, expected: int
) -> None:
    body = {"persona": "parent", "expires_at": given}
    response = await api.client.put("/v1/customers/C-1/assignment", json=body)
    assert response.status_code == 202
    (sent,) = api.commands.sent
    assert isinstance(sent, Assignment)
    assert sent.expires_at is not None
    assert get_event_time(Deletion("r", "c", sent.expires_at)) == expected


@pytest.mark.parametrize(
    "given", [-1, True, "1893456000", "2030-01-01", "2030-01-01T00:00:00", "soon", 1e30, [], {}]
)
async def test_an_assignment_with_an_end_that_is_no_time_is_refused_with_the_forms_of_times(
    api: Api, given: object
) -> None:
    body = {"persona": "parent", "expires_at": given}
    response = await api.client.put("/v1/customers/C-1/assignment", json=body)
    assert response.status_code == 400
    message = response.json()["message"]
    assert message.startswith("expires_at: ")
    assert "RFC 3339" in message
    assert "nanoseconds" in message
    assert not api.commands.sent
