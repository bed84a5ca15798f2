"""The main job through a Kafka with SASL_SSL and ACLs and a Redis with TLS and ACLs.

Each process has the rights that ``deploy/README.md`` lists for it, and no others.
"""

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from aiokafka import AIOKafkaProducer

from stream_persona.client import AsyncPersonaClient
from stream_persona.domain.events import Item, Purchase, encode
from stream_persona.kafka.connection import connection_options
from tests.support.constants import RECENT as NOW
from tests.support.kafka_node import can_run_kafka
from tests.support.rights import redis_rules
from tests.support.secured_cluster import SecuredCluster
from tests.support.secured_place import Place, has_logged, run
from tests.support.secured_servers import (
    HOST,
    Authority,
)
from tests.support.servers import eventually
from tests.support.shop import WorkerProcess
from tests.support.waiting import patience

pytestmark = pytest.mark.skipif(not can_run_kafka(), reason="needs a real Kafka")


@pytest.mark.timeout(patience(240))
async def test_the_whole_path_works_with_the_listed_rights_alone(
    place: Place, start: Callable[..., WorkerProcess]
) -> None:
    await go_the_whole_path(place, start)


@pytest.mark.faults
@pytest.mark.timeout(patience(400))
async def test_the_whole_path_works_on_a_secured_cluster(
    place: Place, start: Callable[..., WorkerProcess], tmp_path: Path
) -> None:
    # Its client connects to localhost as to 127.0.0.1, whatever the certificate says.
    authority = Authority(tmp_path, HOST, "127.0.0.1")
    with SecuredCluster(authority) as cluster:
        update = {"redis_url": cluster.url(), "redis_ca_file": authority.ca}
        settings = place.settings.model_copy(update=update)
        place = Place(authority, place.kafka, cluster, settings)
        await go_the_whole_path(place, start)
        asking = place.as_process("assign", redis="assign")
        rules = redis_rules("assign", settings)
        cluster.set_user(asking.kafka_username, rules)
        code, printed = await run(asking, "assign", "C-1", "student")
        assert (code, printed.count("\n")) == (2, 1), printed
        assert re.search(r"_REDIS_URL: .*cluster\|slots.*; add it to the user's ACL", printed)


async def go_the_whole_path(place: Place, start: Callable[..., WorkerProcess]) -> None:
    """Buy, assign, look up, rank, watch and forget, by processes with users of their own."""
    worker = start(
        place.as_process("worker", "worker that creates topics", redis="worker"), "worker"
    )
    await eventually(lambda: has_logged(worker, "Kafka localhost:"), 90, worker.log.read_text)
    api = start(place.as_process("api", "api that collects events", redis="api"), "api")
    buying = place.as_process("producers")
    async with AIOKafkaProducer(**connection_options(buying)) as producer:
        for number in range(5):
            event = Purchase(f"e{number}", "C-1", NOW + number, (Item("p", "baby/diapers"),))
            await producer.send_and_wait(buying.topic_purchases, encode(event), key=b"C-1")
    await eventually(lambda: has_logged(api, "listening on"), 60, api.log.read_text)
    found = re.search(r"listening on (http://\S+)", api.log.read_text())
    async with httpx.AsyncClient(
        base_url=found[1] if found else "", timeout=patience(20)
    ) as client:
        await eventually(lambda: _is_known(client, "C-1"), 60, worker.log.read_text)
        await eventually(lambda: _is_ready(client), 60, api.log.read_text)
        sent = {"customer_id": "C-1", "items": [{"product_id": "p"}]}
        assert (await client.post("/v1/events", json=sent)).status_code == 202
        assert (await client.get("/v1/overview")).status_code == 200
        assert (await client.get("/v1/customers/C-1/activity")).status_code == 200
        asked = await client.put("/v1/customers/C-2/assignment", json={"persona": "student"})
        assert asked.status_code == 202, asked.text
        await _watch_and_delete(place, client)
    assert worker.stop() == 0, worker.log.read_text()
    assert api.stop() == 0
    assert place.redis.refused() == []
    for log in (worker.log, api.log):
        found = re.search("ERROR|refuses|does not let|p@ss|%40", log.read_text())
        assert not found, log.read_text()


async def _watch_and_delete(place: Place, client: httpx.AsyncClient) -> None:
    asking = place.as_process("assign", redis="assign")
    watching = place.as_process("watch", "watch with a group")
    ranking = place.as_process("ranking service", redis="ranking service")
    address = ranking.redis_address
    async with AsyncPersonaClient(
        address, prefix=ranking.prefix, timeout=5, cache=10, cluster=place.is_cluster
    ) as personas:
        code, printed = await run(asking, "assign", "C-3", "student", "--json")
        assert code == 0, printed
        changes = personas.watch(
            topic=watching.topic_changes,
            group="recommendations",
            from_beginning=True,
            connection=connection_options(watching),
        )
        async with asyncio.timeout(patience(60)):
            async for change in changes:
                if change.customer_id == "C-3" and change.persona == "student":
                    break
        shopper = await personas.get("C-3")
        assert (shopper.persona, shopper.fallback) == ("student", None)
        assert (await personas.rank([{"category": "books"}], "C-3")).fallback is None
        code, printed = await run(asking, "delete", "C-3", "--yes", "--json")
        assert code == 0, printed
        await eventually(lambda: _is_unknown(client, "C-3"), 60)


async def _is_ready(client: httpx.AsyncClient) -> bool:
    return (await client.get("/readyz")).status_code == 200


async def _is_known(client: httpx.AsyncClient, customer: str) -> bool:
    answer = await client.get(f"/v1/customers/{customer}/persona")
    return answer.status_code == 200


async def _is_unknown(client: httpx.AsyncClient, customer: str) -> bool:
    answer = await client.get(f"/v1/customers/{customer}/persona")
    return answer.status_code == 404
