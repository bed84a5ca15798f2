"""A ranking service: re-ranks search results for the shopper who asked.

::

    uvicorn ranking_service:app --port 8080
    curl localhost:8080/rank/CUST-04812 -H 'content-type: application/json' -d '
      [{"product_id": "P-3", "category": "books", "score": 2.0},
       {"product_id": "P-17", "category": "baby/diapers", "score": 1.5}]'

A shopper who is ambiguous, unknown, or not looked up within 50 ms gets the items in the order they
came in, which is your baseline; ``fallback`` is the reason.
"""  # noqa: INP001 - an example is run where it lies, it is no package

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request

from stream_persona.client import AsyncPersonaClient

REDIS_URL = os.environ.get("STREAM_PERSONA_REDIS_URL", "redis://localhost:6379/0")
PREFIX = os.environ.get("STREAM_PERSONA_PREFIX", "")


@asynccontextmanager
async def connected(app: FastAPI) -> AsyncIterator[None]:
    """Hold the connections to Redis for as long as the service runs."""
    async with AsyncPersonaClient(REDIS_URL, prefix=PREFIX) as app.state.personas:
        yield


app = FastAPI(lifespan=connected)


@app.post("/rank/{customer_id:path}")
async def rank(customer_id: str, items: list[dict[str, Any]], request: Request) -> dict[str, Any]:
    """Give the items in the order that suits the shopper."""
    found = await request.app.state.personas.rank(items, customer_id)
    return {"items": found.order, "persona": found.shopper.persona, "fallback": found.fallback}
