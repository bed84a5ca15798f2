"""``create_api``: builds the FastAPI application from settings and a taxonomy; it has no logic."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from stream_persona.api import openapi, problems
from stream_persona.api.agreement import AgreementMiddleware
from stream_persona.api.dependencies import Dependencies
from stream_persona.api.limits import BodyLimitMiddleware, HeadLimitMiddleware, TokenBuckets
from stream_persona.api.metrics import RequestMetricsMiddleware
from stream_persona.api.routes import (
    collect,
    commands,
    customers,
    dashboard,
    login,
    operations,
    pages,
    queries,
    shop,
)
from stream_persona.api.security.headers import AnswerHeadersMiddleware
from stream_persona.api.security.middleware import DoorMiddleware
from stream_persona.api.security.scopes import ScopeRules

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.routing import BaseRoute

    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.settings import Settings

_DESCRIPTION = """\
Which of your own personas a shopper behaves like, while they are on the page.

Every answer that is no success is one sentence, `{"message": ...}`. Where API keys are set, send
one as `Authorization: Bearer <key>` or `X-API-Key: <key>`; each route names the scope that the key
must have.
"""


def create_api(settings: Settings, taxonomy: Taxonomy) -> FastAPI:
    """Build the application. It connects in its lifespan, and starts without its servers too.

    ``app.state.dependencies`` are the objects that its routes use.

    Raises:
        TopologyError: an address in the settings is malformed.
        SettingsError: the file of keys, or that of the catalogue, can't be used.
    """
    dependencies = Dependencies.build(settings, taxonomy)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with dependencies.run():
            yield

    app = FastAPI(
        title="stream_persona", version="1", description=_DESCRIPTION, lifespan=lifespan,
        docs_url=None, redoc_url=None,
    )  # fmt: skip
    app.state.dependencies = dependencies
    problems.install_handlers(app)
    rules = ScopeRules(_add_routes(app, dependencies))
    _add_middleware(app, settings, dependencies, rules)
    openapi.install_description(app, settings, taxonomy)
    return app


def _add_routes(app: FastAPI, dependencies: Dependencies) -> list[BaseRoute]:
    """Add all routes; return them in the order in which they are looked at."""
    subjects = (queries, customers, commands, collect, shop, dashboard, operations, login)
    routers = [*(subject.build_router(dependencies) for subject in subjects), pages.build_router()]
    own = list(app.router.routes)
    for router in routers:
        # `include_router` would make each route once more, and that while the first caller waits.
        app.router.routes.extend(router.routes)
    included = list(app.router.routes)
    pages.mount_files(app)
    mounted = app.router.routes[len(included) :]
    return [*own, *(route for router in routers for route in router.routes), *mounted]


def _add_middleware(
    app: FastAPI, settings: Settings, dependencies: Dependencies, rules: ScopeRules
) -> None:
    """Add what a request passes before its route. The last one added is the outermost."""
    app.add_middleware(AgreementMiddleware, agreement=dependencies.agreement)
    app.add_middleware(BodyLimitMiddleware, max_bytes=settings.api_max_body_bytes)
    buckets = TokenBuckets(settings.api_requests_per_second)
    app.add_middleware(
        DoorMiddleware, keys=dependencies.keys, rules=rules, buckets=buckets,
        audit=dependencies.audit,
    )  # fmt: skip
    if settings.origins:
        app.add_middleware(
            CORSMiddleware, allow_origins=settings.origins,
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["Authorization", "X-API-Key", "Last-Event-ID", "X-Retry-Count"],
            expose_headers=["Retry-After"],
        )  # fmt: skip
    app.add_middleware(HeadLimitMiddleware)
    app.add_middleware(RequestMetricsMiddleware, metrics=dependencies.metrics)
    app.add_middleware(AnswerHeadersMiddleware)
