"""Routes for operators and their probes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fastapi import APIRouter
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request

from stream_persona.api.agreement import DISAGREEMENT
from stream_persona.api.routes.common import ANY, encode_answer
from stream_persona.api.schemas import queries as documents
from stream_persona.api.schemas.queries import describe_answer, describe_problems
from stream_persona.api.security.caller import may_operate

if TYPE_CHECKING:
    from stream_persona.api.dependencies import Dependencies

_METRICS: Final[dict[int | str, Any]] = {
    200: {
        "description": "The figures, in Prometheus' own format.",
        "content": {"text/plain": {"schema": {"type": "string"}}},
    }
}


def build_router(dependencies: Dependencies) -> APIRouter:
    """Build the routes. Those of probes need no key."""
    routes = APIRouter(tags=["operations"])
    _add_probes(routes, dependencies)
    _add_metrics(routes, dependencies)
    return routes


def _add_probes(routes: APIRouter, dependencies: Dependencies) -> None:
    @routes.get(
        "/healthz", summary="The process runs",
        responses=describe_answer(documents.Status, "It runs.") | describe_problems(413),
    )  # fmt: skip
    async def healthz() -> dict[str, str]:
        """Answer at once, whatever else is there."""
        return {"status": "ok"}

    @routes.get(
        "/readyz", summary="Requests can be answered",
        responses=describe_answer(documents.Status, "All is there.")
        | describe_answer(documents.NotReady, "Something is missing.", 503)
        | describe_problems(413),
    )  # fmt: skip
    async def readyz(request: Request) -> Response:
        """Answer 200 when Redis, model and Kafka are there and the workers agree; else 503, why."""
        missing = await dependencies.find_missing()
        if not missing:
            return encode_answer({"status": "ready"})
        message = f"not ready, missing: {', '.join(missing)}"
        if dependencies.agreement.fault is not None:
            fault = dependencies.agreement.fault
            message = f"not ready: {fault if may_operate(request.scope) else DISAGREEMENT}"
        return encode_answer({"message": message, "missing": missing}, 503)


def _add_metrics(routes: APIRouter, dependencies: Dependencies) -> None:
    @routes.get(
        "/metrics", summary="Figures for Prometheus", response_class=Response,
        responses=ANY | _METRICS,
    )  # fmt: skip
    async def metrics() -> Response:
        """Give the API's own figures; workers have theirs on ports of their own."""
        await dependencies.find_missing()  # which sets the gauge of what is ready
        metrics = dependencies.metrics
        metrics.connections.set(len(dependencies.connections))
        metrics.listeners.set(dependencies.feed.listeners)
        metrics.changes.set(dependencies.feed.ring.end)
        metrics.labelled.set(dependencies.reader.model.weights.customers)
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)
