"""The API on a real Redis and a real Kafka, behind what a worker has written."""

from __future__ import annotations

import math
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiokafka import ConsumerRecord
from redis.asyncio import Redis

from stream_persona.api import create_api
from stream_persona.demo.embedded import free_port
from stream_persona.domain import taxonomy as taxonomies
from stream_persona.domain.events import (
    ASSIGNMENT,
    DELETION,
    KINDS,
    Assignment,
    Deletion,
    Event,
    Item,
    Purchase,
    decode,
    encode,
    event_time,
)
from stream_persona.kafka.partitioner import home
from stream_persona.settings import Settings
from stream_persona.store.redis import RedisTables
from stream_persona.worker.metrics import Metrics
from stream_persona.worker.worker import Worker
from tests.support.builders import Log, Outbox, settled
from tests.support.servers import eventually, wait_until
from tests.support.shop import Shop, environment

NOW = 1_764_000_000_000
CATEGORIES = {"parent_of_young_kids": "baby/diapers", "pet_owner": "pets/dog", "student": "books"}
SEED_QUERY = {
    "from": "customer_purchases",
    "where": {"customer_id": "CUST-04812"},
    "predict": "persona",
    "select": ["$p", "$why", "persona"],
    "limit": 3,
}


class Hand:
    """A worker on real tables that is fed by hand."""

    def __init__(self, settings: Settings, tables: RedisTables) -> None:
        self.taxonomy = taxonomies.load(settings.taxonomy)
        self.worker = Worker(settings, self.taxonomy, tables, Outbox(), Log(), Metrics())
        self._settings = settings
        self._offset = 0

    async def feed(self, *events: Event) -> None:
        """Work through the events, one batch for each partition; publish the model."""
        batches: dict[int, list[ConsumerRecord[bytes, bytes]]] = {}
        for event in events:
            partition = home(event.customer_id, self._settings.partitions)
            batches.setdefault(partition, []).append(self._record(event, partition))
        for batch in batches.values():
            await self.worker.process(batch)
        await settled(self.worker)

    def _record(self, event: Event, partition: int) -> ConsumerRecord[bytes, bytes]:
        self._offset += 1
        topic = self._settings.input_topics[KINDS.index(type(event))]
        key, value = event.customer_id.encode(), encode(event)
        at = event_time(event)
        return ConsumerRecord(
            topic, partition, self._offset, at, 0, key, value, None, len(key), len(value), ()
        )


def basket(name: str, customer: str, *categories: str, at: int = NOW) -> Purchase:
    items = tuple(Item(f"p-{category}", category, price=4.0) for category in categories)
    return Purchase(name, customer, at, items)


@asynccontextmanager
async def working(settings: Settings) -> AsyncIterator[Hand]:
    """A worker that has all partitions."""
    tables = RedisTables.connect(settings.redis_url, settings.prefix)
    hand = Hand(settings, tables)
    await hand.worker.assign(range(settings.partitions))
    yield hand
    await tables.close()


@pytest.fixture
async def hand(settings: Settings) -> AsyncIterator[Hand]:
    async with working(settings) as hand:
        yield hand


@asynccontextmanager
async def calling(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an API in this process, started but perhaps not ready."""
    api = create_api(settings, taxonomies.load(settings.taxonomy))
    transport = httpx.ASGITransport(api, raise_app_exceptions=False)
    async with (
        api.router.lifespan_context(api),
        httpx.AsyncClient(transport=transport, base_url="http://api") as client,
    ):
        yield client


async def becomes_ready(client: httpx.AsyncClient) -> None:
    async def ready() -> bool:
        return (await client.get("/readyz")).status_code == 200

    await eventually(ready, 30, "the API does not become ready")


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an API that is ready; topics it may lack."""
    async with calling(settings) as client:
        await becomes_ready(client)
        yield client


async def has_model(client: httpx.AsyncClient, version: str) -> None:
    async def same() -> bool:
        found: bool = (await client.get("/v1/personas")).json()["model_version"] == version
        return found

    await eventually(same, 15, "the API does not follow the model")


def leaves(node: dict[str, Any]) -> list[float]:
    if "factors" in node:
        return [value for factor in node["factors"] for value in leaves(factor)]
    return [node["value"]]


# --- queries ---


@pytest.mark.on_cluster_too
async def test_the_seed_query_is_answered_by_the_workers_own_arithmetic(
    hand: Hand, client: httpx.AsyncClient
) -> None:
    await hand.feed(
        basket("e1", "CUST-04812", "baby/diapers", "toys"), basket("e2", "CUST-04812", "baby/food")
    )
    await has_model(client, hand.worker.weights.version)
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
    by_persona = {hit["persona"]: hit["$p"] for hit in whole.json()["hits"]}
    public = (await client.get("/v1/customers/CUST-04812/persona")).json()["distribution"]
    assert {name: round(p, 6) for name, p in by_persona.items()} == public
    assert math.fsum(by_persona.values()) == pytest.approx(1.0, rel=1e-9)


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
    hand: Hand, client: httpx.AsyncClient
) -> None:
    await hand.feed(basket("e1", "shop/c 1", "pets/dog"))
    known = await client.get("/v1/customers/shop%2Fc%201/persona")
    assert known.status_code == 200
    assert (known.json()["customer_id"], known.json()["revision"]) == ("shop/c 1", 1)
    unknown = await client.get("/v1/customers/nobody/persona")
    assert unknown.status_code == 404
    assert unknown.json() == {"message": "customer 'nobody' is not known"}
    assert (await client.get(f"/v1/customers/{'x' * 300}/persona")).status_code == 400


async def test_the_personas_tell_what_the_model_has_learned_of_each(
    hand: Hand, client: httpx.AsyncClient
) -> None:
    for number, (persona, category) in enumerate(CATEGORIES.items()):
        for n in range(number + 1):
            customer = f"c-{persona}-{n}"
            await hand.feed(
                basket(f"e-{customer}", customer, category, "books"),
                Assignment(f"a-{customer}", customer, NOW, persona),
            )
    await has_model(client, hand.worker.weights.version)
    found = (await client.get("/v1/personas")).json()
    labelled = {each["name"]: each["labelled"] for each in found["personas"]}
    assert labelled == dict.fromkeys(labelled, 0) | {
        "parent_of_young_kids": 1, "pet_owner": 2, "student": 3
    }  # fmt: skip
    assert found["labelled"] == 6
    assert found["personas"][0]["title"] == "Small-business owner"
    assert found["taxonomy_version"] == hand.taxonomy.version


# --- commands ---


async def test_an_assignment_is_on_its_topic_when_it_is_answered(
    client: httpx.AsyncClient, declared_topics: Settings
) -> None:
    body = {"persona": "student", "source": "crm", "expires_at": "2030-01-01T00:00:00Z"}
    response = await client.put("/v1/customers/c1/assignment", json=body)
    assert response.status_code == 202
    async with Redis.from_url(declared_topics.redis_url) as redis:
        found = await Shop(declared_topics, redis).read(declared_topics.topic_assignments)
    assert [record.key for record in found] == [b"c1"]
    assert found[0].partition == home("c1", declared_topics.partitions)
    event = decode(ASSIGNMENT, found[0].value)
    assert isinstance(event, Assignment)
    assert encode(event) == response.content
    assert (event.persona, event.source) == ("student", "crm")


async def test_null_withdraws_an_assignment(
    client: httpx.AsyncClient, declared_topics: Settings
) -> None:
    response = await client.put("/v1/customers/c1/assignment", json={"persona": None})
    assert response.status_code == 202
    assert response.json()["persona"] is None


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({}, "persona: is required"),
        ({"persona": "astronaut"}, "persona: expected one of small_business_owner, .* 'astronaut'"),
        ({"persona": 3}, "persona: input should be"),
        ({"persona": "student", "expires_at": "tomorrow"}, "expires_at"),
        ({"persona": "student", "expires_at": -5}, "expires_at"),
        ({"persona": "student", "source": "x" * 2_000}, "source"),
        ({"persona": "student", "until": 3}, "until: is not known here"),
    ],
)
async def test_a_wrong_assignment_is_refused_and_not_sent(
    client: httpx.AsyncClient, body: dict[str, Any], sentence: str
) -> None:
    response = await client.put("/v1/customers/c1/assignment", json=body)
    assert response.status_code == 400
    assert re.search(sentence, response.json()["message"])


async def test_a_deletion_is_on_its_topic_when_its_receipt_is_given(
    client: httpx.AsyncClient, declared_topics: Settings
) -> None:
    response = await client.delete("/v1/customers/c1")
    assert response.status_code == 202
    assert set(response.json()) == {"request_id", "customer_id", "requested_at"}
    async with Redis.from_url(declared_topics.redis_url) as redis:
        (found,) = await Shop(declared_topics, redis).read(declared_topics.topic_deletions)
    event = decode(DELETION, found.value)
    assert isinstance(event, Deletion)
    assert event.request_id == response.json()["request_id"]


async def test_only_customers_can_be_deleted(client: httpx.AsyncClient) -> None:
    for path in ("/v1/customers/c1/assignment", "/v1/customers/c1/persona", "/v1/personas"):
        response = await client.delete(path)
        assert response.status_code == 405
        assert list(response.json()) == ["message"]


# --- operations ---


async def test_without_a_broker_lookups_work_and_commands_are_503(
    settings: Settings, hand: Hand
) -> None:
    await hand.feed(basket("e1", "c1", "pets/dog"))
    away = settings.model_copy(update={"brokers": f"127.0.0.1:{free_port()}"})
    async with calling(away) as client:
        assert (await client.get("/v1/customers/c1/persona")).status_code == 200
        assert (await client.get("/healthz")).status_code == 200
        response = await client.delete("/v1/customers/c1")
        assert (response.status_code, list(response.json())) == (503, ["message"])
        assert "kafka" in (await client.get("/readyz")).json()["missing"]


async def test_without_redis_it_says_so_and_stays_up(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream_persona.api.dependencies.PATIENCE", 0.5)
    away = settings.model_copy(update={"redis_url": f"redis://127.0.0.1:{free_port()}/0"})
    async with calling(away) as client:
        ready = await client.get("/readyz")
        assert ready.status_code == 503
        assert {"redis", "model", "changes"} <= set(ready.json()["missing"])
        assert (await client.get("/v1/customers/c1/persona")).status_code == 503
        predicted = await client.post("/api/v1/_predict", json=SEED_QUERY)
        assert predicted.status_code == 503
        assert "Redis" in predicted.json()["message"]
        assert (await client.get("/healthz")).status_code == 200


async def test_the_figures_count_requests_by_route(client: httpx.AsyncClient) -> None:
    await client.get("/v1/customers/secret-name/persona")
    await client.get("/no/such/thing")
    figures = (await client.get("/metrics")).text
    route = "/v1/customers/{customer_id:path}/persona"
    counted = f'requests_total{{method="GET",route="{route}",status="404"}} 1.0'
    assert f"stream_persona_api_{counted}" in figures
    assert 'route="unmatched"' in figures
    assert "secret-name" not in figures


async def test_the_page_brings_everything_it_uses(client: httpx.AsyncClient) -> None:
    page = await client.get("/")
    assert page.status_code == 200
    assert "default-src 'self'" in page.headers["content-security-policy"]
    used = re.findall(r'(?:src|href)="([^"#]+)"', page.text)
    assert used
    for path in used:
        assert path.startswith("/")
        assert (await client.get(path)).status_code == 200, path


async def test_a_path_that_is_not_there_is_a_sentence_too(client: httpx.AsyncClient) -> None:
    response = await client.get("/v1/nothing")
    assert response.status_code == 404
    assert response.json() == {"message": "there is no GET /v1/nothing"}


# --- the process and its stream of changes ---


@contextmanager
def process(settings: Settings, log: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """``stream-persona api`` as an operator runs it, and the address that it logs."""
    with log.open("wb") as output:
        popen = subprocess.Popen(
            [sys.executable, "-m", "stream_persona", "api"],
            env=environment(settings), cwd=log.parent, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        pattern = r"listening on (http://\S+)"
        wait_until(lambda: re.search(pattern, log.read_text()) or popen.poll() is not None, 60)
        found = re.search(pattern, log.read_text())
        assert found, log.read_text()
        yield popen, found[1]
    finally:
        popen.kill()
        popen.wait()


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
    settings: Settings, hand: Hand, tmp_path: Path
) -> None:
    with process(settings, tmp_path / "api.log") as (popen, address):
        async with httpx.AsyncClient(base_url=address, timeout=30) as client:
            await becomes_ready(client)
            async with listening(client) as first:
                await hand.feed(basket("e1", "c1", "pets/dog"))
                seen = await first.next("id")
                change = httpx.Response(200, text=await first.next("data")).json()
            assert (change["change_id"], change["customer_id"]) == (seen, "c1")

            await hand.feed(basket("e2", "c2", "baby/diapers"))
            async with listening(client, last_id=seen) as second:
                missed = httpx.Response(200, text=await second.next("data")).json()
                assert missed["customer_id"] == "c2"
                await hand.feed(Deletion("d1", "c1", NOW + 1))
                assert '"deleted":true' in await second.next("data")

                popen.send_signal(signal.SIGTERM)
                assert await second.ends()
        assert popen.wait(timeout=20) == 0
