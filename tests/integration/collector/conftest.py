"""A client of an API whose topics exist."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from stream_persona.settings import Settings
from tests.support.api import becomes_ready, calling


@pytest.fixture
async def client(declared_topics: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an API that is ready, whose topics exist."""
    async with calling(declared_topics) as client:
        await becomes_ready(client)
        yield client
