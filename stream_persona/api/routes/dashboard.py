"""The routes that dashboards draw from: how all stands, over time, and what the model is like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response

from stream_persona.api.routes.common import ANY, as_json
from stream_persona.api.schemas import dashboard as documents
from stream_persona.api.schemas.queries import gives, problems

if TYPE_CHECKING:
    from stream_persona.api.dependencies import Parts

#: Seconds of history that can be asked for: from a minute to all that is remembered.
_LEAST, _USUAL, _MOST = 60, 3_600, 21_600


def router(parts: Parts) -> APIRouter:
    """What can be looked at; nothing of it asks Redis for a shopper."""
    routes = APIRouter(tags=["insight"], prefix="/v1", responses=ANY)
    watch = parts.watch

    @routes.get(
        "/overview", summary="Key figures",
        responses=gives(documents.Overview, "The figures."),
    )  # fmt: skip
    async def overview() -> Response:
        """Say how all stands now, and in a sentence each what is wrong."""
        return as_json(watch.overview(stream=parts.feed.ready and parts.reader.ready))

    @routes.get(
        "/history", summary="The same over time, and who became what",
        responses=gives(documents.History, "The series.") | problems(400, 503),
    )  # fmt: skip
    async def history(seconds: Annotated[int, Query(ge=_LEAST, le=_MOST)] = _USUAL) -> Response:
        """Give samples of every ten seconds, and the flows between personas in all of them."""
        return as_json(await watch.history(seconds))

    @routes.get(
        "/portraits", summary="The personas as their shoppers show them",
        responses=gives(documents.Portraits, "All personas."),
    )  # fmt: skip
    async def portraits() -> Response:
        """Tell of each persona how many are it, how surely, how rightly, and what defines it."""
        return as_json(await watch.portraits())

    @routes.get(
        "/model", summary="The model in use",
        responses=gives(documents.ModelInUse, "The model."),
    )  # fmt: skip
    async def model() -> Response:
        """Tell how good the model and its challengers are, and which workers there are."""
        return as_json(watch.model())

    @routes.get(
        "/queue", summary="Whom to label next",
        responses=gives(documents.LabelQueue, "The shoppers.") | problems(400),
    )  # fmt: skip
    async def queue(limit: Annotated[int, Query(ge=1, le=100)] = 20) -> Response:
        """Give the ambiguous shoppers of whom a label would tell the model most.

        At most four of them have the same two likeliest personas.
        """
        return as_json(watch.queue(limit))

    return routes
