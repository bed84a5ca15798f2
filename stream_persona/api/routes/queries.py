"""Routes of queries: personas of a shopper, ranking, lookups, and the stream of changes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import APIRouter, Body, Depends, Header, Query
from fastapi.responses import Response, StreamingResponse
from starlette.requests import Request

from stream_persona.api.changes import EventStream
from stream_persona.api.customer_ids import check_known, make_unknown_error, refuse_two_ids
from stream_persona.api.listeners import name_caller
from stream_persona.api.plain_rank import read_rank_request
from stream_persona.api.predict import (
    EXAMPLE,
    PersonaQuery,
    Subject,
    answer_prediction,
    parse_subject,
    read_query,
)
from stream_persona.api.public_records import load_public_record
from stream_persona.api.quick_route import make_quick_route
from stream_persona.api.rank import EXAMPLE as RANK_EXAMPLE
from stream_persona.api.rank import RankRequest
from stream_persona.api.routes.common import ANY, encode_answer
from stream_persona.api.schemas import queries as documents
from stream_persona.api.schemas.queries import describe_answer, describe_problems
from stream_persona.api.security.caller import get_caller

if TYPE_CHECKING:
    from stream_persona.api.dependencies import Dependencies


#: An endless answer; the data of each event is a message of the topic of changes.
_STREAM: Final[dict[int | str, Any]] = {
    200: {
        "description": "Events, each with a `change_id` as its id and a change as its data.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}


def build_router(dependencies: Dependencies) -> APIRouter:
    """Build the routes."""
    routes = APIRouter(tags=["queries"], responses=ANY)
    _add_predictions(routes, dependencies)
    _add_lookups(routes, dependencies)
    _add_stream(routes, dependencies)
    return routes


def _add_predictions(routes: APIRouter, dependencies: Dependencies) -> None:
    async def predict(query: Annotated[PersonaQuery, Body(examples=[EXAMPLE])]) -> Response:
        """Rank all personas for a customer, for what a hypothetical shopper did, or for both."""
        asked = parse_subject(query, dependencies.taxonomy, dependencies.nobody)
        if not isinstance(asked, Subject):
            asked = await dependencies.reader.load_subject(asked)
        return encode_answer(answer_prediction(query, asked, dependencies.reader.model.weights))

    routes.add_api_route(
        "/api/v1/_predict", predict, methods=["POST"], summary="The personas of a shopper, and why",
        responses=describe_answer(documents.Prediction, "The hits.") | describe_problems(400, 503),
        route_class_override=make_quick_route(read_query),
    )  # fmt: skip

    async def rank(request: Annotated[RankRequest, Body(examples=[RANK_EXAMPLE])]) -> Response:
        """Move the caller's scores by what the shopper's personas like.

        A shopper who is unknown, ambiguous or held out keeps the caller's order, exactly, and
        `fallback` says which it was. With `own` above 0 the shopper's own tastes move scores too,
        for all but those who are held out.
        """
        return Response(await dependencies.ranker.rank(request), media_type="application/json")

    routes.add_api_route(
        "/v1/rank", rank, methods=["POST"], summary="Items in the order that suits a shopper",
        responses=describe_answer(documents.RankAnswer, "The items, the best first.")
        | describe_problems(400, 503),
        route_class_override=make_quick_route(read_rank_request),
    )  # fmt: skip


def _add_lookups(routes: APIRouter, dependencies: Dependencies) -> None:
    of_customer: dict[str, Any] = {
        "summary": "The public record of a customer",
        "responses": describe_answer(documents.PublicRecord, "The public record.")
        | describe_problems(400, 404, 503),
        "dependencies": [Depends(refuse_two_ids)],
    }

    @routes.get("/v1/customers/persona", **of_customer)
    @routes.get("/v1/customers/{customer_id:path}/persona", **of_customer)
    async def persona(customer_id: str) -> Response:
        """Give the public record; 404 for an unknown customer."""
        check_known(customer_id, dependencies.nobody)
        record = await load_public_record(dependencies.tables, customer_id, dependencies.taxonomy)
        if record is None:
            raise make_unknown_error(customer_id)
        return Response(record, media_type="application/json")

    @routes.get(
        "/v1/personas", summary="The personas, and what the model learned of each",
        responses=describe_answer(documents.Personas, "All personas.") | describe_problems(503),
    )  # fmt: skip
    async def personas() -> Response:
        """Give the taxonomy's personas with the number of labelled customers."""
        model, taxonomy = dependencies.reader.model, dependencies.taxonomy
        return encode_answer({
            "personas": [
                {
                    "name": each.name,
                    "title": each.title or each.name,
                    "description": each.description,
                    "labelled": model.labelled.get(each.name, 0),
                }
                for each in taxonomy.personas
            ],
            "view": taxonomy.view,
            "labelled": model.weights.customers,
            "model_version": model.weights.version,
            "taxonomy_version": taxonomy.version,
        })  # fmt: skip


def _add_stream(routes: APIRouter, dependencies: Dependencies) -> None:
    @routes.get(
        "/v1/changes", summary="Changes as they happen (server-sent events)",
        response_class=StreamingResponse, responses=_STREAM | describe_problems(400, 503),
    )  # fmt: skip
    async def changes(
        request: Request,
        last_event_id: Annotated[str | None, Header()] = None,
        recent: Annotated[int, Query(ge=0, le=200)] = 0,
    ) -> EventStream:
        """Stream changes: from behind the one of `Last-Event-ID`, else from now on.

        `recent` asks for that many of the newest ones to begin with.
        """
        caller = get_caller(request.scope)
        may_listen = partial(dependencies.keys.may_go_on, caller, "read")
        seat = dependencies.seats.take(name_caller(request.scope))
        events = dependencies.feed.listen(last_event_id, recent, may_listen=may_listen)
        return EventStream(events, seat)
