"""Fixtures of tests that call the API behind a worker that is fed by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from stream_persona.settings import Settings
from tests.support.api import ManualWorker, becomes_ready, calling, running_worker


@pytest.fixture
async def manual_worker(settings: Settings) -> AsyncIterator[ManualWorker]:
    async with running_worker(settings) as manual:
        yield manual


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an API that is ready; topics it may lack."""
    async with calling(settings) as client:
        await becomes_ready(client)
        yield client
