"""What names servers, files and settings is for keys that may operate; others get a sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from stream_persona.api import create_api
from stream_persona.domain import taxonomy
from stream_persona.settings import Settings
from tests.support.doors import key_of, write_keys

SECRETS = ("10.1.2.3", "STREAM_PERSONA_PARTITIONS", "worker-host-7", "No module named")


@pytest.fixture
def api(tmp_path: Path) -> FastAPI:
    """An API with all that can be wrong, of whose servers none is there."""
    write_keys(tmp_path / "keys.toml", operator="read operate", reader="read", web="collect")
    settings = Settings(
        _env_file=None, api_keys_file=tmp_path / "keys.toml", brokers="127.0.0.1:1",
        redis_url="redis://127.0.0.1:1/0",
    )  # fmt: skip
    made = create_api(settings, taxonomy.load(None))
    dependencies = made.state.dependencies
    dependencies.agreement.fault = "set STREAM_PERSONA_PARTITIONS to 8"
    dependencies.agreement._looked = True
    dependencies.dashboard._check_health = lambda: [
        {"part": "deployment", "message": "STREAM_PERSONA_PARTITIONS is 4 here."},
        {"part": "storage", "message": "Redis at 10.1.2.3:6379 may evict keys."},
        {"part": "kafka", "message": "Kafka does not answer."},
    ]
    dependencies.dashboard.answer_model = lambda: {
        "workers": [{"worker": "worker-host-7"}],
        "models": [{"failure": "No module named 'shop'"}, {"failure": ""}],
    }
    return made


async def get(api: FastAPI, path: str, name: str) -> httpx.Response:
    transport = httpx.ASGITransport(api)
    headers = {"X-API-Key": key_of(name)} if name else {}
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        return await client.get(path, headers=headers)


async def test_the_overview_shows_each_trouble_in_full_to_operators_alone(api: FastAPI) -> None:
    full = (await get(api, "/v1/overview", "operator")).json()["troubles"]
    assert "10.1.2.3:6379" in full[1]["message"]
    found = await get(api, "/v1/overview", "reader")
    assert not any(secret in found.text for secret in SECRETS)
    troubles = found.json()["troubles"]
    assert [each["part"] for each in troubles] == ["deployment", "storage", "kafka"]
    assert troubles[2]["message"] == "Kafka does not answer."


@pytest.mark.parametrize("path", ["/v1/history", "/v1/personas", "/readyz"])
async def test_what_the_api_is_set_otherwise_operators_alone_are_told(
    api: FastAPI, path: str
) -> None:
    full = await get(api, path, "operator")
    assert (full.status_code, "STREAM_PERSONA_PARTITIONS" in full.text) == (503, True)
    for name in ("reader", "") if path == "/readyz" else ("reader",):
        found = await get(api, path, name)
        assert (found.status_code, "STREAM_PERSONA_PARTITIONS" in found.text) == (503, False)
        assert "do not agree" in found.json()["message"]


async def test_the_model_names_workers_and_failures_to_operators_alone(api: FastAPI) -> None:
    api.state.dependencies.agreement.fault = None
    full: dict[str, Any] = (await get(api, "/v1/model", "operator")).json()
    assert full["workers"] == [{"worker": "worker-host-7"}]
    found = (await get(api, "/v1/model", "reader")).json()
    assert found["workers"] == [{"worker": "worker 1"}]
    assert found["models"] == [{"failure": "it failed: its operators see why"}, {"failure": ""}]
