"""Routes of the dashboard: key figures now and over time, persona profiles, the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response
from starlette.requests import Request

from stream_persona.api.dashboard.health import hide_details, make_findings
from stream_persona.api.routes.common import ANY, encode_answer
from stream_persona.api.schemas import dashboard as documents
from stream_persona.api.schemas.queries import describe_answer, describe_problems
from stream_persona.api.security.caller import may_operate

if TYPE_CHECKING:
    from stream_persona.api.dashboard.service import DashboardService
    from stream_persona.api.dependencies import Dependencies

#: Seconds of history that can be requested: from a minute to all that is kept.
_LEAST, _USUAL, _MOST = 60, 3_600, 21_600


def build_router(dependencies: Dependencies) -> APIRouter:
    """Build the routes. None of them reads a shopper from Redis."""
    routes = APIRouter(tags=["insight"], prefix="/v1", responses=ANY)
    _add_overview(routes, dependencies)
    _add_model(routes, dependencies.dashboard)
    return routes


def _add_overview(routes: APIRouter, dependencies: Dependencies) -> None:
    service = dependencies.dashboard

    @routes.get(
        "/overview", summary="Key figures",
        responses=describe_answer(documents.Overview, "The figures."),
    )  # fmt: skip
    async def overview(request: Request) -> Response:
        """Give the key figures of now, and one sentence for each thing that is wrong.

        What concerns servers, files and settings, keys see in full that have the scope `operate`.
        """
        facts = dependencies.catalogue.facts
        found = service.answer_overview(
            stream=dependencies.feed.ready and dependencies.reader.ready,
            products=None if facts is None else facts.products,
        )
        found["troubles"] += make_findings("keys", dependencies.keys.troubles)
        found["troubles"] += make_findings("catalogue", dependencies.catalogue.troubles)
        if not may_operate(request.scope):
            found["troubles"] = hide_details(found["troubles"])
        return encode_answer(found)

    @routes.get(
        "/history", summary="The same over time, and who became what",
        responses=describe_answer(documents.History, "The series.") | describe_problems(400, 503),
    )  # fmt: skip
    async def history(seconds: Annotated[int, Query(ge=_LEAST, le=_MOST)] = _USUAL) -> Response:
        """Give samples of every ten seconds, and the flows between personas in all of them."""
        return encode_answer(await service.answer_history(seconds))


def _add_model(routes: APIRouter, service: DashboardService) -> None:
    @routes.get(
        "/portraits", summary="The personas as their shoppers show them",
        responses=describe_answer(documents.Portraits, "All personas.") | describe_problems(503),
    )  # fmt: skip
    async def portraits() -> Response:
        """Give each persona's shoppers, their confidence, its calibration and defining features."""
        return encode_answer(await service.answer_portraits())

    @routes.get(
        "/model", summary="The model in use",
        responses=describe_answer(documents.ModelInUse, "The model.") | describe_problems(503),
    )  # fmt: skip
    async def model(request: Request) -> Response:
        """Give the quality of the model and its challengers, and the workers.

        Names of workers, and why a challenger failed, keys see that have the scope `operate`.
        """
        found = service.answer_model()
        if not may_operate(request.scope):
            for number, worker in enumerate(found["workers"], 1):
                worker["worker"] = f"worker {number}"
            for each in found["models"]:
                each["failure"] = each["failure"] and "it failed: its operators see why"
        return encode_answer(found)

    @routes.get(
        "/queue", summary="Whom to label next",
        responses=describe_answer(documents.LabelQueue, "The shoppers.")
        | describe_problems(400, 503),
    )  # fmt: skip
    async def queue(limit: Annotated[int, Query(ge=1, le=100)] = 20) -> Response:
        """Give the ambiguous shoppers whose labels would change the model most.

        At most four of them have the same two likeliest personas.
        """
        return encode_answer(service.answer_queue(limit))
