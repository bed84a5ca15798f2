"""An API whose settings or taxonomy are not the workers' says so, and answers nothing wrongly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from stream_persona.domain import taxonomy as taxonomies
from stream_persona.settings import Settings
from stream_persona.store.deployment import Deployment
from stream_persona.store.redis import RedisTables
from tests.support.api import ManualWorker, basket, becomes_ready, calling
from tests.support.dashboard import becomes, has_findings
from tests.support.waiting import eventually

QUERY = {"from": "customer_purchases", "where": {"customer_id": "c1"}, "predict": "persona"}

pytestmark = pytest.mark.usefixtures("quick_refreshes")


@pytest.fixture
async def joined(manual_worker: ManualWorker, settings: Settings) -> Deployment:
    """The deployment, as a worker has made it, with a customer."""
    await manual_worker.feed(basket("e1", "c1", "pets/dog"))
    made = Deployment.of(settings, manual_worker.taxonomy)
    await store(settings, None, made)
    return made


async def store(settings: Settings, old: Deployment | None, new: Deployment) -> None:
    """Store the descriptor in the place of an old one."""
    tables = RedisTables.connect(settings.redis_url, settings.prefix)
    try:
        if old is None:
            await tables.create_deployment(new.encode())
        else:
            assert await tables.replace_deployment(old.encode(), new.encode())
    finally:
        await tables.close()


async def refuses(client: httpx.AsyncClient, sentence: str) -> None:
    """Wait until the API is not ready with this sentence, and try what it answers."""

    async def known() -> bool:
        ready = await client.get("/readyz")
        return ready.status_code == 503 and sentence in ready.json()["message"]

    await eventually(known, 30, f"the API does not say that {sentence}")
    assert "deployment" in (await client.get("/readyz")).json()["missing"]
    assert (await client.get("/healthz")).status_code == 200
    assert (await client.get("/v1/customers/c1/persona")).status_code == 200
    for method, path, body in (
        ("POST", "/api/v1/_predict", QUERY),
        ("POST", "/v1/rank", {"customer_id": "c1", "items": []}),
        ("GET", "/v1/personas", None),
        ("GET", "/v1/customers/c1/activity", None),
        ("PUT", "/v1/customers/c1/assignment", {"persona": "student"}),
        ("DELETE", "/v1/customers/c1", None),
    ):
        refused = await client.request(method, path, json=body)
        assert (refused.status_code, list(refused.json())) == (503, ["message"]), path
        assert sentence in refused.json()["message"]
    (finding,) = await has_findings(client, "deployment")
    assert sentence in finding
    assert (finding[0].isupper(), finding[-1]) == (True, ".")
    overview = (await client.get("/v1/overview")).json()
    assert (overview["lag_events"], overview["lag_seconds"]) == (None, None)
    gauge = 'stream_persona_api_ready{part="deployment"} 0.0'
    assert gauge in (await client.get("/metrics")).text


@pytest.mark.on_cluster_too
@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"partitions": 4}, "STREAM_PERSONA_PARTITIONS is 4 here and 8"),
        ({"topic_assignments": "labels"}, "STREAM_PERSONA_TOPIC_ASSIGNMENTS is 'labels' here"),
    ],
)
async def test_an_api_with_other_settings_is_not_ready_and_says_why(
    declared_topics: Settings, joined: Deployment, changed: dict[str, Any], sentence: str
) -> None:
    async with calling(declared_topics.model_copy(update=changed)) as client:
        await refuses(client, sentence)


async def test_an_api_with_another_taxonomy_is_not_ready_and_says_why(
    declared_topics: Settings, joined: Deployment, tmp_path: Path
) -> None:
    file = tmp_path / "other.toml"
    file.write_text('[[persona]]\nname = "student"\n[[persona]]\nname = "chef"\n')
    version = taxonomies.load(file).version
    async with calling(declared_topics.model_copy(update={"taxonomy": file})) as client:
        await refuses(client, f"STREAM_PERSONA_TAXONOMY is of version {version} here")


@pytest.mark.faults
async def test_an_api_notices_while_it_runs_and_is_ready_again_when_it_is_mended(
    declared_topics: Settings, joined: Deployment
) -> None:
    async with calling(declared_topics) as client:
        await becomes_ready(client)
        assert (await client.post("/api/v1/_predict", json=QUERY)).status_code == 200
        other = Deployment.of(
            declared_topics.model_copy(update={"partitions": 16}),
            taxonomies.load(declared_topics.taxonomy),
            joined.id,
        )
        await store(declared_topics, joined, other)
        await refuses(client, "STREAM_PERSONA_PARTITIONS is 8 here and 16")
        await store(declared_topics, other, joined)
        await becomes_ready(client)
        assert (await client.post("/api/v1/_predict", json=QUERY)).status_code == 200
        assert not await has_findings(client)


async def test_an_api_that_looks_at_another_group_gives_no_lag(
    declared_topics: Settings, joined: Deployment
) -> None:
    async with calling(declared_topics) as client:
        await becomes(client, lag_events=0)
    async with calling(declared_topics.model_copy(update={"group": "other"})) as client:
        await becomes_ready(client)
        (finding,) = await has_findings(client, "deployment")
        assert "STREAM_PERSONA_GROUP is 'other' here" in finding
        assert (await client.get("/v1/overview")).json()["lag_events"] is None
        assert (await client.post("/api/v1/_predict", json=QUERY)).status_code == 200


async def test_an_api_before_the_first_worker_is_ready(declared_topics: Settings) -> None:
    async with calling(declared_topics) as client:
        await becomes_ready(client)
        assert (await client.get("/v1/personas")).status_code == 200
