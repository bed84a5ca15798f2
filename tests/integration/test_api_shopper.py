"""A shopper's page: their activity and counterfactuals, on a real Kafka and a real Redis."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from aiokafka import ConsumerRecord

from stream_persona.api.customer_log import SECONDS
from stream_persona.demo.embedded import find_free_port
from stream_persona.domain import taxonomy as taxonomies
from stream_persona.domain.events import (
    Assignment,
    Browse,
    Deletion,
    Engagement,
    Event,
    Item,
    Purchase,
)
from stream_persona.kafka.log_reader import KafkaEventLog
from stream_persona.kafka.partitioner import find_home_partition
from stream_persona.kafka.publisher import KafkaPublisher
from stream_persona.settings import Settings
from stream_persona.store.redis import RedisTables
from stream_persona.worker.metrics import Metrics
from tests.support.api import CATEGORIES, NOW, basket, becomes_ready, calling, has_model
from tests.support.servers import (
    EmbeddedKafka,
    Kafka,
    Redis,
    declare_topics,
    settings_for,
    topics_of,
)
from tests.support.shop import Shop
from tests.support.workers import PatientWorker, settle

DAY = 86_400_000


class Floor:
    """A shop whose one worker, stepped by tests, reads from Kafka and publishes to it."""

    def __init__(self, settings: Settings, worker: PatientWorker) -> None:
        self.settings, self.worker = settings, worker
        self.shop = Shop(settings, None)  # type: ignore[arg-type]  # it asks Kafka only
        self._seen: set[tuple[str, int, int]] = set()

    async def happen(self, *events: Event, partition: int | None = None) -> None:
        """Produce events and let the worker apply them, also those that are rerouted."""
        await self.shop.produce(*events, partition=partition)
        while batch := await self._unseen():
            await self.worker.process(batch)
        await settle(self.worker)

    async def _unseen(self) -> list[ConsumerRecord[bytes, bytes]]:
        names = [*self.settings.input_topics, self.settings.topic_reroutes]
        held = [raw for name in names for raw in await self.shop.read(name)]
        fresh = [raw for raw in held if (raw.topic, raw.partition, raw.offset) not in self._seen]
        self._seen |= {(raw.topic, raw.partition, raw.offset) for raw in fresh}
        return fresh


@asynccontextmanager
async def opened(kafka: Kafka, settings: Settings) -> AsyncIterator[Floor]:
    """A shop with all its topics, and a worker that has all partitions."""
    await declare_topics(kafka, topics_of(settings), settings.partitions)
    taxonomy = taxonomies.load(settings.taxonomy)
    tables = RedisTables.connect(settings.redis_url, settings.prefix)
    publisher, history = KafkaPublisher(settings), KafkaEventLog(settings, taxonomy)
    await publisher.start()
    worker = PatientWorker(settings, taxonomy, tables, publisher, history, Metrics())
    await worker.assign(range(settings.partitions))
    yield Floor(settings, worker)
    await publisher.stop()
    await tables.close()


@pytest.fixture
async def floor(kafka: Kafka, redis_server: Redis) -> AsyncIterator[Floor]:
    few = {} if kafka.kind == "embedded" else {"partitions": 2}  # claiming one takes a while
    async with opened(kafka, settings_for(kafka, redis_server.url, **few)) as floor:
        yield floor


@pytest.fixture
async def client(floor: Floor) -> AsyncIterator[httpx.AsyncClient]:
    async with calling(floor.settings) as client:
        await becomes_ready(client)
        yield client


@asynccontextmanager
async def fresh(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """An API without cached answers."""
    async with calling(settings) as client:
        yield client


async def activity(client: httpx.AsyncClient, customer: str = "c1") -> dict[str, Any]:
    response = await client.get(f"/v1/customers/{customer}/activity")
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


async def flips(client: httpx.AsyncClient, customer: str = "c1") -> dict[str, Any]:
    response = await client.get(f"/v1/customers/{customer}/flips")
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def ids(found: dict[str, Any]) -> list[str]:
    return [event["event_id"] for event in found["events"]]


def shares(found: dict[str, Any]) -> float:
    return math.fsum(event["share"] for event in found["events"])


def look(name: str, customer: str, category: str, at: int = NOW) -> Browse:
    return Browse(name, customer, at, "view", Item(f"p-{category}", category))


# --- activity ---


async def test_activity_lists_events_with_weights_that_add_up(
    floor: Floor, client: httpx.AsyncClient
) -> None:
    await floor.happen(
        basket("e1", "c1", "pets/dog", "books", at=NOW - 180 * DAY),
        look("e2", "c1", "pets/dog", NOW - DAY),
        Engagement("e3", "c1", NOW, "email", "click", campaign="spring"),
        basket("e4", "c2", "tools"),
    )
    found = await activity(client)
    assert ids(found) == ["e3", "e2", "e1"]
    assert [event["weight"] for event in found["events"]] == pytest.approx(
        [0.5, 0.25, 1.0], rel=0.02
    )
    assert shares(found) == pytest.approx(1, abs=1e-6)
    public = (await client.get("/v1/customers/c1/persona")).json()
    assert found["evidence"] == pytest.approx(public["evidence"], abs=1e-3)
    assert (found["clock"], found["complete"]) == (NOW, True)
    assert found["events"][0] == found["events"][0] | {
        "kind": "engagement", "occurred_at": NOW,
        "about": [
            {"feature": "action", "value": "click"}, {"feature": "channel", "value": "email"},
            {"feature": "campaign", "value": "spring"},
        ],
    }  # fmt: skip


async def test_posteriors_come_in_order_and_the_last_is_the_public_record(
    floor: Floor, client: httpx.AsyncClient
) -> None:
    await floor.happen(basket("e1", "c1", "pets/dog"))
    await floor.happen(Assignment("a1", "c1", NOW, "student", "crm"))
    await floor.happen(Assignment("a2", "c1", NOW + 1, None, "crm"))
    found = (await activity(client))["posteriors"]
    assert [each["revision"] for each in found] == list(range(1, len(found) + 1))
    assert [each["persona"] for each in found][1] == "student"
    assert [each["at"] for each in found] == sorted(each["at"] for each in found)
    assert abs(found[-1]["at"] - time.time() * 1_000) < 120_000
    public = (await client.get("/v1/customers/c1/persona")).json()
    shown = {key: public[key] for key in ("revision", "persona", "confidence", "distribution")}
    assert found[-1] == found[-1] | shown


async def test_a_deletion_empties_and_what_comes_after_begins_anew(
    floor: Floor, client: httpx.AsyncClient
) -> None:
    await floor.happen(basket("e1", "c1", "pets/dog"), basket("e2", "c1", "pets/cat"))
    assert ids(await activity(client)) == ["e2", "e1"]
    await floor.happen(Deletion("d1", "c1", NOW + 1))
    for path in ("activity", "flips"):
        gone = await client.get(f"/v1/customers/c1/{path}")
        assert (gone.status_code, gone.json()["message"]) == (404, "customer 'c1' is not known")
    await floor.happen(basket("e3", "c1", "books", at=NOW + 2 * DAY), basket("old", "c1", "tools"))
    async with fresh(floor.settings) as other:
        found = await activity(other)
    assert ids(found) == ["e3"]
    assert shares(found) == pytest.approx(1, abs=1e-6)
    assert [each["revision"] for each in found["posteriors"]] == [1]


async def test_events_that_were_rerouted_are_found(floor: Floor, client: httpx.AsyncClient) -> None:
    elsewhere = (
        find_home_partition("c1", floor.settings.partitions) + 1
    ) % floor.settings.partitions
    await floor.happen(basket("e1", "c1", "pets/dog"))
    await floor.happen(look("e2", "c1", "books", NOW + 1), partition=elsewhere)
    found = await activity(client)
    assert ids(found) == ["e2", "e1"]
    assert shares(found) == pytest.approx(1, abs=1e-6)


async def test_events_that_no_worker_has_applied_yet_are_not_listed(
    floor: Floor, client: httpx.AsyncClient
) -> None:
    await floor.happen(basket("e1", "c1", "pets/dog"))
    await floor.shop.produce(basket("e2", "c1", "books", at=NOW + 1))
    found = await activity(client)
    assert ids(found) == ["e1"]
    assert shares(found) == pytest.approx(1, abs=1e-6)


async def test_a_busy_partition_delays_an_answer_only_so_long(
    real_kafka: Kafka, floor: Floor, client: httpx.AsyncClient
) -> None:
    assert real_kafka.brokers == floor.settings.brokers
    await floor.happen(basket("e1", "c1", "pets/dog"))
    others = [(floor.settings.topic_browses, f"o{n}", b"{}" * 100) for n in range(30_000)]
    await floor.shop.produce_raw(others, find_home_partition("c1", floor.settings.partitions))
    begun = time.monotonic()
    found = await activity(client)
    assert time.monotonic() - begun < SECONDS + 2
    assert (ids(found), found["complete"]) == (["e1"], False)


async def test_unknown_customers_are_404_and_invalid_ids_are_400(
    client: httpx.AsyncClient,
) -> None:
    for path in ("activity", "flips"):
        stranger = await client.get(f"/v1/customers/nobody/{path}")
        assert stranger.status_code == 404
        assert stranger.json() == {"message": "customer 'nobody' is not known"}
        assert (await client.get(f"/v1/customers/{'x' * 300}/{path}")).status_code == 400
        refused = await client.delete(f"/v1/customers/nobody/{path}")
        assert (refused.status_code, refused.headers["allow"]) == (405, "GET")


async def test_activity_is_503_and_counterfactuals_are_answered_without_a_broker(
    floor: Floor,
) -> None:
    await floor.happen(basket("e1", "c1", "pets/dog"))
    away = floor.settings.model_copy(update={"brokers": f"127.0.0.1:{find_free_port()}"})
    async with calling(away) as client:
        response = await client.get("/v1/customers/c1/activity")
        assert (response.status_code, list(response.json())) == (503, ["message"])
        assert response.headers["retry-after"] == "1"
        assert (await client.get("/v1/customers/nobody/activity")).status_code == 404
        assert (await flips(client))["persona"] == "pet_owner"


async def test_the_embedded_broker_is_enough(redis_server: Redis) -> None:
    broker = EmbeddedKafka()
    try:
        settings = settings_for(broker, redis_server.url)
        async with opened(broker, settings) as floor, fresh(settings) as client:
            await floor.happen(basket("e1", "c1", "pets/dog"), look("e2", "c1", "books", NOW + 1))
            begun = time.monotonic()
            found = await activity(client)
            assert time.monotonic() - begun < SECONDS + 2
        assert ids(found) == ["e2", "e1"]
        assert shares(found) == pytest.approx(1, abs=1e-6)
        assert (len(found["posteriors"]), found["complete"]) == (1, True)
    finally:
        broker.close()


# --- counterfactuals ---


async def test_a_counterfactuals_events_make_its_persona_likeliest_when_they_happen(
    floor: Floor, client: httpx.AsyncClient
) -> None:
    for persona, category in CATEGORIES.items():
        for n in range(4):
            customer = f"c-{persona}-{n}"
            await floor.shop.produce(
                basket(f"e-{customer}", customer, category, "fresh"),
                Assignment(f"a-{customer}", customer, NOW, persona),
            )
    await floor.happen(basket("e1", "c1", "baby/diapers"))
    await has_model(client, floor.worker.weights.version)
    answered = await flips(client)
    assert answered["persona"] == "parent_of_young_kids"
    first = next(each for each in answered["flips"] if each["feature"] == "category")
    item = Item("p-unknown", first["value"])
    await floor.happen(*(Purchase(f"f{n}", "c1", NOW, (item,)) for n in range(first["events"])))
    public = (await client.get("/v1/customers/c1/persona")).json()
    likeliest = max(public["distribution"], key=public["distribution"].get)
    assert likeliest == first["persona"]
    assert public["distribution"][likeliest] == first["probability"]
    assert (public["persona"] == first["persona"]) == first["named"]
