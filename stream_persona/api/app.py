"""``create_api``: the FastAPI application of settings and a taxonomy; no logic."""

from __future__ import annotations

from contextlib import asynccontextmanager
from importlib import resources
from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from stream_persona.api import problems, routes
from stream_persona.api.parts import Parts
from stream_persona.api.telemetry import Timed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from stream_persona.settings import Settings
    from stream_persona.taxonomy import Taxonomy

_DESCRIPTION = "Which of your own personas a shopper behaves like, while they are on the page."


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
        redoc_url=None,
    )  # fmt: skip
    app.state.parts = parts
    app.add_middleware(Timed, figures=parts.figures)
    problems.install(app)
    for router in (routes.queries, routes.commands, routes.operations):
        app.include_router(router(parts))
    static = resources.files("stream_persona.api").joinpath("static")
    app.mount("/static", StaticFiles(directory=str(static)), name="static")
    return app
