"""``create_api``: the FastAPI application of settings and a taxonomy; no logic."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from stream_persona.api import openapi, problems
from stream_persona.api.auth import Gate, Keys
from stream_persona.api.dependencies import Parts
from stream_persona.api.limits import Bounded, Buckets
from stream_persona.api.metrics import Timed
from stream_persona.api.routes import commands, customers, dashboard, operations, pages, queries

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.settings import Settings

_DESCRIPTION = """\
Which of your own personas a shopper behaves like, while they are on the page.

Every answer that is no success is one sentence, `{"message": ...}`. Where API keys are set, send
one as `Authorization: Bearer <key>` or `X-API-Key: <key>`.
"""


def create_api(settings: Settings, taxonomy: Taxonomy) -> FastAPI:
    """The application; it connects when it starts, and starts without its servers too.

    ``app.state.parts`` are the parts behind the routes.

    Raises:
        TopologyError: an address in the settings is malformed.
    """
    parts = Parts.build(settings, taxonomy)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with parts.running():
            yield

    app = FastAPI(
        title="stream_persona", version="1", description=_DESCRIPTION, lifespan=lifespan,
        docs_url=None, redoc_url=None,
    )  # fmt: skip
    app.state.parts = parts
    _guard(app, settings, parts)
    problems.install(app)
    for routes in (queries, customers, commands, dashboard, operations):
        app.include_router(routes.router(parts))
    app.include_router(pages.router())
    pages.mount_files(app)
    openapi.describe(app, settings, taxonomy)
    return app


def _guard(app: FastAPI, settings: Settings, parts: Parts) -> None:
    """What a request passes before it comes to a route; the last one added is the first."""
    app.add_middleware(Bounded, most=settings.api_max_body_bytes)
    buckets = Buckets(settings.api_requests_per_second)
    app.add_middleware(Gate, keys=Keys(settings.keys), buckets=buckets)
    if settings.origins:
        app.add_middleware(
            CORSMiddleware, allow_origins=settings.origins,
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["Authorization", "X-API-Key", "Last-Event-ID"],
            expose_headers=["Retry-After"],
        )  # fmt: skip
    app.add_middleware(Timed, figures=parts.figures)
