"""What operators scrape, without servers."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import httpx
import pytest
from fastapi import FastAPI

from stream_persona.api.agreement import Agreement
from stream_persona.api.dependencies import Dependencies
from stream_persona.api.readiness import Readiness
from stream_persona.api.routes import operations
from stream_persona.demo.embedded import find_free_port
from stream_persona.errors import UnavailableError
from stream_persona.settings import Settings
from stream_persona.store.redis import RedisTables
from tests.support.events import shop
from tests.support.faulty_tables import FaultyTables


@pytest.mark.parametrize(("away", "ready"), [(False, "1.0"), (True, "0.0")])
async def test_metrics_show_what_is_ready_as_of_the_scrape_without_any_probe(
    away: bool, ready: str
) -> None:
    tables = FaultyTables()
    tables.watch("ping")
    if away:
        tables.fail("ping", UnavailableError("Redis was not usable for 2 s"))
    settings = Settings(_env_file=None, brokers=f"127.0.0.1:{find_free_port()}")
    readiness = Readiness(settings, cast("RedisTables", tables))
    built = replace(Dependencies.build(settings, shop()), readiness=readiness)
    app = FastAPI()
    built = replace(built, agreement=Agreement(settings, built.taxonomy, tables))
    app.include_router(operations.build_router(built))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        metrics = (await client.get("/metrics")).text
    assert f'stream_persona_api_ready{{part="redis"}} {ready}' in metrics
    assert 'stream_persona_api_ready{part="kafka"} 0.0' in metrics
    assert 'stream_persona_api_ready{part="deployment"} 1.0' in metrics
